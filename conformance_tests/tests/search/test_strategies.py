from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo.spec import CAPABILITIES, CLOSES, FREE_EVENTS, OPENS
from runtimeinfo_conformance import Plan, Subject
from runtimeinfo_conformance.plans import (
    FAULT_KINDS,
    MOMENTS,
    OTHER_KINDS,
    OTHER_TENSOR_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
)
from runtimeinfo_conformance.search._fixed_plans import fixed_plans
from runtimeinfo_conformance.search._search import draw_plans
from runtimeinfo_conformance.search._strategies import plans

capabilities = st.sets(st.sampled_from(sorted(CAPABILITIES))).map(frozenset)


# What a capability is of no use without.
NEEDS = {
    "val_before": "val",
    "val_inside": "val",
    "val_after": "val",
    "val_loaders": "val",
    "resume_mid_epoch": "resume",
}


def draw(declared: Iterable[str], most: int = 300) -> list[Plan]:
    """Draw plans, without those that are always tried."""
    subject = Subject("any", "1", run=print, capabilities=declared)
    always = len(fixed_plans(subject))
    return draw_plans(subject, always + most)[always:]


@pytest.fixture(scope="module")
def everything() -> list[Plan]:
    import torch  # noqa: F401  # whoever has loaded it gets its tensors, too

    return draw(CAPABILITIES, 600)


@settings(max_examples=50)
@given(st.data(), capabilities)
def test_a_plan_uses_nothing_but_what_is_declared(data: st.DataObject, declared: frozenset[str]) -> None:
    assert data.draw(plans(declared)).needs <= declared


def test_each_capability_is_used(everything: list[Plan]) -> None:
    assert frozenset().union(*(plan.needs for plan in everything)) == CAPABILITIES.keys() - {"share", "batch_begin"}


@pytest.mark.parametrize("capability", sorted(CAPABILITIES.keys() - {"share", "batch_begin"}))
def test_each_capability_is_used_alone(capability: str) -> None:
    declared = {capability, NEEDS.get(capability, capability)}
    drawn = draw(declared, 50)
    assert frozenset().union(*(plan.needs for plan in drawn)) == declared
    if capability in NEEDS:  # alone it is of no use, and does no harm
        assert frozenset().union(*(plan.needs for plan in draw({capability}, 10))) == frozenset()


def test_a_training_goes_smoothly_twice_wrong_stopped_or_interrupted(everything: list[Plan]) -> None:
    courses = {
        (plan.repeat, plan.fault is not None, plan.stop_after is not None, plan.resume_after is not None)
        for plan in everything
    }
    alone = {tuple(place == index for place in range(4)) for index in range(4)}
    resumed_and = {(True, False, False, True), (False, True, False, True), (False, False, True, True)}
    assert courses >= {*alone, *resumed_and, (True, True, False, False)}
    assert any(plan.later_resumes for plan in everything)
    assert any(plan.company and plan.fault for plan in everything)


def test_each_kind_and_each_fault_occurs(everything: list[Plan]) -> None:
    kinds = {kind for plan in everything for _, kind in (*plan.outputs, *plan.metrics)}
    assert kinds == {*SCALAR_KINDS, *TENSOR_KINDS, *OTHER_KINDS, *OTHER_TENSOR_KINDS, "changing"}
    faults = [plan.fault for plan in everything if plan.fault is not None]
    assert {fault.kind for fault in faults} == {*FAULT_KINDS}
    assert {fault.occurrence for fault in faults} >= {0, 1, 2}
    assert {fault.hook for fault in faults} == {"first", "last"}
    # In a short search not at each event: `test_fixed_plans.py`.
    assert {fault.event for fault in faults} <= {*OPENS, *CLOSES, *MOMENTS, *FREE_EVENTS}


def test_the_edges_occur(everything: list[Plan]) -> None:
    edges: dict[str, set[Any]] = {
        "batches": {0, 1, 2, 3},
        "max_epochs": {0, 1, 2, 3},
        "val_batches": {None, 0, 1, 2},
        "val_loaders": {1, 2},
        "val_interval": {None, 1, 2, 3},
        "test_batches": {None, 0, 1, 2},
        "accumulation": {1, 2, 3},
        "stop_after": {None, 1},
        "resume_after": {None, 0, 1, 2},
        "resume_batch": {0, 1, 2},
    }
    for name, values in edges.items():
        assert values <= {getattr(plan, name) for plan in everything}, name


def test_a_training_is_stopped_in_its_last_iteration_too(everything: list[Plan]) -> None:
    assert any(plan.stop_after == plan.max_iters for plan in everything)


def test_no_tensors_for_whom_has_no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    kinds = {kind for plan in draw({"outputs"}, 600) for _, kind in plan.outputs}
    assert kinds == {*SCALAR_KINDS, *OTHER_KINDS}
