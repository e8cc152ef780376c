from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from simple_trainer import correct

from runtimeinfo.spec import ABORT, CAPABILITIES, CLOSES, OPENS
from runtimeinfo_conformance import Fault, Plan, Subject, _subject
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.judges import JUDGES, Case
from runtimeinfo_conformance.observation._execution import execute
from runtimeinfo_conformance.plans import BASE_KINDS, MOMENTS
from runtimeinfo_conformance.search import draw_plans
from runtimeinfo_conformance.search._fixed_plans import fault_plans, fixed_plans
from runtimeinfo_conformance.search._killers import killers
from runtimeinfo_conformance.search._occurrences import places_of, times_of
from runtimeinfo_conformance.subjects import mmengine, pytorch

EVENTS = {*OPENS, *CLOSES}


def plans_for(*capabilities: str) -> list[Plan]:
    return fixed_plans(Subject("any", "1", run=print, capabilities=capabilities))


@pytest.mark.parametrize("capability", [None, *CAPABILITIES])
def test_nothing_is_used_but_what_is_declared(capability: str | None) -> None:
    declared = {capability} if capability else set()
    assert frozenset().union(*(plan.needs for plan in plans_for(*declared))) <= declared


def test_full_capabilities_get_every_kind_of_plan() -> None:
    plans = plans_for(*CAPABILITIES)
    assert frozenset().union(*(plan.needs for plan in plans)) >= CAPABILITIES.keys() - {
        "optimizers",
        "share",
        "batch_begin",
    }
    first = plans[0]
    assert first.needs >= {"val", "test", "outputs", "metrics", "metainfo", "scheduler"}
    assert (first.max_epochs, first.fault, first.repeat) == (3, None, False)


@pytest.mark.parametrize("make", [pytorch.subject, mmengine.subject, lambda: Subject("bare", "1", run=print)])
def test_something_fails_at_each_event_that_there_is(make: Any) -> None:
    subject = make()
    plans = draw_plans(subject, PROFILES["quick"].plans)
    assert {plan.fault.event for plan in fault_plans(subject) if plan.fault is not None} == set(places_of(plans[0]))
    faults = {plan.fault for plan in plans if plan.fault is not None}
    places = set(places_of(plans[0]))
    assert {fault.event for fault in faults} >= places
    # With the plans that cover all values each place raises both sorts: `test_covering.py`.
    assert {fault.kind in BASE_KINDS for fault in faults} == {True, False}
    everywhere = {*EVENTS, *MOMENTS}
    lacking = {each for each in everywhere if "val_" in each or "test_" in each or "_val" in each or "_test" in each}
    declared = subject.capabilities & {"val", "test"}
    assert places == (everywhere if declared == {"val", "test"} else everywhere - lacking - {"train_step"})


def test_each_killer_is_always_tried() -> None:
    plans = plans_for(*CAPABILITIES)
    runner_killers = {repr(plan) for plan in killers().values() if isinstance(plan, Plan)}
    assert runner_killers <= {repr(plan) for plan in plans}


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(max_epochs=0),
        Plan(batches=0),
        Plan(val_batches=0),
        Plan(val_batches=0, val_loaders=2),
        Plan(max_epochs=0, val_batches=1, val_before=True),
        Plan(max_epochs=0, val_batches=1, val_after=True, test_batches=0),
        Plan(batches=3, val_batches=1, val_interval=2),
        Plan(batches=1, val_batches=1, val_interval=2),
        Plan(max_epochs=2, batches=2, val_batches=1, test_batches=1),
        Plan(outputs=(("loss", "float"),)),
        Plan(batches=0, outputs=(("loss", "float"),)),
    ],
    ids=repr,
)
def test_a_plan_can_go_wrong_at_each_event_and_moment_that_it_brings_about(plan: Plan) -> None:
    (leg,) = execute(correct(), plan)
    assert leg.ended_well
    reached = {record.event for record in leg.records} - {ABORT} | {f"{read.item.stage}_data" for read in leg.reads}
    assert set(places_of(plan)) == reached | ({"train_step"} if plan.outputs and plan.max_iters else set())
    assert len(places_of(plan)) == len(set(places_of(plan)))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(max_epochs=2, batches=3, val_batches=1, val_loaders=2, test_batches=2, outputs=(("loss", "float"),)),
        Plan(max_epochs=2, batches=3, val_batches=2, val_interval=2, val_before=True, val_after=True),
        Plan(max_epochs=3, lengths=(1, 3, 2), val_batches=1),
        Plan(max_epochs=3, batches=2, val_batches=1, resume_after=1, test_batches=1),
        Plan(max_epochs=3, batches=2, val_batches=1, val_interval=1, resume_after=0, resume_batch=1),
        Plan(max_epochs=3, batches=2, resume_after=0, resume_batch=1, later_resumes=((1, 1),)),
    ],
    ids=repr,
)
def test_a_plan_comes_as_often_to_each_place_as_a_runner_does(plan: Plan) -> None:
    leg = execute(correct(), plan)[-1]
    events = Counter(record.event for record in leg.records)
    times = times_of(plan)
    assert {place: times[place] for place in events} == events
    assert times["train_data"] == times["before_train_iter"]


@pytest.mark.parametrize(
    "given",
    [
        {"stop_after": 3},
        {"iterations": 3},
        {"resume_after": 0, "resume_batch": 2},
    ],
    ids=repr,
)
def test_a_plan_that_is_cut_short_comes_no_less_often_than_is_said(given: Any) -> None:
    plan = Plan(max_epochs=3, batches=2, val_batches=1, test_batches=1, **given)
    events = Counter(record.event for record in execute(correct(), plan)[-1].records)
    assert all(events[place] >= times for place, times in times_of(plan).items() if place in {*EVENTS})


@pytest.mark.parametrize("place", MOMENTS)
def test_error_between_events_propagates_and_is_not_counted(place: str) -> None:
    plan = Plan(max_epochs=2, batches=2, val_batches=2, test_batches=2, outputs=(("loss", "float"),))
    (leg,) = execute(correct(), replace(plan, fault=Fault(place, occurrence=1)))
    assert leg.raised is leg.planned is not None
    assert leg.fault_at is not None
    before = leg.records[leg.fault_at]
    stage = place.partition("_")[0]
    assert before.event == ("before_train_iter" if place == "train_step" else f"after_{stage}_iter")
    assert leg.records[-1].iter == {"train": 1, "val": 2, "test": 4}[stage]
    assert leg.expectations()[-1].iter == leg.records[-1].iter


def test_they_alone_make_each_requirement_matter() -> None:
    subject = correct()
    ids = set(_subject.testable(subject))
    for plan in fixed_plans(subject):
        for leg in execute(subject, plan):
            case = Case(leg)
            ids -= {id for id in ids if any(True for _ in JUDGES[id](case))}
    assert ids == set()


def test_no_plan_is_tried_twice_but_a_killer() -> None:
    shown = [repr(plan) for plan in plans_for(*CAPABILITIES)]
    twice = {each for each in shown if shown.count(each) > 1}
    # A killer may be a plan that is tried anyway.
    assert twice <= {repr(plan) for plan in killers().values()}
