import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("mmengine")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def many_keys(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("many_keys")


def before_of(many_keys, **figures):
    [commit] = many_keys._AIMS_BESIDE
    kept = many_keys.Before.read()
    return many_keys.Before(commit, "Measured then.", many_keys.FULL, kept.figures | figures)


def rows_of(many_keys, now, before, scale=None, *, is_kept=True):
    table = many_keys.group(scale or many_keys.FULL, now, before, is_kept=is_kept)
    return {row.measured: row.cells()[1:] for row in table.rows}


@pytest.mark.parametrize(
    ("ours", "ratio", "verdict"), [(0.0002, "0.100 x", "reached"), (0.0004, "0.200 x", "not reached")]
)
def test_figure_beside_the_base_commit_has_the_ratio_and_the_aim(many_keys, ours, ratio, verdict):
    before = before_of(many_keys, board=0.002)
    row = rows_of(many_keys, before.figures | {"board": ours}, before)["write 1,000 scalars to the board"]
    assert row == (f"{ours * 1e3:.2f} ms", "cc559b4 2.00 ms", ratio, "at most 0.125 x", verdict)


def test_figure_beside_another_commit_has_no_aim(many_keys):
    before = dataclasses.replace(before_of(many_keys, board=0.002), commit="abcdef0123")
    row = rows_of(many_keys, before.figures | {"board": 0.001}, before)["write 1,000 scalars to the board"]
    assert row[1:] == ("abcdef0 2.00 ms", "0.500 x", "", "")


def test_figure_of_another_scale_has_neither_ratio_nor_aim(many_keys):
    before = before_of(many_keys)
    rows = rows_of(many_keys, before.figures, before, many_keys.QUICK)
    assert rows["write 150 scalars to the board"][2:] == ("", "", "")
    assert rows["mean of 1,000 values"][2].endswith(" x NumPy")


def test_statistic_is_compared_with_numpys(many_keys):
    before = before_of(many_keys, mean=0.004)
    now = before.figures | {"mean": 0.001, "numpy mean": 0.0005}
    row = rows_of(many_keys, now, before)["mean of 1,000,000 values"]
    assert row == (
        "1.00 ms",
        "NumPy 0.50 ms, cc559b4 4.00 ms",
        "2.00 x NumPy, 0.250 x",
        "at most 1.3 x NumPy",
        "not reached",
    )


def test_table_says_whether_the_figures_of_the_commit_are_kept(many_keys):
    before = before_of(many_keys)
    for is_kept, said in ((True, "Measured then."), (False, "Both were measured in turns")):
        assert said in many_keys.group(many_keys.FULL, before.figures, before, is_kept=is_kept).about


def test_kept_figures_are_read_as_they_were_written(many_keys, tmp_path):
    before, path = before_of(many_keys), tmp_path / "kept.json"
    before.write(path)
    assert many_keys.Before.read(path) == before


def test_kept_figures_of_the_repository_are_whole(many_keys):
    kept = many_keys.Before.read()
    assert kept.scale == many_keys.FULL
    assert all(figure > 0 for figure in kept.figures.values())
    assert rows_of(many_keys, kept.figures, kept)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--keep"], "--keep needs --base, and not --quick"),
        (["--keep", "--quick", "--base", "HEAD"], "--keep needs --base, and not --quick"),
        (["--base", "nonesuch"], "'nonesuch' is not a commit of"),
    ],
)
def test_command_refuses_what_it_cannot_measure(many_keys, monkeypatch, capsys, arguments, error):
    monkeypatch.setattr(sys, "argv", ["many_keys.py", *arguments])
    try:
        status = many_keys.main()
    except SystemExit as end:
        status = end.code
    assert status
    assert error in capsys.readouterr().err


def test_both_trees_are_measured_in_turns_and_the_least_is_taken(many_keys, tmp_path, monkeypatch):
    for tree in ("now", "before"):
        for package in ("protocol/runtimeinfo", "adapters/runtimeinfo_adapters"):
            (tmp_path / tree / package).mkdir(parents=True)
            (tmp_path / tree / package / "__init__.py").touch()
    log, script = tmp_path / "log", tmp_path / "script.py"
    script.write_text(
        f"""
import json, sys
from pathlib import Path
import runtimeinfo, runtimeinfo_adapters
print(json.dumps([runtimeinfo.__file__, runtimeinfo_adapters.__file__]), flush=True)
for number, line in enumerate(sys.stdin):
    with open({str(log)!r}, "a") as log:
        print(Path(sys.argv[1]).name, json.loads(line)[0], file=log)
    print(json.dumps({{"board": 5 - number}}), flush=True)
"""
    )
    monkeypatch.setattr(many_keys, "__file__", str(script))
    monkeypatch.setattr(many_keys, "MEASUREMENTS", (many_keys.board,))
    scale = dataclasses.replace(many_keys.QUICK, rounds=2)
    taken = many_keys._taken({"now": tmp_path / "now", "before": tmp_path / "before"}, scale)
    assert taken == {"now": {"board": 4}, "before": {"board": 4}}
    assert log.read_text().split() == ["now", "board", "before", "board", "before", "board", "now", "board"]
