"""Which plans are tried."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from hypothesis import strategies as st

from runtimeinfo_conformance._execution import HOOK_ORDERS
from runtimeinfo_conformance._hub_plan import INFO_KEYS, INFO_VALUES, SCALAR_KEYS, HubOp, HubPlan
from runtimeinfo_conformance._plan import Fault, Plan, Values
from runtimeinfo_conformance._values import CHANGING_KIND, OTHER_KINDS, SCALAR_KINDS, TENSOR_KINDS

_KINDS: tuple[Literal["error", "interrupt"], ...] = ("error", "interrupt")

_OUTPUT_NAMES = ("loss", "acc", "aux/κ", "text")


def _values(kinds: Iterable[str]) -> st.SearchStrategy[Values]:
    pair = st.tuples(st.sampled_from(_OUTPUT_NAMES), st.sampled_from(tuple(kinds)))
    return st.lists(pair, max_size=3, unique_by=lambda entry: entry[0]).map(tuple)


def _scalar_kinds() -> tuple[str, ...]:
    # Tensors only for a subject that has loaded PyTorch.
    return (*SCALAR_KINDS, *TENSOR_KINDS) if "torch" in sys.modules else SCALAR_KINDS


@st.composite
def plans(draw: st.DrawFn, capabilities: frozenset[str]) -> Plan:
    """Draw a plan which uses nothing but what a subject has declared."""

    def when(capability: str, strategy: st.SearchStrategy[object], otherwise: object) -> object:
        return draw(strategy, label=capability) if capability in capabilities else otherwise

    max_epochs = draw(st.integers(0, 3), label="max_epochs")
    resume_after = when("resume", st.none() | st.integers(1, max(max_epochs - 1, 1)), None)
    if not isinstance(resume_after, int) or resume_after >= max_epochs:
        resume_after = None
    kinds = (*_scalar_kinds(), *OTHER_KINDS)
    chosen: dict[str, object] = {
        "max_epochs": max_epochs,
        "batches": draw(st.integers(0, 3), label="batches"),
        "sized": when("unsized", st.booleans(), otherwise=True),
        "val_batches": when("val", st.none() | st.integers(0, 2), None),
        "test_batches": when("test", st.none() | st.integers(0, 2), None),
        "outputs": when("outputs", _values(kinds), ()),
        "metrics": when("metrics", _metrics(kinds), ()),
        "optimizers": when("optimizers", st.sampled_from([(), ("generator", "critic")]), ()),
        "groups": draw(st.integers(1, 2), label="groups"),
        "schedule": when("scheduler", st.booleans(), otherwise=False),
        "accumulation": when("accumulation", st.integers(1, 3), 1),
        "metainfo": when("metainfo", st.sampled_from([None, {"classes": ["cat", "dog"]}]), None),
        "seed": draw(st.integers(0, 99), label="seed"),
        "resume_after": resume_after,
        "hook_order": draw(st.integers(0, HOOK_ORDERS - 1), label="hook_order"),
    }
    plan = Plan(**chosen)  # type: ignore[arg-type]  # each strategy draws what its field takes
    if resume_after is None and draw(st.booleans(), label="goes wrong"):
        return replace(plan, fault=draw(_faults(plan), label="fault"))
    return plan


def _metrics(kinds: tuple[str, ...]) -> st.SearchStrategy[Values]:
    changing = st.sampled_from([(), (("changing", CHANGING_KIND),)])
    return st.tuples(_values(kinds), changing).map(lambda drawn: drawn[0] + drawn[1])


def _faults(plan: Plan) -> st.SearchStrategy[Fault]:
    """Draw a fault at an event which the plan brings about."""
    return st.builds(
        Fault,
        event=st.sampled_from(_events(plan)),
        occurrence=st.sampled_from([0, 0, 1]),
        kind=st.sampled_from(_KINDS),
    )


def _events(plan: Plan) -> list[str]:
    """Return the events which a plan brings about."""
    iterations = {"train": plan.max_iters, "val": plan.val_batches, "test": plan.test_batches}
    events = ["before_run", "after_run", "before_train", "after_train"]
    for stage, count in iterations.items():
        if stage == "train" and not plan.max_epochs:
            continue
        if count is not None and (stage != "val" or plan.max_epochs):
            scopes = [f"{stage}_epoch"] if stage == "train" else [stage, f"{stage}_epoch"]
            scopes += [f"{stage}_iter"] if count else []
            events += [f"{when}_{scope}" for scope in scopes for when in ("before", "after")]
    return events


def fixed_plans(capabilities: frozenset[str]) -> list[Plan]:
    """Return the plans that are always tried: with nearly all that is declared, resumed, and failing everywhere.

    Drawn plans alone do not get round to each event in a short search, which likes to repeat itself.
    """
    everything: dict[str, dict[str, Any]] = {
        "val": {"val_batches": 1},
        "test": {"test_batches": 2},
        "outputs": {"outputs": (("text", "text"), ("loss", "float"))},
        "metrics": {"metrics": (("matrix", "vector"), ("acc", "float"), ("changing", CHANGING_KIND))},
        "metainfo": {"metainfo": {"classes": ["cat", "dog"]}},
        "scheduler": {"schedule": True},
    }
    declared = {name: value for each in capabilities & everything.keys() for name, value in everything[each].items()}
    plan = Plan(max_epochs=3, batches=2, **declared)
    plans = [plan]
    if "resume" in capabilities:
        plans.append(replace(plan, resume_after=1))
    if "accumulation" in capabilities:
        plans.append(replace(plan, accumulation=2))
    kinds = itertools.cycle(_KINDS)
    return [*plans, *(replace(plan, fault=Fault(event, kind=next(kinds))) for event in _events(plan))]


def hub_plans() -> st.SearchStrategy[HubPlan]:
    """Draw a sequence of operations on a hub."""
    info, scalar = st.sampled_from(INFO_KEYS), st.sampled_from(SCALAR_KEYS)
    turn, count = st.integers(0, 20), st.integers(1, 3)
    info_value = st.sampled_from(INFO_VALUES)
    kind = st.sampled_from(_scalar_kinds())
    op = st.one_of(
        st.builds(HubOp, name=st.just("update_info"), key=info, value=info_value),
        st.builds(HubOp, name=st.just("update_info_dict"), key=info, value=info_value),
        st.builds(HubOp, name=st.just("pop_info"), key=info),
        st.builds(HubOp, name=st.just("update_scalar"), key=scalar, value=kind, turn=turn, count=count),
        st.builds(HubOp, name=st.just("update_scalar"), key=scalar, value=kind, turn=turn, count=count),
        st.builds(HubOp, name=st.just("update_scalars"), key=scalar, value=kind, turn=turn, count=count),
        st.builds(HubOp, name=st.just("refuse_scalar"), key=scalar, value=st.sampled_from(OTHER_KINDS), turn=turn),
        st.builds(HubOp, name=st.just("flip_resumed"), turn=turn),
        st.builds(HubOp, name=st.just("reload")),
        st.builds(HubOp, name=st.just("load_damaged"), turn=turn),
    )
    return st.lists(op, max_size=12).map(lambda ops: HubPlan(tuple(ops)))
