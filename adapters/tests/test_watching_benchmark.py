import importlib
from pathlib import Path

import pytest

pytest.importorskip("mmengine")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def watching(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("watching")


def test_look_at_boards_is_timed_whether_they_change_or_not(watching, board_folder):
    watched = watching._Watched(watching.QUICK)
    try:
        assert all(watched.seconds(2, changed=changed) > 0 for changed in (True, False))
        assert {run.iter for run in watched._runs.look()} == {3}
    finally:
        watched.close()


@pytest.mark.parametrize(("ours", "ratio", "verdict"), [(0.02, "0.20 x", "reached"), (0.03, "0.30 x", "not reached")])
def test_look_is_compared_with_that_of_the_base_commit(watching, ours, ratio, verdict):
    taken = {(tree, kind): ours if tree == "now" else 0.1 for tree in ("now", "before") for kind in watching._MEASURED}
    table = watching.group(watching.FULL, taken, "abcdef0")
    assert [row.cells()[1:] for row in table.rows] == [
        (f"{ours * 1e3:.1f} ms", "abcdef0 100.0 ms", ratio, "at most 0.25 x", verdict)
    ] * 2
