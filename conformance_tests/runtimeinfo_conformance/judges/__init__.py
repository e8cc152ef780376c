"""The judge of each requirement: a function that decides it on what was observed of a run."""

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
