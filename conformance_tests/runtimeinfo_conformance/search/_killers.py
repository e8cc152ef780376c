"""For each fault that the kit puts in, the smallest plan that was found to show it.

They are in a file that a script writes, since to find them takes minutes. A search tries them first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from runtimeinfo_conformance.plans import AnyPlan, HubPlan, Plan, is_available, parse_plan

_TAKE_A_KIND = ("update_scalar", "update_scalars", "refuse_scalar", "refuse_entry")


@cache
def killers() -> Mapping[tuple[str, str], AnyPlan]:
    """Return the plans, by the requirement and the name of the fault.

    Example:
        >>> killers()["STAGE-02", "the stage is 'eval'"]
        Plan(val_batches=0)
    """
    text = resources.files("runtimeinfo_conformance.search").joinpath("killers.txt").read_text(encoding="utf-8")
    entries = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return MappingProxyType({(requirement, name): parse_plan(plan) for requirement, name, plan in entries})


def killers_of(kind: type[AnyPlan]) -> list[AnyPlan]:
    """Return each of the plans for a party once, if all that it hands out can be made."""
    fitting = {repr(plan): plan for plan in killers().values() if isinstance(plan, kind) and _can_be_made(plan)}
    return list(fitting.values())


def _can_be_made(plan: AnyPlan) -> bool:
    if isinstance(plan, Plan):
        return all(is_available(kind) for _, kind in (*plan.outputs, *plan.metrics))
    return not isinstance(plan, HubPlan) or all(is_available(op.value) for op in plan.ops if op.name in _TAKE_A_KIND)
