"""Every stop point, resumed from every checkpoint: the hub's counters are those of the framework."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
try:
    from resumes import ADAPTERS, POINTS, STOPS, resumes_of
finally:
    sys.path.pop(0)

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "resumes"
WRITTEN = [name for name in ADAPTERS if (FOLDER / f"{name}.py").exists()]


@pytest.mark.parametrize("name", WRITTEN)
def test_counters_of_a_resumed_training_are_those_of_the_framework(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    found = list(resumes_of(name))
    for each in found:
        assert each.stop in STOPS
        assert each.point in POINTS
        assert each.ours == each.theirs, f"{name}, stopped by {each.stop}, saved {each.point}"
        assert len(each.theirs) > 1 or each.point == "at the last batch of all"
    assert len({each[:2] for each in found}) >= 3
