"""Findings, and the counters of a runner that are numbers of other types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simple_trainer import Trainer, subject_of

from runtimeinfo_conformance import Fault, Plan
from runtimeinfo_conformance.judges import JUDGES, Case, Finding, broken, ok
from runtimeinfo_conformance.observation import execute


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


RICH = Plan(
    max_epochs=2,
    batches=2,
    val_batches=1,
    test_batches=1,
    outputs=(("loss", "float"),),
    metrics=(("acc", "float"),),
    schedule=True,
)

PLANS = (
    RICH,
    replace(RICH, resume_after=1, resume_batch=1),
    replace(RICH, stop_after=3),
    replace(RICH, iterations=3),
    replace(RICH, lengths=(1, 3)),
    replace(RICH, repeat=True, val_interval=1),
    replace(RICH, accumulation=2, val_loaders=2),
    replace(RICH, fault=Fault("train_step", 1)),
)


def broken_rules(plan: Plan, kind: type[Trainer]) -> dict[str, Finding]:
    cases = [Case(leg) for leg in execute(subject_of(kind), plan)]
    found = [(id, finding) for id in JUDGES for case in cases for finding in JUDGES[id](case)]
    return {id: finding for id, finding in reversed(found) if not finding.holds}


@pytest.mark.parametrize("kind", [Count, np.int64, np.int32], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_counters_of_another_type_of_integer_are_right(plan: Plan, kind: Any) -> None:
    assert broken_rules(plan, counting_with(kind)) == {}


def test_counters_of_another_type_that_are_wrong_are_noticed() -> None:
    class OneAhead(counting_with(Count)):  # type: ignore[misc]
        def emit(self, event: str, **given: Any) -> None:
            self.iter += event == "before_train_iter"
            super().emit(event, **given)
            self.iter -= event == "before_train_iter"

    finding = broken_rules(Plan(), OneAhead)["COUNT-01"]
    assert (finding.expected, finding.observed) == ({"iter": 0}, {"iter": 1})
