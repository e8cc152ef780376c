"""What a plan is: a small training, or what is done to a hub or to ranks, said in data."""

from runtimeinfo_conformance.plans._any_plan import PLAN_KINDS, AnyPlan
from runtimeinfo_conformance.plans._fault import (
    BASE_KINDS,
    FAULT_KINDS,
    MODULES,
    Fault,
    FaultKind,
    PlanError,
    can_raise,
    make_error,
)
from runtimeinfo_conformance.plans._hub_plan import (
    INFO_KEYS,
    INFO_VALUES,
    LIKE_KEYS,
    SCALAR_KEYS,
    HubOp,
    HubPlan,
    is_resumed,
)
from runtimeinfo_conformance.plans._moments import MOMENTS, Item, hearing
from runtimeinfo_conformance.plans._plan import Company, Plan, Values
from runtimeinfo_conformance.plans._plan_text import PlanTextError, parse_plan, plan_text
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
    HUB_SCALAR_KINDS,
    OBJECT_KINDS,
    OTHER_KINDS,
    OTHER_TENSOR_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
    is_available,
    make_object,
    make_value,
)

__all__ = [
    "BASE_KINDS",
    "CHANGING_KIND",
    "FAULT_KINDS",
    "HUB_SCALAR_KINDS",
    "INFO_KEYS",
    "INFO_VALUES",
    "LIKE_KEYS",
    "MODULES",
    "MOMENTS",
    "OBJECT_KINDS",
    "OTHER_KINDS",
    "OTHER_TENSOR_KINDS",
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
    "FaultKind",
    "HubOp",
    "HubPlan",
    "Item",
    "Plan",
    "PlanError",
    "PlanTextError",
    "PlannedDataset",
    "PlannedLoader",
    "Put",
    "ReducePlan",
    "Turn",
    "Values",
    "can_raise",
    "hearing",
    "is_available",
    "is_resumed",
    "make_error",
    "make_object",
    "make_value",
    "parse_plan",
    "plan_text",
]
