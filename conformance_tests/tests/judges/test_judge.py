"""Findings, and the counters of a runner that are numbers of other types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simple_trainer import Trainer, subject_of

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import Verdict
from runtimeinfo_conformance.judges import Finding, broken, ok


def test_a_finding_holds_where_both_values_are_the_same() -> None:
    assert Finding(0, {"iter": 1}, {"iter": 1}).holds
    assert not Finding(0, {"iter": 1}, {"iter": 2}).holds


def test_ok_and_broken_decide_without_a_comparison() -> None:
    assert ok(3) == Finding(3, None, None)
    assert ok(None).holds
    assert not broken(3, 1, 1).holds
    assert broken(3, 1, 2)[:3] == (3, 1, 2)


class Count(int):
    """An int that is written in another way."""

    def __repr__(self) -> str:
        return f"<{int(self)} of many>"

    __str__ = __repr__


def counting_with(kind: Any) -> type[Trainer]:
    class CountsInAnotherType(Trainer):
        def __setattr__(self, name: str, value: Any) -> None:
            if name in {"epoch", "iter", "max_epochs", "max_iters", "seed"} and value is not None:
                value = kind(value)
            super().__setattr__(name, value)

        def scope(self, name: str, body: Any, **given: Any) -> None:
            if "batch_idx" in given:
                given["batch_idx"] = kind(given["batch_idx"])
            super().scope(name, body, **given)

    return CountsInAnotherType


@pytest.mark.parametrize("kind", [Count, np.int64, np.int32], ids=lambda kind: kind.__name__)
def test_counters_of_another_type_of_integer_are_right(kind: Any) -> None:
    report = check(subject_of(counting_with(kind)), PROFILES["quick"])
    assert [(each.requirement.id, each.failure) for each in report.of(Verdict.FAIL, Verdict.WARN)] == []
    assert report.exit_code == 0


def test_counters_of_another_type_that_are_wrong_are_noticed() -> None:
    class OneAhead(counting_with(Count)):  # type: ignore[misc]
        def emit(self, event: str, **given: Any) -> None:
            self.iter += event == "before_train_iter"
            super().emit(event, **given)
            self.iter -= event == "before_train_iter"

    report = check(subject_of(OneAhead), PROFILES["quick"])
    failures = {each.requirement.id: each.failure for each in report.of(Verdict.FAIL)}
    assert "COUNT-01" in failures
    failure = failures["COUNT-01"]
    assert failure is not None
    assert failure.plan == Plan()
    assert failure.finding.observed == {"iter": 1}
