"""Making a plan smaller.

Hypothesis could do it, but draws a thousand plans for each requirement, and tends towards the smallest of what it
draws. A plan is a flat record whose defaults are the plainest training there is: the nearer to them the better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

from runtimeinfo_conformance.plans import (
    BASE_KINDS,
    AnyPlan,
    Fault,
    FaultKind,
    HubOp,
    HubPlan,
    Plan,
    PlanError,
    ReducePlan,
    Turn,
)

_PLAIN_VALUES = {"update_scalar": "float", "update_scalars": "float", "refuse_scalar": "text", "refuse_entry": "text"}

_PLAIN_KINDS = ("float", "text")

SamePlan = TypeVar("SamePlan", Plan, HubPlan, ReducePlan)


def shrink(plan: SamePlan, breaks: Callable[[SamePlan], bool], most: int) -> SamePlan:
    """Return a plan that still breaks something, and that no single step makes smaller.

    Args:
        plan: A plan that breaks it.
        breaks: Tells whether a plan breaks it.
        most: How many plans may be tried.
    """
    tried = 0
    while True:
        for smaller in _smaller(plan):
            if tried == most:
                return plan
            tried += 1
            if breaks(smaller):
                plan = smaller
                break
        else:
            return plan


def _smaller(plan: AnyPlan) -> Iterator[Any]:
    if isinstance(plan, HubPlan):
        for ops in (*_shorter(plan.ops), *_of_plainer_ops(plan.ops)):
            yield replace(plan, ops=ops)
        if plan.compare_every != 1:
            yield replace(plan, compare_every=1)
        if plan.arguments != "usual":
            yield replace(plan, arguments="usual")
        return
    if isinstance(plan, ReducePlan):
        for turns in (*_shorter(plan.turns), *_of_plainer_turns(plan.turns)):
            yield ReducePlan(turns)
        return
    if plan.resume_after is not None:  # neither goes without the other
        yield replace(plan, resume_after=None, resume_batch=0, later_resumes=(), stopped_by="interrupt")
    if plan.iterations is not None:
        with suppress(PlanError):  # of another length it may end before it was resumed
            yield replace(plan, iterations=None, stopped_by="interrupt")
    for field in fields(plan):
        for value in _plainer(getattr(plan, field.name), field.default):
            with suppress(PlanError):
                yield replace(plan, **{field.name: value})


def _plainer(value: Any, default: Any) -> Iterator[Any]:
    """Yield what is plainer than a value, the plainest first."""
    if value == default:
        return
    yield default
    if isinstance(value, Fault):
        kinds: tuple[FaultKind, ...] = (
            ("error", "interrupt") if value.kind in BASE_KINDS - {"interrupt"} else ("error",)
        )
        simpler = [replace(value, kind=kind) for kind in kinds]
        simpler += [replace(value, hook="last"), replace(value, occurrence=0)]
        yield from (each for each in simpler if each != value)
    elif isinstance(value, tuple):
        values = cast("tuple[Any, ...]", value)
        yield from _shorter(values)
        yield from _of_plainer_kinds(values)
    elif isinstance(value, int) and not isinstance(value, bool):
        # Towards the default, or towards 0 where that is None: such a field counts batches.
        target = default if isinstance(default, int) else 0
        if target != default and value != target:
            yield target
        if abs(value - target) > 1:
            yield value - 1 if value > target else value + 1


def _shorter(values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if len(values) > 3:
        half = len(values) // 2
        yield from (values[:half], values[half:])
    for index in range(len(values)):
        yield values[:index] + values[index + 1 :]


def _of_plainer_ops(ops: tuple[HubOp, ...]) -> Iterator[tuple[HubOp, ...]]:
    """Yield operations one of which is plainer; what it says of a scalar stays of the right kind."""
    for index, op in enumerate(ops):
        plainer = [replace(op, turn=turn) for turn in _plainer(op.turn, 0)]
        plainer += [replace(op, count=count) for count in _plainer(op.count, 1)]
        # Not one by one: thousands of updates take long, and whether they are 4,097 or 4,500 is all the same.
        fewer = sorted({1, op.times // 2, op.times * 7 // 8} - {0, op.times})
        plainer += [replace(op, times=times) for times in fewer]
        plain = _PLAIN_VALUES.get(op.name)
        if plain is not None and op.value != plain:
            plainer.append(replace(op, value=plain))
        yield from ((*ops[:index], each, *ops[index + 1 :]) for each in plainer)


def _of_plainer_turns(turns: tuple[Turn, ...]) -> Iterator[tuple[Turn, ...]]:
    """Yield turns one of which is plainer."""
    for index, turn in enumerate(turns):
        plainer = [replace(turn, fault=None, at=0)] if turn.fault is not None else []
        plainer += [replace(turn, at=0)] if turn.at else []
        plainer += [replace(turn, puts=puts) for puts in _shorter(turn.puts)]
        for place, put in enumerate(turn.puts):
            smaller = [replace(put, count=count) for count in _plainer(put.count, 1)]
            smaller += [replace(put, value=1.0)] if put.value != 1.0 else []
            plainer += [replace(turn, puts=(*turn.puts[:place], each, *turn.puts[place + 1 :])) for each in smaller]
        yield from ((*turns[:index], each, *turns[index + 1 :]) for each in plainer)


def _of_plainer_kinds(values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield outputs or metrics one of which is of a plainer kind: one that needs no library."""
    for index, value in enumerate(values):
        if isinstance(value, tuple):
            name, kind = cast("tuple[Any, Any]", value)
            if isinstance(kind, str) and kind not in _PLAIN_KINDS:
                yield from ((*values[:index], (name, plain), *values[index + 1 :]) for plain in _PLAIN_KINDS)
