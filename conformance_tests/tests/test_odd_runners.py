"""No runner that is odd, but legal, comes out red."""

from __future__ import annotations

import os
from typing import Any

import pytest
from odd_numbers import (
    ODD_NUMBERS,
    CountsInItsOwnIntegers,
    CountsInNumPyIntegers,
    IsOnlyAskedForIterations,
    LearnsItsLength,
    MakesOneEpochOfIterations,
    NamesItsRatesByModule,
    NeverTellsItsLength,
    NumbersItsBatchesOn,
    ValidatesByItsOneEpoch,
)
from odd_runners import (
    ODD,
    AddsATimeStamp,
    FinishesItsEpoch,
    RaisesWhenABatchIsDue,
    ResizesProgressively,
    SavesAsTheEpochEnds,
    StopsBeforeValidating,
    StopsForGood,
    TellsOfItsCheckpoints,
    TrainsAnewInEachEpoch,
    WarmsUpEachValidation,
    WarmsUpFirst,
)
from simple_trainer import Trainer, subject_of

from runtimeinfo_conformance import Fault, Plan
from runtimeinfo_conformance._canaries import survivors
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES, silent
from runtimeinfo_conformance._verdict import Tally
from runtimeinfo_conformance.plans import CHANGING_KIND
from runtimeinfo_conformance.search import draw_plans, killers

KINDS = [*ODD, *ODD_NUMBERS]

PARTS = 12
"""Each runner is tried on one of so many plans, each time on others."""

EVERY_PLAN = "RUNTIMEINFO_EVERY_PLAN"
"""Where it is set, as `make nightly` does, each is tried on all."""

METRICS = (("acc", "float"), ("matrix", "list"), ("changing", CHANGING_KIND))
VAL: dict[str, Any] = {"val_batches": 1, "outputs": (("loss", "float"),)}

SHOWN_BY: list[tuple[type[Trainer], Plan]] = [
    (CountsInItsOwnIntegers, Plan(max_epochs=2, batches=2, **VAL)),
    (WarmsUpFirst, Plan(max_epochs=3, batches=2, **VAL)),
    (WarmsUpFirst, Plan(max_epochs=3, batches=2, again=True)),
    (WarmsUpFirst, Plan(max_epochs=3, batches=2, stop_after=5)),
    (WarmsUpFirst, Plan(max_epochs=3, resume_after=2)),
    (ResizesProgressively, Plan(max_epochs=3, batches=2, **VAL)),
    (ResizesProgressively, Plan(max_epochs=3, lengths=(1, 2, 3))),
    (IsOnlyAskedForIterations, Plan(max_epochs=2, batches=3)),
    (IsOnlyAskedForIterations, Plan(max_epochs=2, batches=3, sized=False)),
    (MakesOneEpochOfIterations, Plan(iterations=5, batches=2, max_epochs=3, **VAL)),
    (MakesOneEpochOfIterations, Plan(iterations=2, val_batches=0, val_interval=2)),
    (ValidatesByItsOneEpoch, Plan(iterations=2, val_batches=0, val_interval=2)),
    (NeverTellsItsLength, Plan(iterations=4, batches=2, resume_after=0, resume_batch=2, stopped_by="iterations")),
    (TellsOfItsCheckpoints, Plan(max_epochs=2, fault=Fault("before_save_checkpoint", 1))),
    (TellsOfItsCheckpoints, Plan(batches=3, resume_after=0, resume_batch=1, fault=Fault("before_save_checkpoint"))),
    (TellsOfItsCheckpoints, Plan(max_epochs=2, resume_after=1, fault=Fault("after_load_checkpoint", 0, "interrupt"))),
    (SavesAsTheEpochEnds, Plan(max_epochs=2, fault=Fault("before_save_checkpoint"))),
    (AddsATimeStamp, Plan(experiment_name=None, seed=None)),
    (CountsInNumPyIntegers, Plan(experiment_name=None, seed=None)),
    (NamesItsRatesByModule, Plan(batches=2, schedule=True)),
    (NamesItsRatesByModule, Plan(batches=2, schedule=True, optimizers=("generator", "critic"), groups=2)),
    (StopsBeforeValidating, Plan(batches=4, val_interval=2, stop_after=2, val_batches=1)),
    (StopsForGood, Plan(max_epochs=2, batches=2, stop_after=2, val_after=True, val_batches=1)),
    (NeverTellsItsLength, Plan(max_epochs=2, batches=2)),
    (LearnsItsLength, Plan(max_epochs=2, batches=2)),
    (WarmsUpEachValidation, Plan(max_epochs=3, val_batches=1, metrics=METRICS)),
    (WarmsUpEachValidation, Plan(max_epochs=2, val_batches=0, metrics=METRICS, fault=Fault("before_val_epoch", 3))),
    (RaisesWhenABatchIsDue, Plan(batches=3, val_batches=1, fault=Fault("train_data", 2))),
    (NumbersItsBatchesOn, Plan(max_epochs=2, batches=2, resume_after=1, resume_batch=1)),
]
"""What came out red once, was not looked at, or is an exception of a rule, on plans that show what is odd."""


def test_at_least_forty_are_tried() -> None:
    assert len(set(KINDS)) == len(KINDS) >= 40


@pytest.mark.parametrize(("kind", "plan"), SHOWN_BY, ids=lambda value: getattr(value, "__name__", None))
def test_odd_input_breaks_nothing(kind: type[Trainer], plan: Plan) -> None:
    tally = Tally()
    judge_plan(subject_of(kind), plan, tally)
    assert tally.crash is None
    assert tally.broken == frozenset()
    assert tally.counts["SCALAR-03"].occurrences or not plan.schedule


@pytest.mark.parametrize(
    ("kind", "requirement"), [(FinishesItsEpoch, "RESUME-01"), (TrainsAnewInEachEpoch, "COUNT-06")]
)
def test_each_fault_put_into_an_odd_runner_is_noticed(kind: type[Trainer], requirement: str) -> None:
    plans = [plan for (id, _), plan in killers().items() if id == requirement]
    assert list(survivors(subject_of(kind), plans, {requirement}, silent)) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_odd_runner_breaks_nothing(kind: type[Trainer]) -> None:
    subject, tally = subject_of(kind), Tally()
    plans = draw_plans(subject, PROFILES["quick"].plans)
    for plan in plans if EVERY_PLAN in os.environ else plans[KINDS.index(kind) % PARTS :: PARTS]:
        judge_plan(subject, plan, tally)
    assert tally.crash is None
    assert tally.broken == frozenset()
