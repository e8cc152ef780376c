from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simple_hub import SimpleHub

from runtimeinfo import CAPABILITIES, CLOSES, OPENS
from runtimeinfo_conformance import HubSubject, Plan, Subject
from runtimeinfo_conformance._hub_plan import INFO_KEYS, SCALAR_KEYS
from runtimeinfo_conformance._search import draw_plans
from runtimeinfo_conformance._strategies import hub_plans, plans
from runtimeinfo_conformance._values import OTHER_KINDS, SCALAR_KINDS, TENSOR_KINDS

# What a plan uses, and the capability that it takes.
USES = {
    "val": lambda plan: plan.val_batches is not None,
    "test": lambda plan: plan.test_batches is not None,
    "outputs": lambda plan: bool(plan.outputs),
    "metrics": lambda plan: bool(plan.metrics),
    "metainfo": lambda plan: plan.metainfo is not None,
    "unsized": lambda plan: not plan.sized,
    "scheduler": lambda plan: plan.schedule,
    "optimizers": lambda plan: bool(plan.optimizers),
    "accumulation": lambda plan: plan.accumulation > 1,
    "resume": lambda plan: plan.resume_after is not None,
}

capabilities = st.sets(st.sampled_from(sorted(CAPABILITIES))).map(frozenset)


def drawn(capabilities: Any) -> list[Plan]:
    return draw_plans(Subject("any", "1", run=print, capabilities=capabilities), 300)


def test_the_table_above_is_complete() -> None:
    assert USES.keys() == CAPABILITIES.keys()


@given(st.data(), capabilities)
def test_a_plan_uses_nothing_but_what_is_declared(data: st.DataObject, declared: frozenset[str]) -> None:
    plan = data.draw(plans(declared))
    assert {name for name, uses in USES.items() if uses(plan)} <= declared


@given(plans(frozenset(CAPABILITIES)))
def test_a_resumed_training_has_something_left_and_no_fault(plan: Plan) -> None:
    if plan.resume_after is not None:
        assert 1 <= plan.resume_after < plan.max_epochs
        assert plan.fault is None


@pytest.mark.parametrize("capability", sorted(CAPABILITIES))
def test_each_capability_is_used_with_all_and_alone(capability: str) -> None:
    assert any(USES[capability](plan) for plan in drawn(CAPABILITIES))
    assert any(USES[capability](plan) for plan in drawn({capability}))


def test_each_kind_and_each_fault_occurs() -> None:
    assert "torch" in sys.modules
    everything = drawn(CAPABILITIES)
    kinds = {kind for plan in everything for _, kind in (*plan.outputs, *plan.metrics)}
    assert kinds == {*SCALAR_KINDS, *TENSOR_KINDS, *OTHER_KINDS, "changing"}
    faults = [plan.fault for plan in everything if plan.fault is not None]
    assert {fault.kind for fault in faults} == {"error", "interrupt"}
    assert {fault.occurrence for fault in faults} == {0, 1}
    assert {fault.event for fault in faults} == {*OPENS, *CLOSES}


def test_the_edges_occur() -> None:
    everything = drawn(CAPABILITIES)
    assert {plan.batches for plan in everything} == {plan.max_epochs for plan in everything} == {0, 1, 2, 3}
    assert {plan.val_batches for plan in everything} == {None, 0, 1, 2}
    assert {plan.resume_after for plan in everything} == {None, 1, 2}


def test_no_tensors_for_whom_has_no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    kinds = {kind for plan in drawn({"outputs"}) for _, kind in plan.outputs}
    assert kinds == {*SCALAR_KINDS, *OTHER_KINDS}


@given(hub_plans())
def test_the_operations_on_a_hub_are_known(plan: Any) -> None:
    for op in plan.ops:
        assert op.name == "refuse_scalar" or op.value not in OTHER_KINDS or "scalar" not in op.name
        assert op.key in (*INFO_KEYS, *SCALAR_KEYS)


def test_each_operation_on_a_hub_occurs() -> None:
    hub = HubSubject("simple", "1", make=SimpleHub)
    assert {op.name for plan in draw_plans(hub, 300) for op in plan.ops} == {
        "update_info", "update_info_dict", "pop_info", "update_scalar", "update_scalars", "refuse_scalar",
        "flip_resumed", "reload", "load_damaged",
    }  # fmt: skip
