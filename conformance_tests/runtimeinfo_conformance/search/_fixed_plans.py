"""The plans that are always tried, before any is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from runtimeinfo_conformance._subject import AnySubject, HubSubject, ReduceSubject, Subject
from runtimeinfo_conformance.plans import CHANGING_KIND, FAULT_KINDS, Fault, FaultKind, HubPlan, Plan, can_raise
from runtimeinfo_conformance.search._hub_plans import fixed_hub_plans, fixed_reduce_plans, is_slow, slow_hub_plans
from runtimeinfo_conformance.search._killers import killers_of
from runtimeinfo_conformance.search._occurrences import places_of


def fixed_plans(subject: AnySubject) -> list[Any]:
    """Return the plans that are always tried on a subject."""
    if isinstance(subject, HubSubject):
        killers = [plan for plan in killers_of(HubPlan) if isinstance(plan, HubPlan) and not is_slow(plan)]
        return [*fixed_hub_plans(), *killers]
    if isinstance(subject, ReduceSubject):
        return fixed_reduce_plans()
    return _runner_plans(subject.capabilities)


def _runner_plans(capabilities: frozenset[str]) -> list[Plan]:
    """Return plans with nearly all that is declared, and those that show a fault of a runner best."""
    plan = _full_plan(capabilities)
    variants: list[dict[str, Any]] = [
        {"resume_after": 2},  # where a checkpoint is saved before the validation, the first one has no metrics
        {"resume_after": 1, "resume_batch": 1},
        {"accumulation": 3, "batches": 7},  # two windows and a part: one that is read as a whole shows in the second
        {"stop_after": 3},
        {"val_loaders": 2},
        {"val_interval": 1},
        {"val_before": True},
        {"val_after": True},
        {"lengths": (1, 3, 2)},
        {"again": True, "test_batches": None},
        {"again": True, "stop_after": 3, "test_batches": None},
        # A training that is saved was stopped in other ways, too, and after the last batch of an epoch, or of all.
        {"resume_after": 1, "resume_batch": 1, "stopped_by": "stop"},
        {"resume_after": 1, "resume_batch": 2, "outputs": ()},
        {"resume_after": 2, "resume_batch": 2, "outputs": ()},
        {"iterations": 5},
        {"iterations": 5, "resume_after": 1, "resume_batch": 1, "stopped_by": "iterations"},
        {"iterations": 5, "resume_after": 1, "resume_batch": 2, "outputs": (), "stopped_by": "iterations"},
        {"company": "forked"},  # the other companies are among the plans that cover all values
    ]
    inside = {"val_interval": 25} if {"val", "val_inside"} <= capabilities else {}
    large: list[dict[str, Any]] = [{"batches": 60, **inside}, {"max_epochs": 40, "batches": 1}]
    # Many iterations, or many epochs; a rate that is halved as often would be 0.
    variants += [{**fields, "schedule": False, "groups": 1} for fields in large]
    varied = [replace(plan, **fields) for fields in variants]
    # One may need two capabilities: to resume in mid-epoch is also to resume.
    plans = [plan, replace(plan, repeat=True), *(each for each in varied if each.needs <= capabilities)]
    # Some frameworks have events for their checkpoints, and not all of them save and load where they train.
    plans += [each for each in _FAILING_CHECKPOINTS if each.needs <= capabilities]
    plans += [killer for killer in killers_of(Plan) if isinstance(killer, Plan) and killer.needs <= capabilities]
    return plans


_FAILING_CHECKPOINTS = (
    Plan(max_epochs=2, fault=Fault("before_save_checkpoint", 1)),
    Plan(batches=3, resume_after=0, resume_batch=1, fault=Fault("before_save_checkpoint", 0, "interrupt")),
    Plan(max_epochs=2, resume_after=1, fault=Fault("after_load_checkpoint")),
)
"""A hook raises as the training is saved, and as it is loaded: no fault of the kit's has such an event."""


def fault_plans(subject: AnySubject) -> list[Plan]:
    """Return plans that fail at each place. Drawn plans alone do not get round to each event in a short search."""
    if not isinstance(subject, Subject):
        return []
    plan, kinds = _full_plan(subject.capabilities), itertools.cycle(FAULT_KINDS)
    return [replace(plan, fault=Fault(place, kind=_next_for(place, kinds))) for place in places_of(plan)]


def _full_plan(capabilities: frozenset[str]) -> Plan:
    everything: dict[str, dict[str, Any]] = {
        "val": {"val_batches": 2},
        "test": {"test_batches": 2},
        "outputs": {"outputs": (("text", "text"), ("loss", "float"))},
        "metrics": {"metrics": (("matrix", "vector"), ("acc", "float"), ("changing", CHANGING_KIND))},
        "metainfo": {"metainfo": {"classes": ["cat", "dog"]}},
        "scheduler": {"schedule": True},
    }
    declared = {name: value for each in capabilities & everything.keys() for name, value in everything[each].items()}
    return Plan(max_epochs=3, batches=2, groups=2, **declared)


def _next_for(place: str, kinds: Iterator[FaultKind]) -> FaultKind:
    return next(kind for kind in kinds if can_raise(place, kind))


def slow_plans(subject: AnySubject) -> list[Any]:
    """Return the plans that are tried once in a check: each of them waits for another interpreter."""
    if isinstance(subject, HubSubject):
        return slow_hub_plans()
    if not isinstance(subject, Subject):
        return []
    plans = [Plan(company=company) for company in ("spawned", "served")]
    return [plan for plan in plans if plan.needs <= subject.capabilities]
