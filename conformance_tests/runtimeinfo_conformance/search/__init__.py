"""The plans to try: fixed plans, drawn plans, and smaller ones for a broken requirement."""

from runtimeinfo_conformance.search._covering import Coverage, covering_plans, measure_coverage, search_choices
from runtimeinfo_conformance.search._fixed_plans import fixed_plans, slow_plans
from runtimeinfo_conformance.search._killers import killers
from runtimeinfo_conformance.search._search import draw_plans
from runtimeinfo_conformance.search._shrink import shrink

__all__ = [
    "Coverage",
    "covering_plans",
    "draw_plans",
    "fixed_plans",
    "killers",
    "measure_coverage",
    "search_choices",
    "shrink",
    "slow_plans",
]
