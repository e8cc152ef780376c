from __future__ import annotations

from typing import Any, get_args

from hypothesis import given
from simple_hub import SimpleHub

from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.plans import (
    HUB_SCALAR_KINDS,
    INFO_KEYS,
    OTHER_KINDS,
    SCALAR_KEYS,
    TENSOR_KINDS,
    HubOpName,
    HubPlan,
    parse_plan,
)
from runtimeinfo_conformance.search import draw_plans, fixed_plans, slow_plans
from runtimeinfo_conformance.search._hub_plans import fixed_hub_plans, hub_plans, is_slow
from runtimeinfo_conformance.search._killers import killers

HUB = HubSubject("simple", "1", make=SimpleHub)


def test_a_hub_is_tried_empty_and_with_each_killer() -> None:
    plans = fixed_plans(HUB)
    assert plans[0] == HubPlan()
    shown = {repr(plan) for plan in killers().values() if isinstance(plan, HubPlan) and not is_slow(plan)}
    assert shown <= {repr(plan) for plan in plans}


def test_another_interpreter_is_started_once() -> None:
    (once,) = slow_plans(HUB)
    assert [op.name for op in once.ops].count("load_elsewhere") == 1
    assert not any(map(is_slow, draw_plans(HUB, 300)))


def test_fixed_plans_leave_room_for_drawn_ones() -> None:
    assert len(fixed_plans(HUB)) + len(slow_plans(HUB)) <= 0.8 * PROFILES["quick"].plans


def test_plans_are_read_back_from_their_text() -> None:
    for plan in (*fixed_hub_plans(), *slow_plans(HUB)):
        assert repr(parse_plan(repr(plan))) == repr(plan)


@given(hub_plans())
def test_drawn_operations_are_known(plan: Any) -> None:
    for op in plan.ops:
        if op.name in ("update_scalar", "update_scalars"):
            assert op.value in (*HUB_SCALAR_KINDS, *TENSOR_KINDS)
            assert op.value not in OTHER_KINDS
        assert op.key in (*INFO_KEYS, *SCALAR_KEYS)


def test_each_operation_occurs() -> None:
    plans = [*draw_plans(HUB, 300), *slow_plans(HUB)]
    assert {op.name for plan in plans for op in plan.ops} == set(get_args(HubOpName))
