"""Sinks that are copied or pickled with a trainer: each copy begins afresh, and appends where its kind appends."""

from __future__ import annotations

import copy
import csv
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter, ProgressBar, Row, RowSink, TensorBoardWriter


class Connection(RowSink):
    """A sink of a third party: what `open` sets cannot be pickled, and must not be shared."""

    def open(self, hub: Any) -> None:
        self.lines = self.path.open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        self.lines.write(f"{row.scalars['train/loss']}\n")
        self.lines.flush()

    def close(self) -> None:
        self.lines.close()


def jsonl_losses(path: Path) -> list[float]:
    return [json.loads(line)["train/loss"] for line in path.read_text().splitlines()]


def csv_losses(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file, strict=True)]


def tensorboard_losses(path: Path) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = {file.parent for file in path.rglob("*tfevents*")}  # one for each training
    events = [event for folder in folders for event in EventAccumulator(str(folder)).Reload().Scalars("train/loss")]
    # Their times are rounded to milliseconds: two can be the same.
    return [event.value for event in sorted(events, key=lambda event: (event.wall_time, event.step))]


def text_losses(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().splitlines()]


def pickled(sink: Any) -> Any:
    return pickle.loads(pickle.dumps(sink))


WRITERS = [
    (CSVWriter, csv_losses),
    (JSONLWriter, jsonl_losses),
    (TensorBoardWriter, tensorboard_losses),
    (Connection, text_losses),
]
EACH_WRITER = pytest.mark.parametrize(("kind", "losses"), WRITERS)
EACH_COPY = pytest.mark.parametrize("make_copy", [copy.deepcopy, pickled, copy.copy])


class AtIteration:
    """A hook that calls a function after an iteration, when the sinks have written."""

    priority = "LOWEST"

    def __init__(self, call: Callable[[], None], batch_idx: int = 1) -> None:
        self.call, self.batch_idx = call, batch_idx

    def __getstate__(self) -> dict[str, Any]:
        return {"call": nothing, "batch_idx": self.batch_idx}  # a copy of the trainer makes no more copies

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if batch_idx == self.batch_idx:
            self.call()


class JoinLater:
    """A hook that copies a sink in the middle of a run, and calls the copy from then on."""

    priority = "LOW"

    def __init__(self, sink: Any, batch_idx: int) -> None:
        self.sink, self.batch_idx = sink, batch_idx
        self.copied: Any = None

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == self.batch_idx:
            self.copied = pickled(self.sink)
        if self.copied is not None and hasattr(self.copied, "before_train_iter"):
            self.copied.before_train_iter(runner, batch_idx)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.copied is not None:
            self.copied.after_train_iter(runner, batch_idx)

    def after_run(self, runner: Any) -> None:
        self.copied.after_run(runner)


def nothing() -> None:
    pass


@EACH_COPY
@EACH_WRITER
@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_copy_of_a_writer_appends(kind: Any, losses: Any, make_copy: Any, moment: str, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    sink = kind(tmp_path / "out", interval=1)
    copies = []
    if moment == "before":
        copies.append(make_copy(sink))
    hook = AtIteration(lambda: copies.append(make_copy(sink)) if moment == "during" else None)
    train([sink, hook], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])
    if moment == "after":
        copies.append(make_copy(sink))
    (copied,) = copies
    assert copied.path == sink.path == tmp_path / "out"
    train([copied], [{"loss": 4.0}])
    train([sink], [{"loss": 5.0}])
    assert losses(sink.path) == [1.0, 2.0, 3.0, 4.0, 5.0]


@EACH_WRITER
def test_a_copy_trains_while_its_original_does(kind: Any, losses: Any, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    sink = kind(tmp_path / "out", interval=1)

    def train_copy() -> None:
        train([pickled(sink)], [{"loss": 2.5}])

    train([sink, AtIteration(train_copy)], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])
    assert losses(sink.path) == [1.0, 2.0, 2.5, 3.0]


@EACH_WRITER
def test_a_copy_that_joins_the_run_of_its_original_writes_the_rest(kind: Any, losses: Any, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    sink = kind(tmp_path / "out", interval=1)
    late = JoinLater(sink, batch_idx=2)
    train([sink, late], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}, {"loss": 4.0}])
    assert losses(sink.path) == [1.0, 2.0, 3.0, 3.0, 4.0, 4.0]


def test_copies_of_a_trainer_carry_their_sinks(tmp_path) -> None:  # type: ignore[no-untyped-def]
    writers = [kind(tmp_path / kind.__name__, interval=1) for kind, _ in WRITERS]
    copies: list[Any] = []

    def take_copies() -> None:
        copies.extend((copy.deepcopy(loop), pickled(loop)))

    def run(loop: Loop[Any]) -> None:
        with loop.run():
            for _ in loop.train():
                loop.log(loss=float(loop.iter))

    with (tmp_path / "shown").open("w") as file:
        hooks = [*writers, ProgressBar(file=file), AtIteration(take_copies)]
        loop: Loop[Any] = Loop(train_loader=[0, 1, 2], hooks=hooks)
        run(loop)
        for each in copies:
            run(each)
    for writer, (_, losses) in zip(writers, WRITERS, strict=True):
        # The unpickled one is the same run, which goes on at iter 1: it replaces the points of the original.
        of_original = [0.0] if isinstance(writer, TensorBoardWriter) else [0.0, 1.0, 2.0]
        assert losses(writer.path) == [*of_original, 1.0, 2.0, 1.0, 2.0]


