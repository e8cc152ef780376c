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
from types import ModuleType
from typing import Any

import pytest

from runtimeinfo_conformance.guards import Exited, Guard, Watch
from runtimeinfo_conformance.guards._replacements import Replacement

REAL_EXIT, REAL_ABORT = os._exit, os.abort

MOST = 4_000

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(autouse=True)
def _everything_is_restored() -> object:
    out, err = sys.stdout, sys.stderr
    yield
    assert os._exit is REAL_EXIT
    assert os.abort is REAL_ABORT
    assert sys.stdout is out
    assert sys.stderr is err


@pytest.fixture
def module() -> ModuleType:
    module = ModuleType("module")
    module.name = "original"  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(("first", "between"), [("a", "b"), ("b", "a")])
def test_replacements_can_be_removed_in_any_order(module: ModuleType, first: str, between: str) -> None:
    replacement = Replacement(module, "name")
    replacement.push("a")
    replacement.push("b")
    assert module.name == "b"
    replacement.remove(first)
    assert module.name == between
    replacement.remove(between)
    assert module.name == "original"


def test_the_original_is_what_was_there_at_the_first_push(module: ModuleType) -> None:
    replacement = Replacement(module, "name")
    module.name = "patched by the user"  # type: ignore[attr-defined]
    replacement.push("a")
    module.name = "patched by the subject"  # type: ignore[attr-defined]
    replacement.remove("a")
    assert module.name == "patched by the user"
    assert replacement.original == "patched by the user"


def test_a_value_can_be_pushed_twice(module: ModuleType) -> None:
    replacement = Replacement(module, "name")
    for _ in range(2):
        replacement.push("a")
    replacement.remove("a")
    assert module.name == "a"
    replacement.remove("a")
    assert module.name == "original"


# -- exits


def problem_of(watch: Watch) -> str:
    assert watch.problem is not None
    assert watch.problem.kind == "exit"
    return str(watch.problem)


def leave() -> None:
    os._exit(3)


def test_an_exit_becomes_an_exception(guard: Guard) -> None:
    with pytest.raises(Exited, match=r"os\._exit\(3\)"), guard.watching() as watch:
        leave()
    message = problem_of(watch)
    assert "it called os._exit(3) at " in message
    assert f"{__file__}:" in message
    assert "in leave: that ends the whole test session" in message


def test_an_abort_becomes_an_exception(guard: Guard) -> None:
    with pytest.raises(Exited), guard.watching() as watch:
        os.abort()
    assert "it called os.abort() at" in problem_of(watch)


def test_except_exception_does_not_swallow_an_exit(guard: Guard) -> None:
    with pytest.raises(Exited), guard.watching(), contextlib.suppress(Exception):
        leave()


def test_an_exit_that_is_swallowed_is_noted(guard: Guard) -> None:
    with guard.watching() as watch, contextlib.suppress(BaseException):
        leave()
    problem_of(watch)


@pytest.mark.parametrize(("code", "shown"), [(3, "3"), (None, "None"), ("no GPU", "'no GPU'")])
def test_sys_exit_comes_out_and_is_noted(guard: Guard, code: object, shown: str) -> None:
    def run() -> None:
        sys.exit(code)  # type: ignore[arg-type]

    with pytest.raises(SystemExit) as caught, guard.watching() as watch:
        run()
    assert caught.value.code == code
    message = problem_of(watch)
    assert f"it called sys.exit({shown}) at {__file__}:" in message
    assert "in run" in message


def test_an_error_is_not_an_exit(guard: Guard) -> None:
    with pytest.raises(ValueError), guard.watching() as watch:
        raise ValueError
    assert watch.problem is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exit_in_another_thread_ends_that_thread(guard: Guard) -> None:
    def run() -> None:
        leave()
        went_on.append(True)

    went_on: list[bool] = []
    with guard.watching() as watch:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert not went_on
    assert "os._exit(3)" in problem_of(watch)


@needs_fork
def test_a_forked_child_really_exits(guard: Guard) -> None:
    with guard.watching() as watch:
        child = os.fork()
        if child == 0:
            os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert watch.problem is None


