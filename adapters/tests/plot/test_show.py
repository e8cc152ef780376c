"""Plots of files and of real live runs: into files and as text."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import use_hub
from runtimeinfo.board import find_board
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.plot import Picture, PlotOptionError, picture_of, plot
from runtimeinfo_adapters.plot._live import Watch
from runtimeinfo_adapters.plot._show import _pyplot, _show_window
from runtimeinfo_adapters.plot._sources import is_live, read_source, short_names

TRAINING = """
import time
from runtimeinfo_adapters.pytorch import Loop
loop = Loop(train_loader=range({iterations}), max_epochs=1, experiment_name="watched")
with loop.run():
    for _ in loop.epochs():
        for batch in loop.train():
            loop.log(loss=1.0 / (batch + 1))
            time.sleep(0.02)
"""


@pytest.fixture
def training(board_folder: Path) -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    """Return a function that starts a real training in another process, and waits until it trains."""
    started: list[subprocess.Popen[bytes]] = []

    def start(iterations: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", TRAINING.format(iterations=iterations)],
        )
        started.append(process)
        while not any(run.curves for run in Watch(["watched"]).curves()):
            assert process.poll() is None
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_files_are_plotted_into_a_file_and_as_text(train: Any, tmp_path: Path, capsys: Any) -> None:
    sources = [str(train(name) / "metrics.csv") for name in ("first", "second")]
    assert plot(sources, output=str(tmp_path / "out.png")) == []
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == ""
    assert plot(sources) == []
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "train/loss"
    assert shown[-2:] == ["a first", "b second"]


def test_source_that_cannot_be_read_does_not_keep_the_others_from_being_plotted(
    train: Any, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    good = str(train() / "metrics.csv")
    problems = plot([str(tmp_path / "notes.txt"), good, "nobody", "123456789"])
    assert [problem.source for problem in problems] == [str(tmp_path / "notes.txt"), "nobody", "123456789"]
    assert "'nobody' is neither a file nor a live run of this user; these live: none." in str(problems[1])
    assert "train/loss" in capsys.readouterr().out


def test_nothing_is_written_where_nothing_can_be_read(tmp_path: Path) -> None:
    (problem,) = plot(["nobody"], output=str(tmp_path / "out.png"))
    assert problem.source == "nobody"
    assert not (tmp_path / "out.png").exists()


def test_notes_and_too_many_scalars_are_reported(tmp_path: Path) -> None:
    columns = ",".join(f"s{number}" for number in range(60))
    (tmp_path / "many.csv").write_text(f"step,{columns}\n1{',2' * 60}\n2\n")
    notes: list[str] = []
    plot([str(tmp_path / "many.csv")], report=notes.append)
    assert notes == [
        f"{tmp_path}/many.csv: 1 damaged line is left out",
        "12 more scalars have no place: choose some with --scalar",
    ]


def test_hub_is_found_by_each_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIMEINFO_JOB", "job-7")
    hub = MessageHub("watched", runtime_info={"experiment_name": "digits", "iter": 3, "epoch": 1}, run_id="abcdef-1")
    hub.update_scalar("train/loss", 0.5)
    with use_hub(hub):
        board = str(find_board(os.getpid()))
        for name in (str(os.getpid()), "digits", "abcdef-1", "abcdef", "job-7", board):
            assert is_live(name)
            watch = Watch([name])
            hub.update_scalar("train/loss", 0.25)
            hub.update_info("epoch", 1)
            watch.look()
            (run,) = watch.curves()
            curve = run.curves["train/loss"]
            assert curve.values.tolist()[-1] == 0.25
            assert curve.iters is not None
            assert curve.epochs is not None
            assert (curve.iters[-1], curve.epochs[-1]) == (3, 1)
            hub.update_scalar("train/loss", 0.5)
            hub.update_info("epoch", 1)
        assert [str(problem.source) for problem in Watch(["abcde", "digit"]).problems] == ["abcde", "digit"]


def test_ranks_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    hubs = [MessageHub(f"rank-{rank}", runtime_info={"experiment_name": "digits"}) for rank in range(11)]
    with ExitStack() as stack:
        for rank in (2, 10, 0):
            monkeypatch.setenv("RANK", str(rank))
            hubs[rank].update_scalar("loss", float(rank))
            stack.enter_context(use_hub(hubs[rank]))
        assert [run.name for run in Watch(["digits"]).curves()] == ["digits rank 0", "digits rank 2", "digits rank 10"]


def test_scalar_of_a_live_run_may_come_later(tmp_path: Path, capsys: Any) -> None:
    hub = MessageHub("watched", runtime_info={"experiment_name": "digits"})
    later = threading.Timer(1.0, lambda: (hub.update_scalar("val/acc", 0.5), hub.update_info("epoch", 1)))
    with use_hub(hub):
        (problem,) = plot(["digits"], output=str(tmp_path / "out.png"), seconds=0.2)
        assert str(problem).startswith("digits has no scalar, in ")
        assert not (tmp_path / "out.png").exists()
        later.start()
        assert plot(["digits"], scalars=["val/*"], seconds=4.0) == []
        assert capsys.readouterr().out.startswith("val/acc")
        with pytest.raises(PlotOptionError, match="no scalar matches 'test/"):
            plot(["digits"], scalars=["test/*"], seconds=0.2)


def test_live_run_is_watched_until_it_ends(training: Any, tmp_path: Path) -> None:
    process = training(60)
    watch = Watch(["watched"])
    watch.watch(60)
    assert watch.is_over
    assert process.wait(10) == 0
    (run,) = watch.curves()
    curve = run.curves["train/loss"]
    assert len(curve.values) > 3
    assert curve.iters is not None
    assert (curve.iters[1:] > curve.iters[:-1]).all()
    assert (curve.values[1:] < curve.values[:-1]).all()
    assert curve.values[-1] == pytest.approx(1 / 60)


def test_live_run_is_plotted_for_some_seconds_beside_a_file(training: Any, train: Any, tmp_path: Path) -> None:
    training(100_000)
    metrics = str(train() / "metrics.csv")
    problems = plot(["watched", metrics], output=str(tmp_path / "out.png"), seconds=0.5)
    assert problems == []
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_killed_run_ends_the_watch(training: Any) -> None:
    process = training(100_000)
    watch = Watch(["watched"])
    process.kill()
    process.wait()
    watch.watch(60)
    assert watch.is_over
    assert watch.curves()[0].curves["train/loss"].values.size


def test_without_a_display_there_is_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert _pyplot() is None
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert _pyplot() is None  # this backend has no windows


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive:UserWarning")
def test_window_shows_a_live_run_beside_a_file(train: Any) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")  # without a display: it keeps the figures of windows, and shows none
    (run,) = read_source(str(train() / "metrics.csv"))
    hub = MessageHub("watched", runtime_info={"experiment_name": "digits", "iter": 3})
    hub.update_scalar("train/loss", 0.5)
    with use_hub(hub):
        watch = Watch(["digits"])

        def picture(most_points: int, *, is_final: bool) -> Picture:
            return picture_of([run, *watch.curves()], scalars=["train/loss"], most_points=most_points)

        _show_window(plt, picture, watch, 0.3)
    figure = plt.gcf()
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].get_lines()}
    assert lines == {"metrics.csv": list(range(4, 40, 5)), "digits": [0.5]}
    plt.close(figure)


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_key_ends_the_watch_in_a_terminal_and_leaves_the_last_picture(key: bytes) -> None:
    hub = MessageHub("watched", runtime_info={"experiment_name": "digits", "iter": 3})
    hub.update_scalar("train/loss", 0.5)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (20, 60))
    code = "from runtimeinfo_adapters.plot import plot; plot(['digits'], in_terminal=True)"
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with use_hub(hub):
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        output = b""
        while output.count("● ".encode()) < 2:  # it is redrawn
            output += os.read(ours, 65536)
        os.write(ours, key)
        try:
            while part := os.read(ours, 65536):
                output += part
        except OSError:  # the other side is closed
            pass
        assert process.wait(30) == 0
    os.close(ours)
    assert b"\x1b[?1049h" in output
    last = output.rpartition(b"\x1b[?1049l")[2].decode()
    assert last.lstrip().startswith("\x1b[1mtrain/loss\x1b[0m")
    assert "digits" in last


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["runs/a/metrics.csv", "runs/b/metrics.csv"], ["a", "b"]),
        (["a.csv", "b.csv"], ["a.csv", "b.csv"]),
        (["runs/a", "runs/a/x"], ["a", "a/x"]),
        (["a.csv", "a.csv"], ["a.csv", "a.csv"]),
        (["/x/run/metrics.csv"], ["metrics.csv"]),
        (["/a", "/"], None),
        ([".", ".."], [".", ".."]),
        ([], []),
    ],
)
def test_names_are_where_paths_differ(given: list[str], names: list[str] | None) -> None:
    found = short_names(given)
    assert len(found) == len(given)
    assert names is None or found == names


def test_folder_of_rows_is_read(train: Any) -> None:
    folder = train()
    (run,) = read_source(str(folder))  # its event files, which have all that the others have
    assert run.name == "run/tensorboard"
    for path in (folder / "tensorboard").iterdir():
        path.unlink()
    assert [run.name for run in read_source(str(folder))] == ["run/metrics.csv", "run/metrics.jsonl"]
