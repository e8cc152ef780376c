"""No judge looks less far than its rule says; what no rule says is named in `quality/perturbations.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

QUALITY = Path(__file__).resolve().parents[1] / "quality"


@pytest.fixture(scope="module")
def perturbations() -> Iterator[Any]:
    """The script, imported as it is when it runs."""
    sys.path.insert(0, str(QUALITY))
    try:
        import perturbations

        yield perturbations
    finally:
        sys.path.remove(str(QUALITY))


@pytest.fixture(scope="module")
def matrix(perturbations: Any) -> Any:
    return perturbations.measure(perturbations.SAMPLE)


def test_every_hole_is_named(matrix: Any) -> None:
    assert list(matrix.problems(on_all_plans=False)) == []


def test_each_event_is_changed_in_each_phase(matrix: Any) -> None:
    events = {phase: {cell.event for cell in matrix.tried if cell.phase == phase} for phase in ("normal", "resumed")}
    opens = {"before_train", "before_train_iter", "before_val", "before_val_iter", "before_test", "before_test_iter"}
    assert {event for event in events["normal"] if event.startswith("before_")} >= opens
    assert {event for event in events["resumed"] if event.startswith("before_")} >= opens
    closing = {cell.event for cell in matrix.tried if cell.phase == "closing"}
    assert {"on_exception", "after_train_iter", "after_train_epoch", "after_val", "after_run"} <= closing


def test_a_change_that_no_judge_notices_is_a_problem(perturbations: Any) -> None:
    matrix = perturbations.Matrix()
    cell = perturbations.Cell("info cfg: another", "before_train", "normal")
    plan = perturbations.Plan()
    matrix.add(cell, plan, "META-01")
    assert list(matrix.problems(on_all_plans=False)) == []
    matrix.add(cell, plan, None)
    problems = list(matrix.problems(on_all_plans=False))
    assert problems == ["info cfg: another at before_train, normal: noticed 1 of 2 times, not on Plan()"]


def test_a_name_without_a_hole_is_a_problem_on_all_plans(perturbations: Any) -> None:
    assert len(list(perturbations.Matrix().problems(on_all_plans=True))) == len(perturbations.EXCUSES)


def test_a_judge_that_falls_silent_leaves_a_hole(perturbations: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(perturbations.JUDGES, "META-01", lambda _case: iter(()))
    matrix = perturbations.measure([perturbations.Plan()])
    holes = {cell.field for cell in matrix.holes()[None]}
    assert {"info cfg: another", "info cfg: removed"} <= holes


def test_the_page_names_what_goes_unnoticed(perturbations: Any) -> None:
    text = perturbations.PAGE.read_text(encoding="utf-8")
    assert all(excuse.reason in text for excuse in perturbations.EXCUSES)
    assert "| cells with a hole that is not | 0 |" in text
    assert f"| runs of the PyTorch subject | {len(perturbations.PLANS)} plans |" in text
