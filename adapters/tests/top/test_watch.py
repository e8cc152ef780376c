"""Real boards of this process and of others, and a run over time."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import BoardError, use_hub
from runtimeinfo.board import BoardSnapshot, layout, make_board_folder
from runtimeinfo.board._open_board import PATIENCE_S, OpenBoard
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.top import Runs, Timestamp
from runtimeinfo_adapters.top._watch import IterationRate, RunTracker, ScalarCurve

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


def later(seconds: float) -> Timestamp:
    now = Timestamp.now()
    return Timestamp(now.monotonic_s + seconds, now.wall_ns + round(seconds * 1e9))


def told(runs: Runs, now: Timestamp | None = None) -> list[tuple[str | None, str]]:
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
        then = Timestamp.now().wall_ns - round(age_s * 1e9)
        os.utime(path, ns=(then, then))
        return path

    return put


def with_cell(image: bytes, cell: int, value: int) -> bytes:
    at = cell * layout.CELL
    return image[:at] + value.to_bytes(layout.CELL, sys.byteorder, signed=True) + image[at + layout.CELL :]


def test_runs_without_a_board_folder(folder: Path) -> None:
    assert Runs().look() == []
    assert not folder.exists()


def test_latest_run_comes_first() -> None:
    with shared("one"), shared("two"), use_hub(MessageHub("three")):
        found = Runs().look()
    assert [run.experiment_name for run in found] == [None, "two", "one"]
    assert [run.is_current for run in found] == [True, False, False]
    assert {run.pid for run in found} == {os.getpid()}


def test_last_content_of_a_board_is_known_after_its_run_has_removed_it() -> None:
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


def test_run_with_the_same_board_name_is_another_one() -> None:
    runs = Runs()
    with shared("one") as hub:
        first = hub.board_path
        told(runs)
    with shared("two") as hub:
        assert hub.board_path == first
        assert told(runs) == [("two", "live"), ("one", "ended")]


def test_run_of_a_killed_process_is_dead_until_the_next_run_removes_its_board() -> None:
    subprocess.run([sys.executable, "-c", DIES], check=False)
    runs = Runs()
    assert told(runs) == told(runs, later(100)) == [("dies", "dead")]
    with shared("next"):
        assert told(runs, later(101)) == [("next", "live"), ("dies", "dead")]
    assert told(runs, later(110)) == [("next", "ended")]


def test_runs_of_one_process() -> None:
    with shared("ours"):
        assert told(Runs(pid=os.getpid())) == [("ours", "live")]
        assert told(Runs(pid=os.getppid())) == []


def test_run_in_another_container_is_live(image: bytes, put: Any) -> None:
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
        (
            lambda image: b"",
            "1-0.board is not a board to be trusted: it has 0 bytes, where a board has 65,536. Remove it",
        ),
        (lambda image: bytes(layout.SIZE), "1-0.board cannot be read: it does not begin like a board"),
        (
            lambda image: with_cell(image, layout.ENTRIES, 999),
            "the board 1-0.board is damaged: it says that it has 999",
        ),
    ],
)
def test_damaged_board_is_listed_with_its_fault(image: bytes, put: Any, content: Any, message: str) -> None:
    put("1-0.board", content(image))
    with shared("one"):
        run, damaged = Runs().look()
    assert (run.state, damaged.state, damaged.pid) == ("live", "damaged", 1)
    assert damaged.error is not None
    assert damaged.error.startswith(message)


def test_link_and_pipe_are_damaged_boards(put: Any, image: bytes) -> None:
    target = put("somewhere", image)
    folder = make_board_folder()
    (folder / "1-0.board").symlink_to(target)
    os.mkfifo(folder / "2-0.board", mode=0o600)
    for path in (folder / "1-0.board", folder / "2-0.board"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert [run.state for run in Runs().look()] == ["damaged", "damaged"]


def test_board_that_is_being_made_is_not_damaged(put: Any) -> None:
    put("1-0.board", b"", age_s=0)
    runs = Runs()
    assert runs.look() == []
    assert [run.state for run in runs.look(later(3))] == ["damaged"]


def test_board_that_is_damaged_while_it_is_watched_and_restored(put: Any, image: bytes) -> None:
    runs = Runs()
    put("1-0.board", image)
    assert told(runs) == [("image", "live")]
    put("1-0.board", image[:-1])
    assert told(runs) == [(None, "damaged")]
    put("1-0.board", image)
    assert told(runs) == [(None, "damaged")]  # it is read only now and then
    assert told(runs, later(6)) == [("image", "live")]
    (make_board_folder() / "1-0.board").unlink()
    assert told(runs, later(7)) == [("image", "ended")]


def test_board_with_an_unfinished_write_is_read_only_now_and_then(
    put: Any, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[OpenBoard] = []
    read = OpenBoard.read

    def counted(board: OpenBoard, patience_s: float) -> BoardSnapshot:
        reads.append(board)
        return read(board, patience_s)

    monkeypatch.setattr(OpenBoard, "read", counted)
    put("1-0.board", with_cell(image, layout.SEQUENCE, 7))
    runs = Runs()
    for _ in range(3):
        assert told(runs) == [("image", "live")]
    assert len(reads) == 1
    assert told(runs, later(6)) == [("image", "live")]
    assert len(reads) == 2


def test_many_boards_with_an_unfinished_write_share_the_patience_of_a_look(
    put: Any, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        put(f"1-{number}.board", with_cell(image, layout.SEQUENCE, 7))
    patience: list[float] = []
    read = OpenBoard.read

    def recording(board: OpenBoard, patience_s: float = PATIENCE_S) -> BoardSnapshot:
        patience.append(patience_s)
        return read(board, patience_s)

    monkeypatch.setattr(OpenBoard, "read", recording)
    assert told(Runs()) == [("image", "live")] * 8
    assert (patience[0], patience[-1]) == (PATIENCE_S, 0)


def test_folder_that_is_open_to_others_is_not_read(folder: Path) -> None:
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


TRAINS = {"loop_stage": "train", "max_iters": 100}


def watched(at: Any, board: Any, times: range, step: float = 1.0, **about: Any) -> RunTracker:
    """Return a tracker of a run that is looked at after each of its iterations."""
    tracker = RunTracker(board(times.start * step, iter=0, **TRAINS), at(times.start * step), **about)
    for number in times[1:]:
        tracker.update(board(number * step, iter=number, **TRAINS), at(number * step))
    return tracker


def test_run_without_infos(at: Any, board: Any) -> None:
    run = RunTracker(board(), at(0.5)).run(at(0.5))
    assert (run.state, run.is_stalled, run.experiment_name, run.loop_stage) == ("live", False, None, None)
    assert (run.epoch, run.iter, run.max_epochs, run.max_iters, run.rate, run.eta_s) == (None,) * 6
    assert run.age_s == pytest.approx(0.5)


def test_rate_and_eta(at: Any, board: Any) -> None:
    run = watched(at, board, range(11)).run(at(10))
    assert (run.iter, run.rate, run.eta_s) == (10, 1.0, 90.0)
    assert watched(at, board, range(11)).has_rate
    assert not watched(at, board, range(2)).has_rate


@pytest.mark.parametrize("last", [{"max_iters": None}, {"max_iters": 5}, {"iter": None}])
def test_eta_is_not_known(at: Any, board: Any, last: dict[str, Any]) -> None:
    tracker = watched(at, board, range(11))
    tracker.update(board(11, **({"iter": 11} | TRAINS | last)), at(11))
    assert tracker.run(at(11)).eta_s is None


@pytest.mark.parametrize("odd", [True, 1.5, "7", math.nan, (1,), 10**400])
def test_counter_that_is_not_an_int_is_not_known(at: Any, board: Any, odd: Any) -> None:
    infos = {"iter": odd, "epoch": odd, "max_iters": odd, "max_epochs": odd, "experiment_name": 5, "loop_stage": ()}
    run = RunTracker(board(**infos), at(0)).run(at(0))
    assert (run.epoch, run.iter, run.max_epochs, run.max_iters) == (None,) * 4
    assert (run.experiment_name, run.loop_stage) == (None, None)


def test_counters_out_of_range(at: Any, board: Any) -> None:
    tracker = RunTracker(board(0, iter=-(2**62), **TRAINS), at(0))
    for second in range(1, 4):
        tracker.update(board(second, iter=2**62 + second, **TRAINS), at(second))
    run = tracker.run(at(4))
    assert (run.iter, run.eta_s) == (2**62 + 3, None)


# -- the curves


def test_no_curve_is_kept_where_none_is_wanted() -> None:
    hub = MessageHub("curves", runtime_info={"loop_stage": "train"})
    hub.update_scalar("loss", 0.5)
    hub.share()
    try:
        (run,), (without,) = Runs().look(), Runs(curves=False).look()
    finally:
        hub.unshare()
    assert (run.curves, without.curves) == ({"loss": (0.5,)}, {})
    assert run.scalars == without.scalars


# -- the age


def test_age_grows_until_the_next_write(at: Any, board: Any) -> None:
    tracker = RunTracker(board(0), at(2))
    assert tracker.run(at(5)).age_s == pytest.approx(5)
    tracker.update(board(5.5), at(6))
    assert tracker.run(at(7)).age_s == pytest.approx(1.5)


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
def test_clock_that_is_set_changes_no_age(at: Any, board: Any, wrong: float) -> None:
    tracker = RunTracker(board(0), at(0))
    assert tracker.run(at(3, wrong)).age_s == pytest.approx(3)
    tracker.update(board(4 + wrong), at(4.5, wrong))
    assert tracker.run(at(5, wrong)).age_s == pytest.approx(1)
    tracker.update(board(6), at(6.5, wrong))  # it was written since the last look, whatever the clocks say
    assert 0 <= tracker.run(at(6.5, wrong)).age_s <= 2


def test_write_in_the_future_is_new_and_ages(at: Any, board: Any) -> None:
    tracker = RunTracker(board(9999), at(0))
    assert tracker.run(at(0)).age_s == 0
    assert tracker.run(at(31)).age_s == pytest.approx(31)


# -- stalled


def test_run_stalls_after_a_long_silence(at: Any, board: Any) -> None:
    tracker = watched(at, board, range(11))
    assert [tracker.run(at(second)).is_stalled for second in (10, 39, 41)] == [False, False, True]
    stalled = tracker.run(at(41))
    assert (stalled.state, stalled.rate, stalled.eta_s) == ("live", None, None)
    tracker.update(board(42, iter=11, **TRAINS), at(42))
    assert not tracker.run(at(42)).is_stalled


def test_slow_run_stalls_after_ten_of_its_pauses(at: Any, board: Any) -> None:
    tracker = watched(at, board, range(11), step=20)
    assert [tracker.run(at(200 + second)).is_stalled for second in (190, 210)] == [False, True]


def test_looks_that_are_rarer_than_the_writes_make_no_run_slow(at: Any, board: Any) -> None:
    by_iter, by_updates = (RunTracker(board(0, **about), at(0)) for about in ({"iter": 0, **TRAINS}, TRAINS))
    for look in range(1, 6):
        second = 60 * look
        by_iter.update(board(second, iter=second, **TRAINS), at(second))
        by_updates.update(board(second, scalars={"train/loss": (0.5, second)}, **TRAINS), at(second))
    for tracker in (by_iter, by_updates):
        assert [tracker.run(at(300 + second)).is_stalled for second in (29, 31)] == [False, True]


def test_pauses_at_the_first_look_follow_from_the_updates(at: Any, board: Any) -> None:
    slow = board(200, scalars={"train/loss": (0.5, 10)}, **TRAINS)
    fast = board(200, scalars={"train/loss": (0.5, 1000)}, **TRAINS)
    assert not RunTracker(slow, at(300)).run(at(300)).is_stalled
    assert RunTracker(fast, at(300)).run(at(300)).is_stalled


@pytest.mark.parametrize("stage", ["val", "test", None])
def test_run_outside_of_training_stalls_later(at: Any, board: Any, stage: str | None) -> None:
    tracker = RunTracker(board(0, loop_stage=stage), at(0))
    assert [tracker.run(at(second)).is_stalled for second in (599, 601)] == [False, True]


def test_stalled_after_is_obeyed(at: Any, board: Any) -> None:
    tracker = watched(at, board, range(1), stalled_after=2.0)
    assert [tracker.run(at(second)).is_stalled for second in (1.9, 2.1)] == [False, True]


@pytest.mark.parametrize("state", ["ended", "dead"])
def test_run_that_is_over_does_not_stall(at: Any, board: Any, state: str) -> None:
    tracker = watched(at, board, range(11))
    tracker.update(board(10, state=state, iter=10, **TRAINS), at(11))
    run = tracker.run(at(999))
    assert (run.state, run.is_stalled, run.rate, run.eta_s) == (state, False, None, None)
    assert tracker.has_rate


# -- scalars


def test_curves_of_scalars(at: Any, board: Any) -> None:
    tracker = RunTracker(board(0, scalars={"train/loss": (3.0, 1)}), at(0))
    tracker.update(board(1, scalars={"train/loss": (2.0, 5), "val/acc": (math.nan, 1)}), at(1))
    run = tracker.run(at(1))
    assert run.curves["train/loss"] == (3.0, 2.0)
    assert repr(run.curves["val/acc"]) == "(nan,)"
    tracker.update(board(2, scalars={"val/acc": (0.5, 2)}), at(2))  # the hub has forgotten the other
    assert tracker.run(at(2)).curves.keys() == {"val/acc"}


def test_unshared_values_are_counted(at: Any, board: Any) -> None:
    run = RunTracker(board(0, unshared=frozenset({"picture"}), unshared_numbers=2), at(0)).run(at(0))
    assert run.unshared == 3


def test_rate_takes_two_changes_of_the_counter() -> None:
    rate = IterationRate()
    rates = []
    for second, iter in enumerate([5, 5, 7, 7, 9]):
        rate.update(float(second), iter)
        rates.append(rate.at(float(second)))
    assert rates == [None, None, None, None, 1.0]
    assert rate.timed_s == 2.0


def test_rate_of_slow_iterations() -> None:
    rate = IterationRate()
    for tick in range(4 * 60):  # four looks a second, an iteration every 20 seconds
        rate.update(tick / 4, tick // 80)
    assert rate.at(239 / 4) == pytest.approx(1 / 20)


def test_rate_is_that_of_the_last_15_seconds() -> None:
    rate = IterationRate()
    iter = 0
    for second in range(100):
        iter += 10 if second < 50 else 2
        rate.update(float(second), iter)
    assert rate.at(99.0) == pytest.approx(2.0)


def test_rate_falls_during_a_long_iteration() -> None:
    rate = IterationRate()
    for second in range(5):
        rate.update(float(second), second)
    assert rate.at(4.0) == 1.0
    assert rate.at(99.0) == pytest.approx(4 / 98)


def test_rate_leaves_out_a_validation() -> None:
    rate = IterationRate()
    for second in range(4):
        rate.update(float(second), 10 * second)
    for second in range(4, 100):
        rate.update(float(second), None)
        assert rate.at(float(second)) == 10.0
    for second in range(100, 103):
        rate.update(float(second), 10 * (second - 96))
        assert rate.at(float(second)) == 10.0


def test_rate_begins_again_with_another_training() -> None:
    rate = IterationRate()
    for second in range(4):
        rate.update(float(second), 10 * second)
    rate.update(4.0, 0)
    assert rate.at(4.0) is None
    rate.update(5.0, 1)
    rate.update(6.0, 2)
    assert rate.at(6.0) == 1.0


def test_rate_of_looks_at_the_same_time_is_not_known() -> None:
    rate = IterationRate()
    for iter in range(4):
        rate.update(1.0, iter)
    assert rate.at(1.0) is None


def test_curve_has_a_value_that_is_published_twice_twice() -> None:
    curve = ScalarCurve()
    for updates in (1, 2, 2, 3):
        curve.update(0.5, updates)
    assert curve.values == (0.5, 0.5, 0.5)


def test_curve_without_counts_has_each_different_value() -> None:
    curve = ScalarCurve()
    for value in (0.5, math.nan, math.nan, 0.25):
        curve.update(value, 0)
    assert repr(curve.values) == "(0.5, nan, 0.25)"


def test_curve_of_a_long_time_is_short_and_complete() -> None:
    curve = ScalarCurve()
    longest = 0
    for updates in range(10_000):
        curve.update(float(updates), updates)
        longest = max(longest, len(curve.values))
    assert longest <= 128
    assert curve.values[0] < 200
    assert curve.values[-1] > 9_800
    assert list(curve.values) == sorted(curve.values)


def test_curve_of_the_largest_numbers_does_not_overflow() -> None:
    curve = ScalarCurve()
    for updates in range(1_000):
        curve.update(1.7e308, updates)
    assert curve.values[0] == pytest.approx(1.7e308)


@pytest.fixture
def board_file() -> Path:
    """A board that was removed, and restored."""
    hub = MessageHub("held", runtime_info={"epoch": 3})
    image = hub.share().path.read_bytes()
    hub.unshare()
    path = make_board_folder() / "1-0.board"
    path.touch(mode=0o600)
    path.write_bytes(image)
    return path


def test_open_board_is_read_after_it_was_removed(board_file: Path) -> None:
    held = OpenBoard(board_file)
    board_file.unlink()
    assert held.read().infos == {"epoch": 3}
    held.close()


def test_open_board_can_become_damaged(board_file: Path) -> None:
    held = OpenBoard(board_file)
    with board_file.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(BoardError, match="has 100 bytes"):
        held.read()
    held.close()


def test_open_board_refuses_a_link_a_pipe_and_a_folder(board_file: Path) -> None:
    link, pipe, folder = (board_file.with_name(name) for name in ("2-0.board", "3-0.board", "4-0.board"))
    link.symlink_to(board_file)
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (link, board_file.with_name("5-0.board")):
        with pytest.raises(BoardError, match="cannot be opened"):
            OpenBoard(path)
    for path in (pipe, folder):
        with pytest.raises(BoardError, match="is not a plain file"):
            OpenBoard(path).read()
