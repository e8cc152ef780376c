from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from runtimeinfo_adapters.sinks import JSONLWriter, SinkError, SinkWarning


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def rows(path: Path) -> list[dict[str, Any]]:
    read = [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in read:
        assert abs(time.time() - row.pop("time")) < 3600
    return read


def at(iter: int, epoch: int, stage: str | None, **scalars: Any) -> dict[str, Any]:
    return {
        "iter": iter,
        "epoch": epoch,
        "loop_stage": stage,
        **{key.replace("__", "/"): value for key, value in scalars.items()},
    }


def test_a_row_has_what_is_new_and_nothing_else(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "made" / "metrics.jsonl"
    epochs = [{"loss": 0.1}, {"loss": 0.25, "grad": 3}], [{}, {"loss": 1 / 3}]
    train([JSONLWriter(path, interval=1)], *epochs, val={"acc": 0.5}, test={"acc": 0.75, "names": ["a"]})
    assert rows(path) == [
        at(0, 0, "train", train__loss=0.1),
        at(1, 0, "train", train__loss=0.25, train__grad=3),
        at(2, 0, "val", val__acc=0.5),
        # nothing was logged in iteration 2
        at(3, 1, "train", train__loss=1 / 3),
        at(4, 1, "val", val__acc=0.5),
        at(4, 2, "test", test__acc=0.75),
    ]


def test_the_interval_is_of_the_trainings_iterations_and_the_rest_comes_at_the_end(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    losses = [{"loss": float(number)} for number in range(5)]
    train([JSONLWriter(path, interval=2)], losses[:3], [losses[3], {"grad": 7}, losses[4]], val={"acc": 1.0})
    assert rows(path) == [
        at(1, 0, "train", train__loss=1.0),
        at(3, 0, "val", val__acc=1.0),  # the loss of iteration 2 waits for the row of the training
        at(3, 1, "train", train__loss=3.0),
        at(5, 1, "train", train__loss=4.0, train__grad=7),
        at(6, 1, "val", val__acc=1.0),
    ]


def test_the_mean_is_of_the_iterations_of_the_row(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    train([JSONLWriter(path, interval=2, reduce="mean")], [{"loss": number} for number in (1.0, 3.0, 5.0, 6.0, 9.0)])
    assert [row["train/loss"] for row in rows(path)] == [2.0, 5.5, 9.0]


def test_what_json_cannot_hold_is_text_that_float_reads(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    train([JSONLWriter(path, interval=1)], [{"a": math.nan, "b": math.inf, "c": -math.inf, "d": 2**60}])
    assert rows(path) == [at(0, 0, "train", train__a="nan", train__b="inf", train__c="-inf", train__d=2**60)]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_nothing_is_lost_in_a_crash(error, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(type(error)) as caught:
        train([JSONLWriter(path)], [{"loss": 1.0}, {"loss": 2.0}, error])
    assert caught.value is error
    assert rows(path) == [at(2, 0, "train", train__loss=2.0)]


def test_a_crash_in_the_validation_leaves_the_training_its_row(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    class Crash:
        def after_val_epoch(self, runner, metrics=None):  # type: ignore[no-untyped-def]
            raise RuntimeError

    path = tmp_path / "metrics.jsonl"
    with pytest.raises(RuntimeError):
        train([Crash(), JSONLWriter(path)], [{"loss": 1.0}], val={"acc": 1.0})
    assert rows(path) == [at(1, 0, "val", val__acc=1.0), at(0, 0, "train", train__loss=1.0)]


def test_a_file_that_is_there_is_appended_to(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"iter":0,"ti')  # a process was killed here
    writer = JSONLWriter(path, interval=1)
    train([writer], [{"loss": 1.0}])
    train([writer], [{"loss": 2.0}])  # a second fit, with the same sink and another hub
    first, _, rest = path.read_text().partition("\n")
    assert first == '{"iter":0,"ti'
    assert [json.loads(line)["train/loss"] for line in rest.splitlines()] == [1.0, 2.0]


@pytest.mark.parametrize("where", ["file/metrics.jsonl", "."])
def test_a_path_that_cannot_be_written_to_is_said_before_the_training(where, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"JSONLWriter cannot write to .*: .*Give it a path") as caught:
        train([JSONLWriter(tmp_path / where)], [AssertionError("it trained")])
    assert caught.value.path == tmp_path / where


def test_a_full_disk_stops_the_sink_and_not_the_run(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.warns(SinkWarning, match=r"JSONLWriter stops, .*/dev/full any more: .*No space left") as caught:
        loop = train([JSONLWriter("/dev/full", interval=1)], [{"loss": 1.0}, {"loss": 2.0}])
    assert len(caught) == 1
    assert loop.iter == 2


def test_only_the_first_rank_writes_if_not_all_shall(train, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("RANK", "1")
    alone, each = (JSONLWriter(tmp_path / "metrics.v2.jsonl", interval=1, all_ranks=all) for all in (False, True))
    train([alone, each], [{"loss": 1.0}])
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.v2.rank1.jsonl"]
    assert each.path == tmp_path / "metrics.v2.rank1.jsonl"
    assert [row["train/loss"] for row in rows(each.path)] == [1.0]


@pytest.mark.parametrize("arguments", [{"interval": 0}, {"interval": True}, {"interval": 1.5}, {"reduce": "median"}])
def test_a_wrong_argument_is_named(arguments, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must be"):
        JSONLWriter(tmp_path / "metrics.jsonl", **arguments)
    assert list(tmp_path.iterdir()) == []
