"""Which plans are tried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import strategies as st

from runtimeinfo_conformance._execution import HOOK_ORDERS
from runtimeinfo_conformance._fixed_plans import FAULT_KINDS, events_of
from runtimeinfo_conformance._hub_plan import INFO_KEYS, INFO_VALUES, SCALAR_KEYS, HubOp, HubPlan
from runtimeinfo_conformance._plan import Fault, Plan, Values
from runtimeinfo_conformance._values import CHANGING_KIND, OTHER_KINDS, SCALAR_KINDS, TENSOR_KINDS, is_available

_OUTPUT_NAMES = ("loss", "acc", "aux/κ", "top 5/🐈 %", "text")


def _values(kinds: Iterable[str]) -> st.SearchStrategy[Values]:
    pair = st.tuples(st.sampled_from(_OUTPUT_NAMES), st.sampled_from(tuple(kinds)))
    return st.lists(pair, max_size=3, unique_by=lambda entry: entry[0]).map(tuple)


def _scalar_kinds() -> tuple[str, ...]:
    return tuple(filter(is_available, (*SCALAR_KINDS, *TENSOR_KINDS)))


@st.composite
def plans(draw: st.DrawFn, capabilities: frozenset[str]) -> Plan:
    """Draw a plan which uses nothing but what a subject has declared."""

    def when(capability: str, strategy: st.SearchStrategy[object], otherwise: object) -> object:
        return draw(strategy, label=capability) if capability in capabilities else otherwise

    max_epochs = draw(st.integers(0, 3), label="max_epochs")
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
        "hook_order": draw(st.integers(0, HOOK_ORDERS - 1), label="hook_order"),
    }
    if chosen["val_batches"] is not None:
        chosen["val_loaders"] = when("val_loaders", st.integers(1, 2), 1)
        chosen["val_interval"] = when("val_inside", st.none() | st.integers(1, 3), None)
        chosen["val_before"] = when("val_before", st.booleans(), otherwise=False)
        chosen["val_after"] = when("val_after", st.booleans(), otherwise=False)
    plan = Plan(**chosen)  # type: ignore[arg-type]  # each strategy draws what its field takes
    return draw(_courses(plan, capabilities), label="course")


def _courses(plan: Plan, capabilities: frozenset[str]) -> st.SearchStrategy[Plan]:
    """Draw how a training goes: smoothly, twice, wrong, stopped early, or interrupted and resumed."""
    faults = _faults(plan)
    courses = [
        st.just(plan),
        faults.map(lambda fault: replace(plan, fault=fault)),
        (st.none() | faults).map(lambda fault: replace(plan, fault=fault, repeat=True)),
    ]
    if "early_stop" in capabilities and plan.max_iters:
        courses.append(st.integers(1, plan.max_iters).map(lambda count: replace(plan, stop_after=count)))
    if "resume" in capabilities:
        courses += [
            st.builds(_resumed, st.just(plan), st.sampled_from(moments)) for moments in _moments(plan, capabilities)
        ]
    return st.one_of(courses)


def _resumed(plan: Plan, moment: tuple[int, int]) -> Plan:
    return replace(plan, resume_after=moment[0], resume_batch=moment[1])


def _moments(plan: Plan, capabilities: frozenset[str]) -> list[list[tuple[int, int]]]:
    """Return when a training can be saved, as epochs and batches done: between epochs, and inside of one."""
    between = [(epoch, 0) for epoch in range(1, plan.max_epochs)]
    inside = [(epoch, batch) for epoch in range(plan.max_epochs) for batch in range(1, plan.batches)]
    return [moments for moments in (between, inside if "resume_mid_epoch" in capabilities else []) if moments]


def _metrics(kinds: tuple[str, ...]) -> st.SearchStrategy[Values]:
    changing = st.sampled_from([(), (("changing", CHANGING_KIND),)])
    return st.tuples(_values(kinds), changing).map(lambda drawn: drawn[0] + drawn[1])


def _faults(plan: Plan) -> st.SearchStrategy[Fault]:
    """Draw a fault at an event which the plan brings about."""
    return st.builds(
        Fault,
        event=st.sampled_from(events_of(plan)),
        occurrence=st.sampled_from([0, 0, 1]),
        kind=st.sampled_from(FAULT_KINDS),
    )


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
