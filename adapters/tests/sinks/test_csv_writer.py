from __future__ import annotations

import csv
import math
import stat
from pathlib import Path

import pytest

from runtimeinfo_adapters.sinks import CSVWriter, SinkError, SinkWarning

HEADER = "iter,epoch,loop_stage,time"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: cell for key, cell in row.items() if key != "time"} for row in csv.DictReader(file, strict=True)]


def test_a_new_scalar_is_a_new_column_and_an_absent_one_an_empty_cell(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "made" / "metrics.csv"
    train([CSVWriter(path, interval=1)], [{"loss": 0.1}, {"a,b": 1 / 3}, {"loss": 3, "a,b": math.nan}], val={"acc": 1})
    assert path.read_text().splitlines()[0] == f'{HEADER},train/loss,"train/a,b",val/acc'
    assert [list(row.values()) for row in rows(path)] == [
        ["0", "0", "train", "0.1", "", ""],
        ["1", "0", "train", "", repr(1 / 3), ""],
        ["2", "0", "train", "3.0", "nan", ""],
        ["3", "0", "val", "", "", "1"],
    ]
    assert list(path.parent.iterdir()) == [path]  # nothing is left of the rewriting


def test_a_link_stays_a_link_and_a_mode_a_mode(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    real, path = tmp_path / "real.csv", tmp_path / "metrics.csv"
    real.touch(mode=0o640)
    path.symlink_to(real)
    train([CSVWriter(path)], [{"loss": 1.0}])
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [row["train/loss"] for row in rows(real)] == ["1.0"]


def test_a_file_of_its_own_is_appended_to(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.csv"
    path.write_text(f"{HEADER},train/loss\n0,0,train,1.5,0.5\n1,0,tr")  # a process was killed here
    train([CSVWriter(path)], [{"grad": 2.0, "loss": 0.25}])
    train([CSVWriter(path)], [{"grad": 3.0}])
    assert [list(row.values()) for row in rows(path)] == [
        ["0", "0", "train", "0.5", ""],
        ["1", "0", "tr", "", ""],
        ["0", "0", "train", "0.25", "2.0"],
        ["0", "0", "train", "", "3.0"],
    ]


@pytest.mark.parametrize("content", [b"name,age\nAda,36\n", b"\xff\x00", b'"' + b"x" * 200_000])
def test_a_file_of_somebody_else_is_left_alone(content, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(SinkError, match=rf"people\.csv is there already, and .* begin with {HEADER}\. Move it away"):
        train([CSVWriter(path)], [AssertionError("it trained")])
    assert path.read_bytes() == content


def test_what_cannot_be_written_to_is_said_before_the_training(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").touch()
    for path, said in ((tmp_path / "file" / "metrics.csv", "exists"), (Path("/dev/full"), "no regular file")):
        with pytest.raises(SinkError, match=f"CSVWriter cannot write to {path}: .*{said}") as caught:
            train([CSVWriter(path)], [AssertionError("it trained")])
        assert caught.value.path == path
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("later", [{"loss": 2.0}, {"new": 2.0}])
def test_a_disk_that_fills_up_stops_the_sink_and_not_the_run(later, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    real, path = tmp_path / "real.csv", tmp_path / "metrics.csv"
    real.touch()
    path.symlink_to(real)

    class FillUp:
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # type: ignore[no-untyped-def]
            if batch_idx == 1:
                path.unlink()
                path.symlink_to("/dev/full")

    said = "No space left" if "loss" in later else "no regular file any more"
    with pytest.warns(SinkWarning, match=rf"CSVWriter stops, .*metrics\.csv any more: .*{said}") as caught:
        loop = train([FillUp(), CSVWriter(path, interval=1)], [{"loss": 1.0}, later, {"loss": 3.0}])
    assert (len(caught), loop.iter) == (1, 3)
    assert [row["train/loss"] for row in rows(real)] == ["1.0"]
    assert Path("/dev/full").is_char_device()


def test_a_file_that_is_moved_away_begins_anew(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, moved = tmp_path / "metrics.csv", tmp_path / "moved.csv"

    class Move:
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # type: ignore[no-untyped-def]
            if batch_idx == 1:
                path.rename(moved)

    train([Move(), CSVWriter(path, interval=1)], [{"loss": 1.0}, {"loss": 2.0}])
    assert [[row["train/loss"] for row in rows(file)] for file in (moved, path)] == [["1.0"], ["2.0"]]


@pytest.mark.parametrize("rows_before", [0, 1000])  # within what is read ahead of the header, and beyond
def test_bytes_that_are_no_text_are_left_as_they_are(rows_before, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"iter,epoch,loop_stage,time\n" + b"0,0,train,1.0\n" * rows_before + b"0,0,\xff\xfe,1.0\n")
    train([CSVWriter(path, interval=1)], [{"loss": 1.0}])
    header, *_, damaged, row = path.read_bytes().splitlines()
    assert header == b"iter,epoch,loop_stage,time,train/loss"
    assert damaged == b"0,0,\xff\xfe,1.0,"
    assert row.endswith(b",1.0")


def test_a_damaged_file_stops_the_sink_and_not_the_run(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.csv"
    damaged = b'iter,epoch,loop_stage,time\n0,0,"' + b"x" * 200_000 + b"\n"  # a quote that nothing ends
    path.write_bytes(damaged)
    with pytest.warns(SinkWarning, match=r"CSVWriter stops, .*metrics\.csv any more: .*damaged") as caught:
        loop = train([CSVWriter(path, interval=1)], [{"loss": 1.0}, {"loss": 2.0}])
    assert len(caught) == 1
    assert loop.iter == 2
    assert path.read_bytes() == damaged
    assert list(tmp_path.iterdir()) == [path]
