from __future__ import annotations

from pathlib import Path

import pytest
from trace_examples import HEADER, find, lines, training

from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance.traces import run_check_trace


def test_a_good_trace(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("".join(lines(training())))
    assert run_check_trace(path) == 0
    output = capsys.readouterr()
    assert output.err == ""
    first, second, *_, last = output.out.splitlines()
    assert first == f"{path}: torch 2, experiment 'test', spec 0.1"
    assert second == "44 events of 1 run judged"
    assert last == f"{path}: conformant, as far as a trace tells"
    assert "LIFE-01   MUST   pass " in output.out
    assert "FAIL-04   MUST   not exercised " in output.out
    assert "not decidable from a trace: LIFE-03, LIFE-04" in output.out


def test_a_bad_trace(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = training(epochs=5)
    for occurrence in range(4):
        records[find(records, "after_val", occurrence)]["s"] = "val"
    text = lines(records)
    text[find(records, "after_val_epoch", 4)] = "damaged\n"
    path.write_text("".join(text))
    assert run_check_trace(str(path)) == 1
    out = capsys.readouterr().out.splitlines()
    at = out.index("STAGE-03  MUST   fail                          4 of 4  at the events only, not between them")
    assert out[at + 1 : at + 6] == [
        "    line 19, after_val: expected stage 'train', observed stage 'val'",
        "    line 35, after_val: expected stage 'train', observed stage 'val'",
        "    line 51, after_val: expected stage 'train', observed stage 'val'",
        "    and 1 more",
        "    more: runtimeinfo explain STAGE-03",
    ]
    assert out[-1] == f"{path}: not conformant: STAGE-03; 11 events were not judged"


def test_a_trace_of_another_spec_is_noted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("".join(lines([HEADER | {"spec": "9.9"}, *training()[1:]])))
    assert run_check_trace(path) == 0
    assert f"note: it was written under spec 9.9, and is judged by {SPEC_VERSION}" in capsys.readouterr().out


def test_many_notes_are_counted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lines(training(epochs=60))
    text[5::15] = ["damaged\n"] * len(text[5::15])
    path.write_text("".join(text))
    assert run_check_trace(path) == 0
    assert any(line.startswith("note: and ") for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file or directory"), (b"", "it is empty"), (b"hello", "line 1: it is no trace")],
)
def test_what_is_no_trace(path: Path, content: bytes | None, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        path.write_bytes(content)
    assert run_check_trace(path) == 4
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"runtimeinfo: {path}: {message}")


def test_a_folder_is_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_check_trace(tmp_path) == 4
    assert "Is a directory" in capsys.readouterr().err
