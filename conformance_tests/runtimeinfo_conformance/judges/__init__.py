"""Judges, one for each requirement. A judge decides from the observations of a run whether it was met."""

from runtimeinfo_conformance.judges import count, fail, life, meta, order, resume, scalar, scope, share, stage
from runtimeinfo_conformance.judges._judge import JUDGES, Case, Finding, RuleFinding, broken, ok

__all__ = [
    "JUDGES",
    "Case",
    "Finding",
    "RuleFinding",
    "broken",
    "count",
    "fail",
    "life",
    "meta",
    "ok",
    "order",
    "resume",
    "scalar",
    "scope",
    "share",
    "stage",
]