def test_a_csv_copy_and_its_original_may_add_columns_in_turn(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    sink = CSVWriter(tmp_path / "out.csv", interval=1)

    def train_copy() -> None:
        train([pickled(sink)], [{"z": 1.0}, {"a": 2.0}])

    train([sink, AtIteration(train_copy)], [{"b": 3.0}, {"loss": 4.0}, {"a": 5.0, "c": 6.0}])
    with sink.path.open(newline="") as file:
        rows = [
            {key: cell for key, cell in row.items() if key.startswith("train/") and cell}
            for row in csv.DictReader(file, strict=True)
        ]
    assert rows == [
        {"train/b": "3.0"},
        {"train/loss": "4.0"},
        {"train/z": "1.0"},
        {"train/a": "2.0"},
        {"train/a": "5.0", "train/c": "6.0"},
    ]


def test_a_csv_file_that_another_program_replaces_stops_the_sink_and_not_the_run(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    sink = CSVWriter(tmp_path / "out.csv", interval=1)

    def replace() -> None:
        sink.path.write_text("name,age\n")

    with pytest.warns(UserWarning, match=r"CSVWriter stops, .* was not written by CSVWriter"):
        loop = train([sink, AtIteration(replace)], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])
    assert loop.iter == 3
    assert sink.path.read_text() == "name,age\n"


def test_infos_are_written_by_a_tensorboard_copy_too(train, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = TensorBoardWriter(tmp_path, all_ranks=True)
    train([sink], [{"loss": 1.0}], cfg="lr = 0.1")
    monkeypatch.setenv("RANK", "1")
    train([pickled(sink)], [{"loss": 1.0}], cfg="lr = 0.1")
    for rank in (0, 1):
        events = EventAccumulator(str(tmp_path / f"rank{rank}")).Reload()
        assert "cfg/text_summary" in events.Tags()["tensors"]


def test_a_copy_keeps_the_arguments(train, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("RANK", "1")
    sink = JSONLWriter(tmp_path / "out.jsonl", interval=2, reduce="mean", all_ranks=True)
    train([sink], [{"loss": 1.0}, {"loss": 2.0}])
    monkeypatch.setenv("RANK", "2")
    copied = pickled(sink)
    assert copied.path == tmp_path / "out.jsonl"  # the rank is that of the process in which it runs
    train([copied], [{"loss": 1.0}, {"loss": 2.0}])
    assert copied.path == tmp_path / "out.rank2.jsonl"
    assert jsonl_losses(copied.path) == [1.5]


@EACH_COPY
@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize("stream", [None, "stdout", "file"])
def test_a_copy_of_a_bar_shows_its_own(  # type: ignore[no-untyped-def]
    make_copy: Any, moment: str, stream: str | None, train, capsys, tmp_path
) -> None:
    with (tmp_path / "log").open("w") as log:
        bar = ProgressBar(keys=["train/loss"], file=log if stream == "file" else sys.stdout if stream else None)
        copies = []
        if moment == "before":
            copies.append(make_copy(bar))
        hook = AtIteration(lambda: copies.append(make_copy(bar)) if moment == "during" else None)
        train([bar, hook], [{"loss": 1.0, "grad": 2.0}, {"loss": 2.0}, {"loss": 3.0}])
        if moment == "after":
            copies.append(make_copy(bar))
        capsys.readouterr()
        (copied,) = copies
        train([copied], [{"loss": 4.0, "grad": 2.0}])
        out, err = capsys.readouterr()
    shown, other = (out, err) if stream == "stdout" else (err, out)
    assert shown.startswith("train: 100% 1/1 [")
    assert shown.endswith("epoch=1/1, loss=4]\n")
    assert other == ""


def test_a_copy_of_a_bar_that_joins_the_run_of_its_original_shows_the_rest(train, capsys) -> None:  # type: ignore[no-untyped-def]
    bar = ProgressBar(mininterval=0, line_interval=0)
    train([bar, JoinLater(bar, batch_idx=1)], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])
    lines = [line.partition(" [")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["train: 33% 1/3", *["train: 67% 2/3"] * 2, *["train: 100% 3/3"] * 2]


def test_a_bar_of_a_process_without_a_console_can_be_copied(train, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        copied = pickled(ProgressBar())
    train([copied], [{"loss": 1.0}])
    assert capsys.readouterr().err.startswith("train: 100% 1/1 [")


SPAWNED = """
import pickle, sys
from pathlib import Path
from runtimeinfo_adapters.pytorch import Loop

hooks = pickle.loads(Path(sys.argv[1]).read_bytes())
loop = Loop(train_loader=[4.0], max_epochs=1, hooks=hooks)
with loop.run():
    for _ in loop.epochs():
        for loss in loop.train():
            loop.log(loss=loss)
"""


def test_sinks_of_a_running_trainer_work_in_a_spawned_process(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    writers = [kind(tmp_path / kind.__name__, interval=1) for kind, _ in WRITERS if kind is not Connection]
    sinks = [*writers, ProgressBar(file=sys.stdout)]
    file = tmp_path / "sinks.pickle"
    hook = AtIteration(lambda: file.write_bytes(pickle.dumps(sinks)) and None)
    train([*sinks, hook], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])
    done = subprocess.run([sys.executable, "-c", SPAWNED, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("train: 100% 1/1 [")
    for writer, (_, losses) in zip(writers, WRITERS, strict=False):
        assert losses(writer.path) == [1.0, 2.0, 3.0, 4.0]
