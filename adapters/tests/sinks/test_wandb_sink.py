"""What W&B's own messages say in the file of an offline run, which `wandb sync` would send."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb", reason="no W&B: pip install 'runtimeinfo[wandb]'")

import wandb
from wandb.proto import wandb_internal_pb2

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import SinkError, SinkWarning, WandbSink

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

_BLOCK = 32768


def records(path: Path) -> Iterator[Any]:
    """The records of a file: a log of LevelDB in blocks, each record whole or in parts."""
    data, at, parts = path.read_bytes(), 7, b""  # after the header of W&B
    while at + 7 <= len(data):
        rest = _BLOCK - at % _BLOCK
        if rest < 7:
            at += rest
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def values(items: Any) -> dict[str, Any]:
    return {each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in items}


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)


def finished(folder: Path) -> list[Run]:
    """The runs in a folder, once W&B's own process has written them to their end, which it may after `finish`."""
    for _ in range(100):
        found = [Run(path) for path in files(folder)]
        if all(run.exit_code is not None for run in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{len(found)} runs, not all finished")


class Run:
    """An offline run, as its file has it."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.exit_code: int | None = None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.id, self.name, self.project = record.run.run_id, record.run.display_name, record.run.project
            elif kind == "config":
                self.config |= {
                    each.key or each.nested_key[0]: json.loads(each.value_json) for each in record.config.update
                }
            elif kind == "history":
                row = {
                    each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in record.history.item
                }
                self.rows.append({"_step": record.history.step.num} | row)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def points(self, key: str) -> list[tuple[int, Any]]:
        return [(row["_step"], row[key]) for row in self.rows if key in row]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_a_run_has_rows_a_config_and_the_run_id(train: Any, tmp_path: Path) -> None:
    loop = train(
        [WandbSink(tmp_path, interval=2, project="digits")],
        [{"loss": float(number)} for number in range(5)],
        val={"acc": 0.5},
        test={"acc": 0.25},
        cfg="lr = 0.1\n# text",
        seed=7,
        experiment_name="first",
    )
    (run,) = finished(tmp_path)
    assert (run.id, run.name, run.project) == (loop.message_hub.run_id, "first", "digits")
    assert run.points("train/loss") == [(1, 1.0), (3, 3.0), (6, 4.0)]  # the rest comes after the validation
    assert (run.points("val/acc"), run.points("test/acc")) == ([(5, 0.5)], [(7, 0.25)])
    assert [row["iter"] for row in run.rows] == [1, 3, 5, 4, 5]
    assert [row["_step"] for row in run.rows] == sorted({row["_step"] for row in run.rows})
    assert {key: run.config[key] for key in ("cfg", "seed", "experiment_name")} == {
        "cfg": "lr = 0.1\n# text",
        "seed": 7,
        "experiment_name": "first",
    }
    assert run.exit_code == 0


def test_a_resumed_training_goes_on_in_its_run(tmp_path: Path) -> None:
    def fit(until: int, state: Any = None) -> Any:
        loop: Loop[Any] = Loop(train_loader=range(2), max_epochs=until, hooks=[WandbSink(tmp_path, interval=1)])
        if state is not None:
            loop.load_state_dict(state)
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    loop.log(loss=float(loop.iter))
        return loop.state_dict()

    state = fit(2)
    time.sleep(1)  # W&B names a folder by the second
    fit(3, state)
    first, second = finished(tmp_path)
    assert first.id == second.id
    assert [each.points("train/loss") for each in (first, second)] == [
        [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)],
        [(4, 4.0), (5, 5.0)],
    ]


def test_no_name_and_no_number_is_lost(train: Any, tmp_path: Path) -> None:
    strange = {
        "": 1.0, "a.b": 2.0, "a b/ä:<1>": 3.0, "\ud800": 4.0, "x" * 400: 5.0,
        "nan": math.nan, "inf": math.inf, "minus": -math.inf, "large": 1e300, "int": 2**60,
    }  # fmt: skip

    class Hidden:
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # type: ignore[no-untyped-def]
            for key in ("_step", "iter", "seed"):
                runner.message_hub.update_scalar(key, 9.0)

    train([Hidden(), WandbSink(tmp_path)], [strange], cfg="\ud800" + "x" * 100_000)
    (run,) = finished(tmp_path)
    (row,) = run.rows
    for key, value in strange.items():
        name = f"train/{key}".encode(errors="backslashreplace").decode()
        found = float(row[name])
        assert found == value or (math.isnan(found) and math.isnan(value)), key
    assert (row["_step"], row["iter"]) == (0, 0)
    assert [row[f"scalar/{key}"] for key in ("_step", "iter", "seed")] == [9.0] * 3
    assert len(run.config["cfg"]) == 100_006


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_run_that_failed_says_so_and_has_all_rows(error: BaseException, train: Any, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        train([WandbSink(tmp_path)], [{"loss": 1.0}, {"loss": 2.0}, error])
    (run,) = finished(tmp_path)
    assert (run.points("train/loss"), run.exit_code) == ([(2, 2.0)], 1)


def test_a_run_of_the_user_goes_on_beside_it(train: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with wandb.init(mode="offline", dir=tmp_path / "mine", project="mine") as mine:
        train([WandbSink(tmp_path / "ours")], [{"loss": 1.0}])
        assert wandb.run is mine
        mine.log({"x": 1.0})
    (run,) = finished(tmp_path / "mine")
    assert run.points("x") == [(0, 1.0)]
    assert len(finished(tmp_path / "ours")) == 1


def test_an_unwritable_folder_is_named_before_the_training(train: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"WandbSink cannot write to .*file"):
        train([WandbSink(tmp_path / "file")], [AssertionError("it trained")])


def test_an_argument_that_wandb_refuses_stops_the_sink_and_not_the_run(train: Any, tmp_path: Path) -> None:
    sink = WandbSink(tmp_path, init={"no_such_argument": 1})
    with pytest.warns(SinkWarning, match=r"WandbSink stops, .*no_such_argument") as caught:
        loop = train([sink], [{"loss": 1.0}, {"loss": 2.0}])
    assert (len([each for each in caught if each.category is SinkWarning]), loop.iter) == (1, 2)


KILLED = """
import os, signal, sys, time
from runtimeinfo_adapters.loop import Loop
from runtimeinfo_adapters.sinks import WandbSink

loop = Loop(train_loader=range(10), max_epochs=1, hooks=[WandbSink(sys.argv[1], interval=1)])
with loop.run(stop_on=signal.SIGTERM if sys.argv[2] == "stop" else ()):
    for _ in loop.epochs():
        for batch in loop.train():
            if batch == 5:
                if sys.argv[2] == "kill":
                    time.sleep(3)  # W&B writes every second
                os.kill(os.getpid(), signal.SIGTERM)
            loop.log(loss=float(batch))
        if loop.stopped_by:
            break
"""


@pytest.mark.parametrize(("stop_on", "code", "rows"), [("stop", 0, 6), ("kill", -15, 5)])
def test_sigterm_loses_no_row(stop_on: str, code: int, rows: int, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), stop_on]
    done = subprocess.run(arguments, check=False, capture_output=True)
    assert done.returncode == code, done.stderr
    (path,) = files(tmp_path)
    assert Run(path).points("train/loss") == [(number, float(number)) for number in range(rows)]
