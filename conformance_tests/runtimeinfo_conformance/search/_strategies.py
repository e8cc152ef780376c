"""Hypothesis strategies that draw plans."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from hypothesis import strategies as st

from runtimeinfo_conformance.observation import HOOK_ORDERS
from runtimeinfo_conformance.plans import (
    CHANGING_KIND,
    FAULT_KINDS,
    MOMENTS,
    OTHER_KINDS,
    OTHER_TENSOR_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
    Company,
    Fault,
    Plan,
    PlanError,
    Values,
    can_raise,
    is_available,
)
from runtimeinfo_conformance.search._occurrences import times_of

# To build a strategy costs more than to draw from it: what depends on no plan is built once.

_LENGTH = st.integers(1, 3)

_HOOK: st.SearchStrategy[Any] = st.sampled_from(("last", "last", "first"))

_SELDOM = st.sampled_from((False, False, False, True))

_OUTPUT_NAMES = ("loss", "acc", "aux/κ", "top 5/🐈 %", "text")

_FIELDS: Mapping[str, tuple[str | None, st.SearchStrategy[object]]] = MappingProxyType(
    {
        "max_epochs": (None, st.integers(0, 3)),
        "batches": (None, st.integers(0, 3)),
        "sized": ("unsized", st.booleans()),
        "val_batches": ("val", st.none() | st.integers(0, 2)),
        "val_loaders": ("val_loaders", st.integers(1, 2)),
        "val_interval": ("val_inside", st.none() | st.integers(1, 3)),
        "val_before": ("val_before", st.booleans()),
        "val_after": ("val_after", st.booleans()),
        "test_batches": ("test", st.none() | st.integers(0, 2)),
        "optimizers": ("optimizers", st.sampled_from([(), ("generator", "critic")])),
        "groups": (None, st.integers(1, 2)),
        "schedule": ("scheduler", st.booleans()),
        "accumulation": ("accumulation", st.integers(1, 3)),
        "metainfo": ("metainfo", st.sampled_from([None, {"classes": ["cat", "dog"]}])),
        "seed": (None, st.integers(0, 99)),
        "hook_order": (None, st.integers(0, HOOK_ORDERS - 1)),
    }
)
"""For each field of a plan the capability that it takes, if any, and what it can be."""


def plans(capabilities: frozenset[str]) -> st.SearchStrategy[Plan]:
    """Draw a plan which uses nothing but what a subject has declared."""
    return _plans(
        capabilities, tuple(filter(is_available, (*SCALAR_KINDS, *TENSOR_KINDS, *OTHER_KINDS, *OTHER_TENSOR_KINDS)))
    )


@cache
def _plans(capabilities: frozenset[str], kinds: tuple[str, ...]) -> st.SearchStrategy[Plan]:
    values = _values(kinds)
    fields = {**_FIELDS, "outputs": ("outputs", values), "metrics": ("metrics", _with_changing(values))}
    declared = {name: each for name, (needs, each) in fields.items() if needs is None or needs in capabilities}
    given = st.fixed_dictionaries(declared)

    @st.composite
    def draw_plan(draw: st.DrawFn) -> Plan:
        chosen = draw(given, label="fields")
        if chosen.get("val_batches") is None:
            chosen = {name: value for name, value in chosen.items() if not name.startswith("val_")}
        plan = Plan(**chosen)  # type: ignore[arg-type]  # each strategy draws what its field takes
        course = draw(_one_of(_courses(plan, capabilities)), label="course")
        plan = _COURSES[course](draw, plan)
        for turn in (_stopped_early, _wrong, _twice, _without_name):
            if draw(_SELDOM, label=f"and {turn.__name__}"):
                with suppress(PlanError):  # not each goes with each
                    changed = turn(draw, plan)
                    plan = changed if changed.needs <= capabilities else plan
        return plan

    return draw_plan()


def _values(kinds: tuple[str, ...]) -> st.SearchStrategy[Values]:
    pair = st.tuples(st.sampled_from(_OUTPUT_NAMES), st.sampled_from(kinds))
    return st.lists(pair, max_size=3, unique_by=lambda entry: entry[0]).map(tuple)


def _with_changing(values: st.SearchStrategy[Values]) -> st.SearchStrategy[Values]:
    changing = st.sampled_from([(), (("changing", CHANGING_KIND),)])
    return st.tuples(values, changing).map(lambda drawn: drawn[0] + drawn[1])


@cache
def _one_of(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


# -- how a training goes


def _courses(plan: Plan, capabilities: frozenset[str]) -> tuple[str, ...]:
    """Return the courses that a plan can take. Workers are not drawn: to start one takes as long as several plans."""
    possible = {
        "of changing length": "changing_length" in capabilities
        and plan.max_epochs > 1
        and plan.sized
        and plan.val_interval is None,
        "again": "again" in capabilities and plan.max_iters > 0,
        "beside another": "beside" in capabilities,
        "around another": "nested" in capabilities and plan.max_iters > 0,
        "in turn with another": "in_turn" in capabilities,
        "asked for iterations": "iterations" in capabilities and _can_be_bound(plan),
        "stopped early": "early_stop" in capabilities and plan.max_iters > 0,
        "resumed": "resume" in capabilities and plan.max_epochs > 1,
        "resumed in mid-epoch": {"resume", "resume_mid_epoch"} <= capabilities
        and plan.max_epochs > 0
        and plan.batches > 1,
        "stopped early and resumed": {"early_stop", "resume", "resume_mid_epoch"} <= capabilities
        and plan.max_epochs > 0
        and plan.batches > 1,
        "resumed twice": {"resume", "resume_mid_epoch"} <= capabilities
        and plan.max_epochs > 0
        and plan.batches > 2
        and plan.accumulation == 1,
        "resumed by iterations": {"iterations", "resume", "resume_mid_epoch"} <= capabilities
        and _can_be_bound(plan)
        and plan.sized
        and plan.max_iters > 1,
    }
    always = ("smooth", "wrong", "twice", "wrong and again", "among strangers", "inside another run")
    return (*always, *(name for name, can_be in possible.items() if can_be))


def _can_be_bound(plan: Plan) -> bool:
    return plan.max_iters > 0 and plan.accumulation == 1 and not plan.optimizers


def _smooth(_draw: st.DrawFn, plan: Plan) -> Plan:
    return plan


def _wrong(draw: st.DrawFn, plan: Plan) -> Plan:
    """Draw a fault. One that does not go with the company is an error of the standard library instead."""
    times = times_of(plan)
    place = draw(_one_of(tuple(place for place, count in times.items() if count)), label="place")
    occurrence = draw(_one_of(tuple(range(times[place]))), label="occurrence")
    kind = draw(_one_of(tuple(kind for kind in FAULT_KINDS if can_raise(place, kind))), label="kind")
    hook: Literal["last", "first"] = "last" if place in MOMENTS else draw(_HOOK, label="hook")
    with suppress(PlanError):
        return replace(plan, fault=Fault(place, occurrence, kind, hook))
    return replace(plan, fault=Fault(place, occurrence))


def _twice(_draw: st.DrawFn, plan: Plan) -> Plan:
    return replace(plan, repeat=True)


def _without_name(_draw: st.DrawFn, plan: Plan) -> Plan:
    return replace(plan, experiment_name=None, seed=None)


def _wrong_and_again(draw: st.DrawFn, plan: Plan) -> Plan:
    return replace(_wrong(draw, plan), repeat=True)


def _of_changing_length(draw: st.DrawFn, plan: Plan) -> Plan:
    lengths = tuple(draw(_LENGTH, label="length") for _ in range(plan.max_epochs))
    return replace(plan, lengths=lengths)


def _again(_draw: st.DrawFn, plan: Plan) -> Plan:
    return replace(plan, again=True, val_before=False, val_after=False, test_batches=None)


def _in_company(company: Company) -> Callable[[st.DrawFn, Plan], Plan]:
    return lambda _draw, plan: replace(plan, company=company)


def _asked_for_iterations(draw: st.DrawFn, plan: Plan) -> Plan:
    # Outputs can decide whether a framework makes the steps itself, and then their number is not known.
    bound = draw(_one_of(tuple(range(1, plan.max_iters + 1))), label="iterations")
    return replace(plan, iterations=bound, outputs=())


def _stopped_early(draw: st.DrawFn, plan: Plan) -> Plan:
    if not plan.max_iters:
        raise PlanError("there is no iteration to stop after: leave it out")
    return replace(plan, stop_after=draw(_one_of(tuple(range(1, plan.max_iters + 1))), label="stop_after"))


def _resumed(draw: st.DrawFn, plan: Plan) -> Plan:
    return replace(plan, resume_after=draw(_one_of(tuple(range(1, plan.max_epochs))), label="resume_after"))


def _resumed_in_mid_epoch(draw: st.DrawFn, plan: Plan) -> Plan:
    moments = tuple(itertools.product(range(plan.max_epochs), range(1, plan.batches + 1)))
    epoch, batch = draw(_one_of(moments), label="resume_after, resume_batch")
    outputs = plan.outputs if batch < plan.batches else ()
    return replace(plan, resume_after=epoch, resume_batch=batch, outputs=outputs)


def _resumed_twice(draw: st.DrawFn, plan: Plan) -> Plan:
    moments = [(epoch, batch) for epoch in range(plan.max_epochs) for batch in range(plan.batches)][1:]
    pairs = tuple(itertools.combinations(moments, 2))
    (epoch, batch), later = draw(_one_of(pairs), label="resume_after, resume_batch, later_resumes")
    return replace(plan, resume_after=epoch, resume_batch=batch, later_resumes=(later,))


def _stopped_early_and_resumed(draw: st.DrawFn, plan: Plan) -> Plan:
    return replace(_resumed_in_mid_epoch(draw, plan), stopped_by="stop")


def _resumed_by_iterations(draw: st.DrawFn, plan: Plan) -> Plan:
    done = draw(_one_of(tuple(range(1, plan.max_iters))), label="resume_after, resume_batch")
    epoch, batch = divmod(done - 1, plan.batches)
    asked = replace(plan, iterations=plan.max_iters, outputs=())
    return replace(asked, resume_after=epoch, resume_batch=batch + 1, stopped_by="iterations")


_COURSES: Mapping[str, Callable[[st.DrawFn, Plan], Plan]] = MappingProxyType(
    {
        "smooth": _smooth,
        "wrong": _wrong,
        "twice": _twice,
        "wrong and again": _wrong_and_again,
        "of changing length": _of_changing_length,
        "again": _again,
        "among strangers": _in_company("strangers"),
        "inside another run": _in_company("around"),
        "beside another": _in_company("beside"),
        "around another": _in_company("nested"),
        "in turn with another": _in_company("in_turn"),
        "asked for iterations": _asked_for_iterations,
        "stopped early": _stopped_early,
        "resumed": _resumed,
        "resumed in mid-epoch": _resumed_in_mid_epoch,
        "resumed twice": _resumed_twice,
        "stopped early and resumed": _stopped_early_and_resumed,
        "resumed by iterations": _resumed_by_iterations,
    }
)
