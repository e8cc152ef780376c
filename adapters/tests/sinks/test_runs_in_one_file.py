"""Each row tells its run, and the first one of a run what the run was."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runtimeinfo import HubError
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter, Row, RowSink, TensorBoardWriter

CFG = '"model" = "a, b"\nlr = 0.1\n'


def csv_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        rows = [{key: cell for key, cell in row.items() if cell} for row in csv.DictReader(file, strict=True)]
    return [row | ({"cfg": json.loads(row["cfg"])} if row.get("cfg", "").startswith('"') else {}) for row in rows]


def json_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


EACH = pytest.mark.parametrize(("kind", "rows"), [(CSVWriter, csv_rows), (JSONLWriter, json_rows)])
Read = Callable[[Path], list[dict[str, Any]]]


def fit(kind: Any, path: Path, *, until: int = 1, resume: Any = None, **options: Any) -> Loop[Any]:
    loop: Loop[Any] = Loop(train_loader=range(2), max_epochs=until, hooks=[kind(path, interval=1)], **options)
    if resume is not None:
        loop.load_state_dict(resume)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loop.log(loss=float(loop.iter))
    return loop


@EACH
def test_trainings_in_one_file_stay_apart(kind: Any, rows: Read, tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    ids = [fit(kind, path, seed=seed).message_hub.run_id for seed in (7, 8)]
    found = [(row["run_id"], float(row["train/loss"]), row.get("seed") and int(row["seed"])) for row in rows(path)]
    assert found == [(ids[0], 0.0, 7), (ids[0], 1.0, None), (ids[1], 0.0, 8), (ids[1], 1.0, None)]


@EACH
def test_a_resumed_training_keeps_its_run_id_and_repeats_no_info(kind: Any, rows: Read, tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    infos = {"cfg": CFG, "seed": 7, "experiment_name": '"digits"'}
    state = fit(kind, path, **infos).state_dict()
    fit(kind, path, seed=8)  # another one between them
    fit(kind, path, until=2, resume=state, **infos)
    fit(kind, path, until=3, resume=fit(kind, path, until=2, resume=state, **infos).state_dict(), **infos | {"seed": 9})
    run_id = state["message_hub"]["run_id"]
    of_run = [row for row in rows(path) if row["run_id"] == run_id]
    assert len(of_run) == 8
    with_infos = [
        (number, {key: row[key] for key in infos if key in row})
        for number, row in enumerate(of_run)
        if not infos.keys().isdisjoint(row)
    ]
    seeds = (7, 9) if kind is JSONLWriter else ("7", "9")
    experiment = '"digits"' if kind is JSONLWriter else json.dumps('"digits"')
    assert with_infos == [
        (0, {"cfg": CFG, "seed": seeds[0], "experiment_name": experiment}),
        (6, {"seed": seeds[1]}),  # it has changed
    ]


@EACH
def test_a_run_that_is_renewed_begins_with_its_infos(kind: Any, rows: Read, tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    state = fit(kind, path, seed=7).state_dict()
    hub = MessageHub("fine-tuning")
    hub.renew_run_id()
    fit(kind, path, until=2, resume=state, hub=hub, seed=7)
    found = [(row["run_id"] == hub.run_id, "seed" in row) for row in rows(path)]
    assert found == [(False, True), (False, False), (True, True), (True, False)]


def test_pandas_reads_both_files_alike(tmp_path: Path) -> None:
    for kind in (CSVWriter, JSONLWriter):
        hooks = [kind(tmp_path / kind.__name__, interval=1)]
        loop: Loop[Any] = Loop(train_loader=range(4), max_epochs=1, seed=7, cfg=CFG, hooks=hooks)
        with loop.run():
            for _ in loop.epochs():
                for batch in loop.train():
                    loop.log(loss=[1, float("nan"), float("-inf"), 0.5][batch])
    tables = pd.read_csv(tmp_path / "CSVWriter"), pd.read_json(tmp_path / "JSONLWriter", lines=True)
    for table in tables:
        assert str(table["train/loss"].dtype) == "float64"
        assert table["run_id"].nunique() == 1
        assert table["cfg"].count() == table["seed"].count() == 1
    assert tables[0]["train/loss"].iloc[[0, 2, 3]].tolist() == [1.0, float("-inf"), 0.5]
    assert tables[1]["not_finite"].dropna().tolist() == ["train/loss=nan", "train/loss=-inf"]


WRITE = """
import sys
from runtimeinfo_adapters.loop import Loop
from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter

kind, path, name = {"csv": CSVWriter, "jsonl": JSONLWriter}[sys.argv[1]], sys.argv[2], sys.argv[3]
loop = Loop(train_loader=range(100), max_epochs=1, hooks=[kind(path, interval=1)])
with loop.run():
    for _ in loop.epochs():
        for batch in loop.train():
            loop.log(**{"loss": float(batch), f"{name}{batch // 4}": 1.0})  # new columns, again and again
