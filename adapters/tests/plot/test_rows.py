"""CSV and JSON of the sinks, and of others."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo_adapters.plot import RunCurves, SourceError, read_source

FILES = ("metrics.csv", "metrics.jsonl")


def points(run: RunCurves, key: str) -> dict[float, float]:
    curve = run.curves[key]
    assert curve.iters is not None
    return dict(zip(curve.iters.tolist(), curve.values.tolist(), strict=True))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., list[RunCurves]]:
    """Return a function that writes a text into a file, and reads it."""

    def write(text: str | bytes, name: str = "other.csv", **more: Any) -> list[RunCurves]:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_source(str(path), **more)

    return write


@pytest.mark.parametrize("file", FILES)
def test_files_of_the_sinks_are_read(train: Callable[..., Path], file: str) -> None:
    (run,) = read_source(str(train() / file))
    assert list(run.curves) == ["train/loss", "val/acc"]
    assert points(run, "train/loss") == {each: each for each in range(4, 40, 5)}
    assert points(run, "val/acc") == pytest.approx({20: 0.2, 40: 0.4})
    curve = run.curves["val/acc"]
    assert curve.epochs is not None
    assert curve.epochs.tolist() == [0, 1]
    assert curve.times is not None
    assert (curve.times > 1.7e9).all()
    assert run.notes == ()


@pytest.mark.parametrize("file", FILES)
def test_resumed_training_is_one_run_whose_later_values_win(train: Callable[..., Path], file: str) -> None:
    train(epochs=3, stop=35)
    folder = train(epochs=3, add=1000.0)  # from the state after 20 iterations
    (run,) = read_source(str(folder / file))
    expected = {each: each + (1000 if each >= 20 else 0) for each in range(4, 60, 5)}
    assert points(run, "train/loss") == expected
    assert list(points(run, "val/acc")) == [20, 40, 60]


@pytest.mark.parametrize("file", FILES)
def test_two_trainings_in_one_file_stay_apart(
    train: Callable[..., Path], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "first")
    folder = train(experiment_name="digits")
    (folder / "state.pt").unlink()
    monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "second")
    train(add=1000.0, experiment_name="letters")
    first, second = read_source(str(folder / file))
    assert [run.name for run in (first, second)] == [f"{file} digits first", f"{file} letters second"]
    assert points(first, "train/loss")[39] == 39
    assert points(second, "train/loss")[39] == 1039


@pytest.mark.parametrize("file", FILES)
def test_values_that_are_not_finite_and_scalars_with_names_of_fields(
    train: Callable[..., Path], file: str, tmp_path: Path
) -> None:
    from runtimeinfo_adapters.pytorch import Loop
    from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter

    path = tmp_path / file
    sink = (CSVWriter if file.endswith("csv") else JSONLWriter)(path, interval=1)
    loop: Any = Loop(train_loader=[float("nan"), float("inf"), float("-inf"), 1.0], max_epochs=1, hooks=[sink], seed=3)
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                loop.log(loss=batch)
                loop.message_hub.update_scalar("seed", 5.0)
    (run,) = read_source(str(path))
    assert list(map(str, run.curves["train/loss"].values.tolist())) == ["nan", "inf", "-inf", "1.0"]
    assert run.curves["seed"].values.tolist() == [5.0] * 4


def test_config_of_a_megabyte_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(f"iter,epoch,loop_stage,time,run_id,cfg,loss\n0,0,train,1700000000.0,a,{'x' * 1_000_000},2.0\n")
    limit = csv.field_size_limit()
    (run,) = read_source(str(path))
    assert points(run, "loss") == {0: 2}
    assert csv.field_size_limit() == limit


def test_line_that_a_sink_is_writing_is_left_out(train: Callable[..., Path]) -> None:
    folder = train()
    whole = {file: points(read_source(str(folder / file))[0], "train/loss") for file in FILES}
    for file in FILES:
        text = (folder / file).read_text()
        (folder / file).write_text(text + text.splitlines()[-2][:-1])  # half of a value
        (run,) = read_source(str(folder / file))
        assert points(run, "train/loss") == whole[file]
        assert run.notes == ()


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("step,loss\n1,0.5\n2,0.25", "loss", {1: 0.5, 2: 0.25}),
        ("\ufeffStep;Loss\r\n1;0.5\r\n2;0.25\r\n", "Loss", {1: 0.5, 2: 0.25}),
        ("global_step\tloss\n1\t0.5\n", "loss", {1: 0.5}),
        ("Wall time,Step,Value\n1700000000.5,1,0.5\n1700000060.5,2,0.25\n", "Value", {1: 0.5, 2: 0.25}),
        ("loss,iteration,note\n0.5,1,begin\n,2,\n0.25,3,end\n", "loss", {1: 0.5, 3: 0.25}),
        ("step,loss\n0,5\n10,4\n20,3\n10,2\n", "loss", {0: 5, 10: 2}),
        ("time,step,loss\n0.1,1,5\n0.2,2,4\n", "time", {1: 0.1, 2: 0.2}),
        ("epoch,iter,loss\n1,0,5\n1,1,4\n2,0,3\n2,1,2\n", "loss", {0: 5, 1: 4, 2: 3, 3: 2}),
        ("epoch,iter,loss\n1,1,5\n1,2,4\n2,1,3\n2,2,2\n", "loss", {1: 5, 2: 4, 3: 3, 4: 2}),
    ],
)
def test_csv_of_others_is_read(
    written: Callable[..., list[RunCurves]], text: str, key: str, expected: dict[float, float]
) -> None:
    (run,) = written(text)
    assert points(run, key) == expected


def test_csv_that_knows_epochs_only_is_read(written: Callable[..., list[RunCurves]]) -> None:
    (run,) = written("epoch,accuracy,val_loss\n0,0.1,4\n1,0.2,3\n")  # as Keras' CSVLogger
    curve = run.curves["val_loss"]
    assert curve.iters is None
    assert curve.epochs is not None
    assert (curve.epochs.tolist(), curve.values.tolist()) == ([0, 1], [4, 3])


def test_column_of_steps_can_be_named(written: Callable[..., list[RunCurves]]) -> None:
    (run,) = written("tokens,step,loss\n1000,1,0.5\n2000,2,0.25\n", step="tokens")
    assert points(run, "loss") == {1000: 0.5, 2000: 0.25}
    with pytest.raises(SourceError, match=r"has no column 'tokns' of numbers; it has 'tokens', 'step', 'loss'"):
        written("tokens,step,loss\n1000,1,0.5\n", step="tokns")


def test_json_lines_of_others_are_read(written: Callable[..., list[RunCurves]]) -> None:
    rows = [
        {"step": 1, "train": {"loss": 1.0, "acc": True}, "images": [{"id": 3}]},
        {"step": 2, "train": {"loss": "0.5"}, "name": "x", "nothing": None},
    ]
    (run,) = written("\n".join(map(json.dumps, rows)), "other.jsonl")
    assert list(run.curves) == ["train/loss", "train/acc"]
    assert points(run, "train/loss") == {1: 1, 2: 0.5}


@pytest.mark.parametrize("indent", [None, 2])
def test_state_of_the_trainer_of_transformers_is_read(written: Callable[..., list[RunCurves]], indent: Any) -> None:
    history = [{"step": 10, "epoch": 0.5, "loss": 2.0}, {"step": 20, "epoch": 1.0, "eval_loss": 1.5}]
    (run,) = written(json.dumps({"best": None, "log_history": history}, indent=indent), "trainer_state.json")
    assert points(run, "loss") == {10: 2}
    assert points(run, "eval_loss") == {20: 1.5}


def test_log_of_mmengine_is_read(written: Callable[..., list[RunCurves]]) -> None:
    rows = [
        {"loss": 2.0, "time": 0.5, "epoch": 1, "iter": 10, "step": 10},
        {"acc": 0.5, "step": 1},  # of a validation, whose step is the epoch
        {"loss": 1.0, "time": 0.5, "epoch": 2, "iter": 20, "step": 20},
        {"acc": 0.75, "step": 2},
    ]
    (run,) = written("\n".join(map(json.dumps, rows)), "scalars.json")
    assert list(run.curves) == ["loss", "time", "acc"]
    assert points(run, "loss") == {10: 2, 20: 1}
    assert points(run, "acc") == {1: 0.5, 2: 0.75}
    assert run.notes == ()


def test_damaged_lines_are_left_out_and_counted(written: Callable[..., list[RunCurves]]) -> None:
    lines = ['{"step":1,"loss":1}', '{"step":2,"lo', "[3]", '{"step":3,"a":' + "[" * 100_000 + "]" * 100_000 + "}"]
    (run,) = written("\n".join([*lines, '{"step":4,"loss":4}', ""]), "other.jsonl")
    assert points(run, "loss") == {1: 1, 4: 4}
    assert run.notes == ("3 damaged lines are left out",)
    (run,) = written("step,loss,acc\n1,2,3\n2,3\n3,4,5,\n4,5,6,7\n")
    assert points(run, "loss") == {1: 2, 3: 4}
    assert run.notes == ("2 damaged lines are left out",)


def test_values_without_a_step_are_left_out_and_counted(written: Callable[..., list[RunCurves]]) -> None:
    (run,) = written("step,loss\n1,2\n,3\n")
    assert points(run, "loss") == {1: 2}
    assert run.notes == ("1 value without step, left out",)


def test_runs_of_a_sink_that_alternate_are_not_continued(written: Callable[..., list[RunCurves]]) -> None:
    # The short epochs of the second run do not make the iter of the first one begin again.
    rows = ["100,0,train,1.7e9,a,1", "9,2,train,1.7e9,b,2", "110,0,train,1.7e9,a,3", "19,4,train,1.7e9,b,4"]
    first, second = written("\n".join(["iter,epoch,loop_stage,time,run_id,loss", *rows, ""]))
    assert points(first, "loss") == {100: 1, 110: 3}
    assert points(second, "loss") == {9: 2, 19: 4}


def test_validation_after_the_checkpoint_of_a_resumed_training_is_taken_back(
    written: Callable[..., list[RunCurves]],
) -> None:
    rows = ["9,0,train,1.7e9,a,1,", "19,0,train,1.7e9,a,2,", "20,0,val,1.7e9,a,,0.5", "9,0,train,1.7e9,a,3,"]
    (run,) = written("\n".join(["iter,epoch,loop_stage,time,run_id,loss,acc", *rows, ""]))
    assert points(run, "loss") == {9: 3}
    assert list(run.curves) == ["loss"]  # its validation is to come again


def test_objects_in_one_another_are_read_to_a_depth(written: Callable[..., list[RunCurves]]) -> None:
    deep = '{"a":' * 900 + "1" + "}" * 900
    (run,) = written(f'{{"step":1,"loss":2,"deep":{deep}}}\n{{"step":2,"loss":1}}\n', "other.jsonl")
    assert list(run.curves) == ["loss"]


def test_numbers_beyond_a_float_are_infinite(written: Callable[..., list[RunCurves]]) -> None:
    (run,) = written(f'{{"step":1,"loss":{"9" * 400}}}\n{{"step":2,"loss":-{"9" * 400}}}\n', "other.jsonl")
    assert points(run, "loss") == {1: float("inf"), 2: float("-inf")}


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("a,b\n1,2\n", "x.csv", r"has no column of steps \(iter, step, .*\) or epochs; it has 'a', 'b'.*--step"),
        ("step,loss\n", "x.csv", "has no whole row below its first line"),
        ("step,name\n1,foo\n", "x.csv", "has no scalar"),
        ("[1]\n[2]\n", "x.jsonl", "is neither JSON Lines nor a JSON document"),
        ("{}", "x.json", "has no column of steps"),
        ("{", "x.json", "is neither JSON Lines nor a JSON document"),
        ("", "x.csv", "is empty"),
        (" \n\n", "x.csv", "is empty"),
        ("step,loss\n1,2\n".encode("utf-16"), "x.csv", "is not text in UTF-8"),
        (b"\0\1\2", "x", "is not text in UTF-8"),
    ],
)
def test_non_table_is_an_error(
    written: Callable[..., list[RunCurves]], text: str | bytes, name: str, said: str
) -> None:
    with pytest.raises(SourceError, match=rf"{name} {said}") as caught:
        written(text, name)
    assert caught.value.source.endswith(name)