@needs_fork
def test_a_guard_in_a_forked_child_guards_the_child(guard: Guard) -> None:
    with guard.watching():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with Guard().watching():
                    leave()
            except Exited:
                code = 9
            os._exit(code)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9


@needs_fork
def test_a_kept_exit_exits_between_runs(guard: Guard) -> None:
    with guard.watching():
        kept = os._exit
    child = os.fork()
    if child == 0:
        kept(5)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 5


def test_a_kept_exit_is_refused_in_the_next_run(guard: Guard) -> None:
    with guard.watching():
        kept = os._exit
    with pytest.raises(Exited), guard.watching() as watch:
        kept(5)
    assert "os._exit(5)" in problem_of(watch)


def test_an_exit_that_the_subject_replaced_is_restored(guard: Guard) -> None:
    with guard.watching():
        os._exit = leave  # type: ignore[assignment]


# -- printed text


def test_printed_text_is_kept_in_order(guard: Guard) -> None:
    with guard.watching() as watch:
        print("one")
        print("two", file=sys.stderr, flush=True)
        sys.stdout.writelines(["three\n", "four\n"])
        sys.stdout.buffer.write("fünf\n".encode())
        sys.stdout.buffer.flush()
        assert watch.printed.startswith("one\n")
    assert watch.printed == "one\ntwo\nthree\nfour\nfünf\n"
    assert watch.problem is None


def test_printed_text_does_not_reach_the_real_streams(guard: Guard, capsys: pytest.CaptureFixture[str]) -> None:
    with guard.watching():
        print("one")
        print("two", file=sys.stderr)
    assert capsys.readouterr() == ("", "")
    print("three")
    assert capsys.readouterr() == ("three\n", "")


def test_text_printed_before_an_error_is_kept(guard: Guard) -> None:
    def run() -> None:
        print("one")
        raise ValueError

    with pytest.raises(ValueError), guard.watching() as watch:
        run()
    assert watch.printed == "one\n"


@pytest.mark.parametrize("stream", ["text", "bytes"])
def test_the_end_of_a_long_text_is_kept_in_little_memory(guard: Guard, stream: str) -> None:
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


def test_memory_of_many_small_writes_is_bounded(guard: Guard) -> None:
    with guard.watching() as watch:
        for index in range(50_000):
            print(index)
    assert len(watch.printed) == MOST
    assert watch.printed.endswith("49998\n49999\n")


def test_bytes_of_every_kind_are_kept(guard: Guard) -> None:
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


def test_kept_text_can_be_encoded(guard: Guard) -> None:
    with guard.watching() as watch:
        print("\udcff", end="")
    assert watch.printed == "\\udcff"


def test_a_value_of_the_wrong_type_is_refused(guard: Guard) -> None:
    with guard.watching() as watch:
        with pytest.raises(TypeError, match="must be str, not bytes"):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            sys.stdout.buffer.write("text")  # type: ignore[arg-type]
    assert watch.printed == ""


def test_the_stream_has_the_interface_of_a_text_stream(guard: Guard) -> None:
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
def test_fileno_raises_without_a_real_stream(guard: Guard, monkeypatch: pytest.MonkeyPatch, under: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", under)
        with guard.watching() as watch:
            print("one")
            with pytest.raises(io.UnsupportedOperation):
                sys.stdout.fileno()
        assert sys.stdout is under
    assert watch.printed == "one\n"


def test_a_stream_that_the_subject_replaces_is_restored(guard: Guard) -> None:
    with guard.watching() as watch:
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
        print("one")
        sys.stderr = io.StringIO()
        print("lost", file=sys.stderr)
    assert watch.printed == "one\n"


def test_text_that_the_subject_redirects_is_not_kept(guard: Guard) -> None:
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


def test_nested_runs_keep_their_own_text(guard: Guard) -> None:
    with guard.watching() as outer:
        print("a")
        with guard.watching() as inner:
            print("b")
        print("c")
    assert (outer.printed, inner.printed) == ("a\nc\n", "b\n")


def test_runs_in_threads_can_end_in_any_order(guard: Guard) -> None:
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


@needs_fork
def test_workers_of_a_data_loader_are_legal(guard: Guard) -> None:
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
