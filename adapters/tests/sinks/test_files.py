from __future__ import annotations

import csv
import json
import math
import stat
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter, SinkError, SinkWarning
from runtimeinfo_adapters.sinks._files import LineFile


def test_line_file_creates_folders_and_keeps_existing_lines(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "a" / "b" / "lines")
    assert file.open()
    file.append("first\n")
    assert not file.open()
    file.append("second\n")
    assert file.path.read_text() == "first\nsecond\n"


def test_line_file_ends_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"first\nsec")
    LineFile(path).open()
    assert path.read_bytes() == b"first\nsec\n"


def test_line_file_writes_a_lone_surrogate_as_its_code(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "lines")
    file.append("loss ä \ud800\n")
    assert file.path.read_text(encoding="utf-8") == "loss ä \\ud800\n"


def test_line_file_raises_on_a_full_disk() -> None:
    with pytest.raises(OSError, match="No space left"):
        LineFile(Path("/dev/full")).append("line\n")


HEADER = "iter,epoch,loop_stage,time"


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: cell for key, cell in row.items() if key not in {"time", "run_id"}}
            for row in csv.DictReader(file, strict=True)
        ]


def test_csv_has_a_column_for_a_new_scalar_and_an_empty_cell_for_an_absent_one(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "made" / "metrics.csv"
    train([CSVWriter(path, interval=1)], [{"loss": 0.1}, {"a,b": 1 / 3}, {"loss": 3, "a,b": math.nan}], val={"acc": 1})
    assert path.read_text().splitlines()[0] == f'{HEADER},run_id,train/loss,"train/a,b",val/acc'
    assert [list(row.values()) for row in csv_rows(path)] == [
        ["0", "0", "train", "0.1", "", ""],
        ["1", "0", "train", "", repr(1 / 3), ""],
        ["2", "0", "train", "3.0", "NaN", ""],
        ["3", "0", "val", "", "", "1.0"],
    ]
    assert list(path.parent.iterdir()) == [path]  # nothing is left of the rewriting


def test_csv_keeps_a_link_and_a_mode(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    real, path = tmp_path / "real.csv", tmp_path / "metrics.csv"
    real.touch(mode=0o640)
    path.symlink_to(real)
    train([CSVWriter(path)], [{"loss": 1.0}])
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [row["train/loss"] for row in csv_rows(real)] == ["1.0"]


def test_csv_appends_to_its_own_file(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.csv"
    path.write_text(f"{HEADER},train/loss\n0,0,train,1.5,0.5\n1,0,tr")  # a process was killed here
    train([CSVWriter(path)], [{"grad": 2.0, "loss": 0.25}])
    train([CSVWriter(path)], [{"grad": 3.0}])
    assert [list(row.values()) for row in csv_rows(path)] == [
        ["0", "0", "train", "0.5", ""],
        ["1", "0", "tr", "", ""],
        ["0", "0", "train", "0.25", "2.0"],
        ["0", "0", "train", "", "3.0"],
    ]


@pytest.mark.parametrize("content", [b"name,age\nAda,36\n", b"\xff\x00", b'"' + b"x" * 200_000])
def test_csv_leaves_another_programs_file_alone(content, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(SinkError, match=rf"people\.csv is there already, and .* begin with {HEADER}\. Move it away"):
        train([CSVWriter(path)], [AssertionError("it trained")])
    assert path.read_bytes() == content


def test_csv_names_an_unwritable_path_before_the_training(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").touch()
    for path, said in ((tmp_path / "file" / "metrics.csv", "exists"), (Path("/dev/full"), "not a regular file")):
        with pytest.raises(SinkError, match=f"CSVWriter cannot write to {path}: .*{said}") as caught:
            train([CSVWriter(path)], [AssertionError("it trained")])
        assert caught.value.path == path
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("later", [{"loss": 2.0}, {"new": 2.0}])
def test_csv_stops_and_not_the_run_when_the_disk_fills_up(later, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    real, path = tmp_path / "real.csv", tmp_path / "metrics.csv"
    real.touch()
    path.symlink_to(real)

    class FillUp:
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # type: ignore[no-untyped-def]
            if batch_idx == 1:
                path.unlink()
                path.symlink_to("/dev/full")

    said = "No space left" if "loss" in later else "not a regular file any more"
    with pytest.warns(SinkWarning, match=rf"CSVWriter stops, .*metrics\.csv any more: .*{said}") as caught:
        loop = train([FillUp(), CSVWriter(path, interval=1)], [{"loss": 1.0}, later, {"loss": 3.0}])
    assert (len(caught), loop.iter) == (1, 3)
    assert [row["train/loss"] for row in csv_rows(real)] == ["1.0"]
    assert Path("/dev/full").is_char_device()


def test_csv_begins_a_new_file_when_the_old_one_is_moved_away(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, moved = tmp_path / "metrics.csv", tmp_path / "moved.csv"

    class Move:
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # type: ignore[no-untyped-def]
            if batch_idx == 1:
                path.rename(moved)

    train([Move(), CSVWriter(path, interval=1)], [{"loss": 1.0}, {"loss": 2.0}])
    assert [[row["train/loss"] for row in csv_rows(file)] for file in (moved, path)] == [["1.0"], ["2.0"]]


@pytest.mark.parametrize("rows_before", [0, 1000])  # within what is read ahead of the header, and beyond
def test_csv_leaves_bytes_that_are_not_text_as_they_are(rows_before, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"iter,epoch,loop_stage,time\n" + b"0,0,train,1.0\n" * rows_before + b"0,0,\xff\xfe,1.0\n")
    train([CSVWriter(path, interval=1)], [{"loss": 1.0}])
    header, *_, damaged, row = path.read_bytes().splitlines()
    assert header == b"iter,epoch,loop_stage,time,run_id,train/loss"
    assert damaged == b"0,0,\xff\xfe,1.0,,"
    assert row.endswith(b",1.0")


def test_csv_stops_and_not_the_run_when_the_file_is_damaged(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.csv"
    damaged = b'iter,epoch,loop_stage,time\n0,0,"' + b"x" * 200_000 + b"\n"  # a quote that nothing ends
    path.write_bytes(damaged)
    with pytest.warns(SinkWarning, match=r"CSVWriter stops, .*metrics\.csv any more: .*damaged") as caught:
        loop = train([CSVWriter(path, interval=1)], [{"loss": 1.0}, {"loss": 2.0}])
    assert len(caught) == 1
    assert loop.iter == 2
    assert path.read_bytes() == damaged
    assert list(tmp_path.iterdir()) == [path]


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def json_rows(path: Path) -> list[dict[str, Any]]:
    read = [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in read:
        assert abs(time.time() - row.pop("time")) < 3600
    assert len({row.pop("run_id") for row in read}) == 1
    return read


def at(iter: int, epoch: int, stage: str | None, **scalars: Any) -> dict[str, Any]:
    return {
        "iter": iter,
        "epoch": epoch,
        "loop_stage": stage,
        **{key.replace("__", "/"): value for key, value in scalars.items()},
    }


def test_jsonl_row_has_new_values_and_nothing_else(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "made" / "metrics.jsonl"
    epochs = [{"loss": 0.1}, {"loss": 0.25, "grad": 3}], [{}, {"loss": 1 / 3}]
    train([JSONLWriter(path, interval=1)], *epochs, val={"acc": 0.5}, test={"acc": 0.75, "names": ["a"]})
    assert json_rows(path) == [
        at(0, 0, "train", train__loss=0.1),
        at(1, 0, "train", train__loss=0.25, train__grad=3),
        at(2, 0, "val", val__acc=0.5),
        # nothing was logged in iteration 2
        at(3, 1, "train", train__loss=1 / 3),
        at(4, 1, "val", val__acc=0.5),
        at(4, 2, "test", test__acc=0.75),
    ]


def test_jsonl_interval_counts_iterations_of_the_training_and_the_rest_comes_at_the_end(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    losses = [{"loss": float(number)} for number in range(5)]
    train([JSONLWriter(path, interval=2)], losses[:3], [losses[3], {"grad": 7}, losses[4]], val={"acc": 1.0})
    assert json_rows(path) == [
        at(1, 0, "train", train__loss=1.0),
        at(3, 0, "val", val__acc=1.0),  # the loss of iteration 2 waits for the row of the training
        at(3, 1, "train", train__loss=3.0),
        at(5, 1, "train", train__loss=4.0, train__grad=7),
        at(6, 1, "val", val__acc=1.0),
    ]


def test_jsonl_mean_is_of_the_iterations_of_the_row(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    train([JSONLWriter(path, interval=2, reduce="mean")], [{"loss": number} for number in (1.0, 3.0, 5.0, 6.0, 9.0)])
    assert [row["train/loss"] for row in json_rows(path)] == [2.0, 5.5, 9.0]


def test_jsonl_writes_nan_and_infinity_as_null_and_says_which_it_was(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    train([JSONLWriter(path, interval=1)], [{"a": math.nan, "b": math.inf, "c": -math.inf, "d": 2**60}])
    said = "train/a=nan,train/b=inf,train/c=-inf"
    assert json_rows(path) == [
        at(0, 0, "train", train__a=None, train__b=None, train__c=None, train__d=2**60, not_finite=said)
    ]


def test_jsonl_writes_an_int_as_a_float_where_that_is_exact(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    train([JSONLWriter(path, interval=1)], [{"a": 3, "b": -(2**53), "c": 2**53 + 1}])
    assert '"train/a":3.0,"train/b":-9007199254740992.0,"train/c":9007199254740993}' in path.read_text()


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_jsonl_loses_nothing_in_a_crash(error, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(type(error)) as caught:
        train([JSONLWriter(path)], [{"loss": 1.0}, {"loss": 2.0}, error])
    assert caught.value is error
    assert json_rows(path) == [at(2, 0, "train", train__loss=2.0)]


def test_jsonl_writes_the_training_row_after_a_crash_in_the_validation(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    class Crash:
        def after_val_epoch(self, runner, metrics=None):  # type: ignore[no-untyped-def]
            raise RuntimeError

    path = tmp_path / "metrics.jsonl"
    with pytest.raises(RuntimeError):
        train([Crash(), JSONLWriter(path)], [{"loss": 1.0}], val={"acc": 1.0})
    assert json_rows(path) == [at(1, 0, "val", val__acc=1.0), at(0, 0, "train", train__loss=1.0)]


def test_jsonl_appends_to_an_existing_file(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"iter":0,"ti')  # a process was killed here
    writer = JSONLWriter(path, interval=1)
    train([writer], [{"loss": 1.0}])
    train([writer], [{"loss": 2.0}])  # a second fit, with the same sink and another hub
    first, _, rest = path.read_text().partition("\n")
    assert first == '{"iter":0,"ti'
    assert [json.loads(line)["train/loss"] for line in rest.splitlines()] == [1.0, 2.0]


@pytest.mark.parametrize("where", ["file/metrics.jsonl", "."])
def test_jsonl_names_an_unwritable_path_before_the_training(where, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"JSONLWriter cannot write to .*: .*Give it a path") as caught:
        train([JSONLWriter(tmp_path / where)], [AssertionError("it trained")])
    assert caught.value.path == tmp_path / where


def test_jsonl_stops_and_not_the_run_on_a_full_disk(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.warns(SinkWarning, match=r"JSONLWriter stops, .*/dev/full any more: .*No space left") as caught:
        loop = train([JSONLWriter("/dev/full", interval=1)], [{"loss": 1.0}, {"loss": 2.0}])
    assert len(caught) == 1
    assert loop.iter == 2


def test_jsonl_writes_on_the_first_rank_only_by_default(train, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("RANK", "1")
    alone, each = (JSONLWriter(tmp_path / "metrics.v2.jsonl", interval=1, all_ranks=all) for all in (False, True))
    train([alone, each], [{"loss": 1.0}])
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.v2.rank1.jsonl"]
    assert each.path == tmp_path / "metrics.v2.rank1.jsonl"
    assert [row["train/loss"] for row in json_rows(each.path)] == [1.0]


@pytest.mark.parametrize("arguments", [{"interval": 0}, {"interval": True}, {"interval": 1.5}, {"reduce": "median"}])
def test_jsonl_names_a_wrong_argument(arguments, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must be"):
        JSONLWriter(tmp_path / "metrics.jsonl", **arguments)
    assert list(tmp_path.iterdir()) == []
