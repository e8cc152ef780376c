from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from runtimeinfo.spec import CAPABILITIES
from runtimeinfo_conformance import Fault, Plan
from runtimeinfo_conformance.plans import HubOp, HubPlan
from runtimeinfo_conformance.search._shrink import shrink
from runtimeinfo_conformance.search._strategies import plans

LARGE = Plan(
    max_epochs=3,
    batches=3,
    sized=False,
    val_batches=2,
    outputs=(("loss", "float"), ("text", "text")),
    optimizers=("generator", "critic"),
    schedule=True,
    metainfo={"classes": []},
    seed=71,
    hook_order=5,
    fault=Fault("before_train_iter", 1, "interrupt"),
)


@pytest.mark.parametrize(
    ("breaks", "smallest"),
    [
        (lambda plan: True, Plan()),
        (lambda plan: plan.batches > 1, Plan(batches=2)),
        (lambda plan: plan.val_batches is not None, Plan(val_batches=0)),
        (lambda plan: plan.val_batches == 2 and plan.schedule, Plan(val_batches=2, schedule=True)),
        (lambda plan: dict(plan.outputs).get("text"), Plan(outputs=(("text", "text"),))),
        (lambda plan: plan.fault is not None, Plan(fault=Fault("before_train_iter"))),
        (
            lambda plan: plan.fault and plan.fault.kind == "interrupt",
            Plan(fault=Fault("before_train_iter", 0, "interrupt")),
        ),
        (lambda plan: plan.fault and plan.fault.occurrence, Plan(fault=Fault("before_train_iter", 1))),
        (lambda plan: plan == LARGE, LARGE),
    ],
)
def test_a_plan_loses_what_does_not_matter(breaks: Any, smallest: Plan) -> None:
    assert shrink(LARGE, breaks, 500) == smallest


def test_a_resumed_training_stays_one() -> None:
    plan = Plan(max_epochs=3, batches=0, resume_after=2, seed=3)
    assert shrink(plan, lambda plan: plan.resume_after is not None, 100) == Plan(max_epochs=2, resume_after=1)


def test_no_more_than_so_many_are_tried() -> None:
    tried: list[Plan] = []
    assert shrink(LARGE, lambda plan: bool(tried.append(plan)), 3) == LARGE
    assert len(tried) == 3


@settings(max_examples=50)
@given(plans(frozenset(CAPABILITIES)))
def test_it_ends_at_what_breaks(plan: Plan) -> None:
    def breaks(each: Plan) -> bool:
        return each.batches == plan.batches and each.fault == plan.fault

    # A training can be stopped early, or resumed, only where there is one: that is lost first, and all else then.
    assert shrink(plan, breaks, 500) == Plan(batches=plan.batches, fault=plan.fault)


@pytest.mark.parametrize(
    ("plan", "breaks", "smallest"),
    [
        (Plan(batches=3, stop_after=3), lambda plan: plan.stop_after, Plan(stop_after=1)),
        (
            Plan(max_epochs=3, batches=3, resume_after=2, resume_batch=2),
            lambda plan: plan.resume_batch,
            Plan(resume_after=0, resume_batch=1),
        ),
        (
            Plan(val_batches=2, val_loaders=3, val_interval=3, val_before=True, val_after=True),
            lambda plan: plan.val_loaders > 1 and "val" in plan.needs and plan.val_interval,
            Plan(val_batches=0, val_loaders=2, val_interval=1),
        ),
        (Plan(batches=0, repeat=True, fault=Fault("after_run")), lambda plan: plan.repeat, Plan(repeat=True)),
        (
            Plan(batches=2, resume_after=0, resume_batch=1, seed=3),
            lambda plan: plan.batches == 2,
            Plan(batches=2),
        ),
        (
            Plan(iterations=5, batches=2, resume_after=1, resume_batch=1, stopped_by="iterations"),
            lambda plan: plan.stopped_by == "iterations",
            Plan(iterations=1, resume_after=0, resume_batch=1, stopped_by="iterations"),
        ),
        (
            Plan(iterations=5, batches=2, resume_after=1, resume_batch=1, stopped_by="iterations"),
            lambda plan: plan.batches == 2,
            Plan(batches=2),
        ),
        (Plan(accumulation=3), lambda plan: plan.accumulation > 1, Plan(accumulation=2)),
        (
            Plan(outputs=(("loss", "tensor_float64"), ("text", "list"))),
            lambda plan: len(plan.outputs) == 2,
            Plan(outputs=(("loss", "float"), ("text", "float"))),
        ),
    ],
)
def test_impossible_combinations_are_not_tried(plan: Plan, breaks: Any, smallest: Plan) -> None:
    assert shrink(plan, lambda each: bool(breaks(each)), 500) == smallest


def test_a_plan_for_a_hub_loses_operations() -> None:
    ops = tuple(HubOp("update_info", key) for key in "abcdefgh")
    smaller = shrink(HubPlan(ops), lambda plan: {"b", "g"} <= {op.key for op in plan.ops}, 100)
    assert [op.key for op in smaller.ops] == ["b", "g"]


def test_the_operations_on_a_hub_become_plainer() -> None:
    op = HubOp("update_scalar", "val/κ", "tensor_float64", turn=17, count=3)
    refused = HubOp("refuse_scalar", "val/κ", "big_array", turn=4)
    assert shrink(HubPlan((op, refused)), lambda plan: len(plan.ops) == 2, 100) == HubPlan(
        (HubOp("update_scalar", "val/κ", "float"), HubOp("refuse_scalar", "val/κ", "text"))
    )
    assert shrink(HubPlan((op,)), lambda plan: bool(plan.ops) and plan.ops[0].count > 1, 100) == HubPlan(
        (HubOp("update_scalar", "val/κ", "float", count=2),)
    )