"""


@EACH
def test_processes_that_write_to_one_file_at_once_lose_nothing(kind: Any, rows: Read, tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    kinds = {CSVWriter: "csv", JSONLWriter: "jsonl"}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, kinds[kind], str(path), name], stderr=subprocess.PIPE)
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.communicate()[1] == b""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows(path):
        found.setdefault(row["run_id"], []).append((int(row["iter"]), float(row["train/loss"])))
    assert list(found.values()) == [[(number, float(number)) for number in range(100)]] * 2


KILLED = """
import os, signal, sys
from runtimeinfo_adapters.loop import Loop
from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter, TensorBoardWriter

kinds = CSVWriter, JSONLWriter, TensorBoardWriter
loop = Loop(train_loader=range(10), max_epochs=1, hooks=[kind(kind.__name__, interval=1) for kind in kinds])
with loop.run():
    for _ in loop.epochs():
        for batch in loop.train():
            if batch == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            loop.log(loss=float(batch))
"""


def test_sigterm_loses_no_row_that_was_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == -15, done.stderr
    expected = [(number, float(number)) for number in range(5)]
    for name, rows in (("CSVWriter", csv_rows), ("JSONLWriter", json_rows)):
        assert [(int(row["iter"]), float(row["train/loss"])) for row in rows(tmp_path / name)] == expected
    events = EventAccumulator(str(tmp_path / "TensorBoardWriter")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == expected


def test_a_csv_file_whose_last_row_is_cut_hides_no_later_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    fit(CSVWriter, path, cfg=CFG)
    path.write_bytes(path.read_bytes().partition(b"lr = ")[0])  # as a full disk leaves it
    fit(CSVWriter, path)
    assert pd.read_csv(path)["train/loss"].tolist()[-2:] == [0.0, 1.0]


class Kept(RowSink):
    """A sink of a third party."""

    def open(self, hub: Any) -> None:
        self.rows: list[Row] = []

    def write(self, row: Row) -> None:
        self.rows.append(row)


def test_any_sink_gets_the_run_id_and_the_infos(train: Any, tmp_path: Path) -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError

    hub = MessageHub("odd infos")
    for key, info in {"odd": Odd(), "nan": float("nan"), "flag": True, "list": [1, 2], "none": None}.items():
        hub.update_info(key, info, resumed=False)
    sink = Kept(tmp_path, interval=1, infos=("seed", "odd", "nan", "flag", "list", "none"))
    train([sink], [{"loss": 1.0}, {"loss": 2.0}], hub=hub, seed=7)
    assert [row.run_id for row in sink.rows] == [hub.run_id] * 2
    assert [row.infos for row in sink.rows] == [{"seed": 7, "nan": "nan", "flag": 1, "list": "[1, 2]"}, {}]
    assert sink.rows[0].cells() | {"time": 0.0} == {
        "iter": 0,
        "epoch": 0,
        "loop_stage": "train",
        "time": 0.0,
        "run_id": hub.run_id,
        "seed": 7,
        "info/nan": "nan",
        "info/flag": 1,
        "info/list": "[1, 2]",
        "train/loss": 1.0,
    }


def test_a_copy_of_a_sink_writes_the_infos_of_its_own_runs(train: Any, tmp_path: Path) -> None:
    import copy

    sink = Kept(tmp_path)
    train([sink], [{"loss": 1.0}], hub=MessageHub("same", run_id="same"), seed=7)
    copied = copy.deepcopy(sink)
    train([copied], [{"loss": 1.0}], hub=MessageHub("same", run_id="same"), seed=7)
    assert copied.rows[0].infos["seed"] == 7


def test_each_sink_of_a_hub_without_a_run_id_has_the_same_one(tmp_path: Path) -> None:
    mmengine = pytest.importorskip("mmengine.logging")
    hub = mmengine.MessageHub("of mmengine")
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    loop: Loop[Any] = Loop(train_loader=range(2), max_epochs=1, hub=hub, hooks=[JSONLWriter(path) for path in paths])
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loop.log(loss=1.0)
    ids = {row["run_id"] for path in paths for row in json_rows(path)}
    assert len(ids) == 1
    assert "" not in ids


def test_tensorboard_of_a_hub_without_a_run_id_goes_on_in_its_folder(tmp_path: Path) -> None:
    mmengine = pytest.importorskip("mmengine.logging")
    for _ in range(2):
        hub = mmengine.MessageHub("of mmengine")
        loop: Loop[Any] = Loop(train_loader=range(2), max_epochs=1, hub=hub, hooks=[TensorBoardWriter(tmp_path)])
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    loop.log(loss=1.0)
    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == 2


def test_a_wrong_run_id_of_the_environment_is_an_error_before_the_training(tmp_path: Path, monkeypatch: Any) -> None:
    mmengine = pytest.importorskip("mmengine.logging")
    monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "a/b")
    monkeypatch.setenv("RUNTIMEINFO_SHARE", "0")
    hub = mmengine.MessageHub("of mmengine")
    loop: Loop[Any] = Loop(train_loader=range(2), max_epochs=1, hub=hub, hooks=[JSONLWriter(tmp_path / "a.jsonl")])
    with pytest.raises(HubError, match="RUNTIMEINFO_RUN_ID must be"), loop.run():
        raise AssertionError("it trained")
