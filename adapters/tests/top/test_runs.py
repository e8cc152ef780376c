"""Real boards, of this process and of others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import BoardError, use_hub
from runtimeinfo.board import BoardSnapshot, layout, make_board_folder, read_board
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.top import Moment, Runs

DIES = """
import os, signal
from runtimeinfo_adapters import MessageHub
hub = MessageHub("dies", runtime_info={"experiment_name": "dies", "iter": 7})
hub.share()
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def shared(name: str, **infos: Any) -> Iterator[MessageHub]:
    hub = MessageHub(name, runtime_info={"experiment_name": name, **infos})
    hub.share()
    try:
        yield hub
    finally:
        hub.unshare()


def later(seconds: float) -> Moment:
    now = Moment.now()
    return Moment(now.at + seconds, now.wall_ns + round(seconds * 1e9))


def told(runs: Runs, now: Moment | None = None) -> list[tuple[str | None, str]]:
    return [(run.experiment_name, run.state) for run in runs.look(now)]


@pytest.fixture
def image() -> bytes:
    with shared("image", epoch=1) as hub:
        assert hub.board_path is not None
        return hub.board_path.read_bytes()


@pytest.fixture
def put() -> Callable[[str, bytes], Path]:
    def put(name: str, content: bytes, age_s: float = 60) -> Path:
        path = make_board_folder() / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        then = Moment.now().wall_ns - round(age_s * 1e9)
        os.utime(path, ns=(then, then))
        return path

    return put


def with_cell(image: bytes, cell: int, value: int) -> bytes:
    at = cell * layout.CELL
    return image[:at] + value.to_bytes(layout.CELL, sys.byteorder, signed=True) + image[at + layout.CELL :]


def test_nobody_has_ever_run(folder: Path) -> None:
    assert Runs().look() == []
    assert not folder.exists()


def test_the_latest_run_comes_first() -> None:
    with shared("one"), shared("two"), use_hub(MessageHub("three")):
        found = Runs().look()
    assert [run.experiment_name for run in found] == [None, "two", "one"]
    assert [run.is_current for run in found] == [True, False, False]
    assert {run.pid for run in found} == {os.getpid()}


def test_what_a_run_said_last_is_known_after_it_has_taken_its_board_away() -> None:
    runs = Runs()
    with shared("one", iter=1) as hub:
        path = hub.board_path
        assert told(runs) == [("one", "live")]
        hub.update_info("iter", 2)
        hub.update_scalar("val/acc", 0.9)
        hub.update_info("loop_stage", "val")
    (run,) = runs.look()
    assert (run.state, run.iter, run.scalars["val/acc"].value) == ("ended", 2, 0.9)
    assert run.path == path
    assert told(runs, later(7)) == [("one", "ended")]
    assert told(runs, later(9)) == []


def test_a_run_that_follows_in_the_same_place_is_another_one() -> None:
    runs = Runs()
    with shared("one") as hub:
        first = hub.board_path
        told(runs)
    with shared("two") as hub:
        assert hub.board_path == first
        assert told(runs) == [("two", "live"), ("one", "ended")]


def test_a_run_whose_process_was_killed_is_dead_and_stays_so_until_the_next_run_clears_it_away() -> None:
    subprocess.run([sys.executable, "-c", DIES], check=False)
    runs = Runs()
    assert told(runs) == told(runs, later(100)) == [("dies", "dead")]
    with shared("next"):
        assert told(runs, later(101)) == [("next", "live"), ("dies", "dead")]
    assert told(runs, later(110)) == [("next", "ended")]


def test_runs_of_one_process_alone() -> None:
    with shared("ours"):
        assert told(Runs(pid=os.getpid())) == [("ours", "live")]
        assert told(Runs(pid=os.getppid())) == []


def test_a_run_in_another_container(image: bytes, put: Any) -> None:
    put("1-0.board", with_cell(image, layout.PID_NAMESPACE, 4711))
    (run,) = Runs().look()
    assert (run.is_elsewhere, run.state) == (True, "live")
    put("1-0.board", image)
    (run,) = Runs().look()
    assert not run.is_elsewhere


# -- boards that are none


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda image: b"", "1-0.board is no board to be trusted: it has 0 bytes, where a board has 65,536. Remove it"),
        (lambda image: bytes(layout.SIZE), "1-0.board cannot be read: it does not begin like a board"),
        (
            lambda image: with_cell(image, layout.ENTRIES, 999),
            "the board 1-0.board is damaged: it says that it has 999",
        ),
    ],
)
def test_a_damaged_board_is_told_of(image: bytes, put: Any, content: Any, message: str) -> None:
    put("1-0.board", content(image))
    with shared("one"):
        run, damaged = Runs().look()
    assert (run.state, damaged.state, damaged.pid) == ("live", "damaged", 1)
    assert damaged.error is not None
    assert damaged.error.startswith(message)


def test_a_link_and_a_pipe_are_damaged_boards(put: Any, image: bytes) -> None:
    target = put("somewhere", image)
    folder = make_board_folder()
    (folder / "1-0.board").symlink_to(target)
    os.mkfifo(folder / "2-0.board", mode=0o600)
    for path in (folder / "1-0.board", folder / "2-0.board"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert [run.state for run in Runs().look()] == ["damaged", "damaged"]


def test_a_board_that_is_being_made_is_not_called_damaged(put: Any) -> None:
    put("1-0.board", b"", age_s=0)
    runs = Runs()
    assert runs.look() == []
    assert [run.state for run in runs.look(later(3))] == ["damaged"]


def test_a_board_that_is_damaged_while_it_is_watched_and_is_right_again(put: Any, image: bytes) -> None:
    runs = Runs()
    put("1-0.board", image)
    assert told(runs) == [("image", "live")]
    put("1-0.board", image[:-1])
    assert told(runs) == [(None, "damaged")]
    put("1-0.board", image)
    assert told(runs) == [(None, "damaged")]  # it is read now and then only
    assert told(runs, later(6)) == [("image", "live")]
    (make_board_folder() / "1-0.board").unlink()
    assert told(runs, later(7)) == [("image", "ended")]


def test_a_writer_that_was_stopped_amid_a_write_is_waited_for_only_now_and_then(
    put: Any, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def read(path: Path) -> BoardSnapshot:
        reads.append(path)
        return read_board(path)

    monkeypatch.setattr("runtimeinfo_adapters.top._runs.read_board", read)
    put("1-0.board", with_cell(image, layout.SEQUENCE, 7))
    runs = Runs()
    for _ in range(3):
        assert told(runs) == [("image", "live")]
    assert len(reads) == 1
    assert told(runs, later(6)) == [("image", "live")]
    assert len(reads) == 2


def test_a_folder_that_is_open_to_others_is_not_read(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(BoardError, match="is open to others"):
        Runs().look()


def test_no_descriptor_is_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    runs = Runs()
    for number in range(10):
        with shared(f"run {number}"):
            runs.look()
    runs.look()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
