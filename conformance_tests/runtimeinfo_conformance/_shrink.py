"""Making a plan smaller.

Hypothesis could do it, but draws a thousand plans for each requirement, and tends towards the smallest of what it
draws. A plan is a flat record whose defaults are the plainest training there is: the nearer to them the better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

from runtimeinfo_conformance._hub_plan import HubPlan
from runtimeinfo_conformance._plan import Fault, Plan, PlanError

AnyPlan = TypeVar("AnyPlan", Plan, HubPlan)


def shrink(plan: AnyPlan, breaks: Callable[[AnyPlan], bool], most: int) -> AnyPlan:
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


def _smaller(plan: Plan | HubPlan) -> Iterator[Any]:
    if isinstance(plan, HubPlan):
        for ops in _shorter(plan.ops):
            yield HubPlan(ops)
        return
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
        simpler = (replace(value, kind="error"), replace(value, occurrence=0))
        yield from (each for each in simpler if each != value)
    elif isinstance(value, tuple):
        yield from _shorter(cast("tuple[Any, ...]", value))
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
