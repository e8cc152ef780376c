"""What a plan is: a small training, or what is done to a hub or to ranks, said in data."""

from runtimeinfo_conformance.plans._any_plan import PLAN_KINDS, AnyPlan
from runtimeinfo_conformance.plans._hub_plan import (
    INFO_KEYS,
    INFO_VALUES,
    SCALAR_KEYS,
    HubOp,
    HubPlan,
    is_resumed,
)
from runtimeinfo_conformance.plans._moments import MOMENTS, Item, hearing
from runtimeinfo_conformance.plans._plan import Company, Fault, Plan, PlanError, PlannedError, Values
from runtimeinfo_conformance.plans._plan_text import PlanTextError, parse_plan
from runtimeinfo_conformance.plans._planned_data import Batch, PlannedDataset, PlannedLoader
from runtimeinfo_conformance.plans._reduce_plan import (
    RANKS,
    REDUCE_KEYS,
    REDUCE_VALUES,
    Put,
    ReducePlan,
    Turn,
)
from runtimeinfo_conformance.plans._values import (
    CHANGING_KIND,
    OTHER_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
    is_available,
    make_value,
)

__all__ = [
    "CHANGING_KIND",
    "INFO_KEYS",
    "INFO_VALUES",
    "MOMENTS",
    "OTHER_KINDS",
    "PLAN_KINDS",
    "RANKS",
    "REDUCE_KEYS",
    "REDUCE_VALUES",
    "SCALAR_KEYS",
    "SCALAR_KINDS",
    "TENSOR_KINDS",
    "AnyPlan",
    "Batch",
    "Company",
    "Fault",
    "HubOp",
    "HubPlan",
    "Item",
    "Plan",
    "PlanError",
    "PlanTextError",
    "PlannedDataset",
    "PlannedError",
    "PlannedLoader",
    "Put",
    "ReducePlan",
    "Turn",
    "Values",
    "hearing",
    "is_available",
    "is_resumed",
    "make_value",
    "parse_plan",
]
