from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import Any

import pytest

from runtimeinfo_conformance.guards import Guard

MOST = 4_000


@pytest.fixture(autouse=True)
def _everything_is_put_back() -> object:
    out, err = sys.stdout, sys.stderr
    yield
    assert sys.stdout is out
    assert sys.stderr is err


def test_what_is_printed_is_kept_in_order(guard: Guard) -> None:
    with guard.watching() as watch:
        print("one")
        print("two", file=sys.stderr, flush=True)
        sys.stdout.writelines(["three\n", "four\n"])
        sys.stdout.buffer.write("fünf\n".encode())
        sys.stdout.buffer.flush()
        assert watch.printed.startswith("one\n")
    assert watch.printed == "one\ntwo\nthree\nfour\nfünf\n"
    assert watch.problem is None


def test_nothing_gets_through(guard: Guard, capsys: pytest.CaptureFixture[str]) -> None:
    with guard.watching():
        print("one")
        print("two", file=sys.stderr)
    assert capsys.readouterr() == ("", "")
    print("three")
    assert capsys.readouterr() == ("three\n", "")


def test_what_is_printed_before_an_error_is_kept(guard: Guard) -> None:
    def run() -> None:
        print("one")
        raise ValueError

    with pytest.raises(ValueError), guard.watching() as watch:
        run()
    assert watch.printed == "one\n"


@pytest.mark.parametrize("stream", ["text", "bytes"])
def test_much_costs_no_memory_and_the_end_is_kept(guard: Guard, stream: str) -> None:
    text = "x" * 100_000_000 + "end"
    data = text.encode()
    tracemalloc.start()
    try:
        with guard.watching() as watch:
            if stream == "text":
                assert sys.stdout.write(text) == len(text)
            else:
                assert sys.stdout.buffer.write(data) == len(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert watch.printed == "x" * (MOST - 3) + "end"


def test_many_small_writes_are_bounded(guard: Guard) -> None:
    with guard.watching() as watch:
        for index in range(50_000):
            print(index)
    assert len(watch.printed) == MOST
    assert watch.printed.endswith("49998\n49999\n")


def test_bytes_of_every_kind(guard: Guard) -> None:
    with guard.watching() as watch:
        for data in (
            b"a",
            bytearray(b"b"),
            memoryview(b"c"),
            memoryview(b"dxex")[::2].tobytes(),
            b"\xc3",
            b"\xbc",
            b"\xff",
        ):
            sys.stdout.buffer.write(data)
    assert watch.printed == "abcdeü\ufffd"


def test_what_is_kept_can_be_written_anywhere(guard: Guard) -> None:
    with guard.watching() as watch:
        print("\udcff", end="")
    assert watch.printed == "\\udcff"


def test_only_text_is_text(guard: Guard) -> None:
    with guard.watching() as watch:
        with pytest.raises(TypeError, match="must be str, not bytes"):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            sys.stdout.buffer.write("text")  # type: ignore[arg-type]
    assert watch.printed == ""


def test_the_stream_answers_as_a_stream_does(guard: Guard) -> None:
    with guard.watching():
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOBase)
            assert (stream.encoding, stream.errors) == ("utf-8", "backslashreplace")
            assert (stream.isatty(), stream.readable(), stream.writable(), stream.seekable()) == (
                False,
                False,
                True,
                False,
            )
            assert stream.buffer.writable()
            stream.reconfigure(line_buffering=True)  # type: ignore[attr-defined]
            stream.close()
            assert not stream.closed
            stream.buffer.close()
            assert stream.buffer is stream.buffer
            stream.flush()
        assert (sys.stdout.name, sys.stderr.name) == ("<stdout>", "<stderr>")


def test_its_descriptor_is_the_real_one(guard: Guard, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    with path.open("w") as real:
        monkeypatch.setattr(sys, "stdout", real)
        with guard.watching(), Guard().watching():
            assert sys.stdout.fileno() == sys.stdout.buffer.fileno() == real.fileno()
            subprocess.run([sys.executable, "-c", "print('from a child')"], stdout=sys.stdout, check=True)
        monkeypatch.undo()
    assert path.read_text() == "from a child\n"


@pytest.mark.parametrize("under", [None, io.StringIO()])
def test_without_a_descriptor_there_is_none(guard: Guard, monkeypatch: pytest.MonkeyPatch, under: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", under)
        with guard.watching() as watch:
            print("one")
            with pytest.raises(io.UnsupportedOperation):
                sys.stdout.fileno()
        assert sys.stdout is under
    assert watch.printed == "one\n"


def test_a_subject_that_replaces_the_stream_itself(guard: Guard) -> None:
    with guard.watching() as watch:
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
        print("one")
        sys.stderr = io.StringIO()
        print("lost", file=sys.stderr)
    assert watch.printed == "one\n"


def test_a_subject_that_redirects(guard: Guard) -> None:
    with guard.watching() as watch:
        with contextlib.redirect_stdout(io.StringIO()) as own:
            print("theirs")
        print("one")
    assert (watch.printed, own.getvalue()) == ("one\n", "theirs\n")


def test_a_logging_handler_may_keep_the_stream(guard: Guard, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("subject of the guards")
    logger.propagate = False
    with guard.watching() as watch:
        logger.addHandler(logging.StreamHandler())
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logger.warning("during")
        kept = sys.stdout.buffer
    logger.warning("after")
    kept.write(b"after")
    assert watch.printed == "during\nduring\n"
    assert capsys.readouterr() == ("", "")  # no "--- Logging error ---" either


def test_runs_within_runs(guard: Guard) -> None:
    with guard.watching() as outer:
        print("a")
        with guard.watching() as inner:
            print("b")
        print("c")
    assert (outer.printed, inner.printed) == ("a\nc\n", "b\n")


def test_runs_in_threads_that_leave_in_any_order(guard: Guard) -> None:
    def run(index: int) -> None:
        with guard.watching():
            for _ in range(20):
                print(index)
                time.sleep(0.001 * index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_workers_of_a_data_loader_come_and_go(guard: Guard) -> None:
    torch = pytest.importorskip("torch")

    class Squares(torch.utils.data.Dataset[int]):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> int:
            print("loading", index)
            return index**2

    seen: list[int] = []
    for _ in range(3):
        with guard.watching() as watch:
            for batch in torch.utils.data.DataLoader(Squares(), num_workers=2, multiprocessing_context="fork"):
                seen += batch.tolist()
        assert watch.problem is None
    assert seen == [0, 1, 4, 9, 16, 25, 36, 49] * 3
    assert guard.leftover_threads() == []
