"""The plans of all parties."""

from __future__ import annotations

from runtimeinfo_conformance.plans._hub_plan import HubPlan
from runtimeinfo_conformance.plans._plan import Plan
from runtimeinfo_conformance.plans._reduce_plan import ReducePlan

AnyPlan = Plan | HubPlan | ReducePlan

PLAN_KINDS: dict[str, type[AnyPlan]] = {
    "runner": Plan,
    "hub": HubPlan,
    "reducer": ReducePlan,
}
"""The class of plan for each party."""
