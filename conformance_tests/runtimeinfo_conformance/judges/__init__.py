"""The judges: for each requirement, a function which decides it on what was observed of a run."""

from runtimeinfo_conformance.judges import count, fail, life, meta, order, resume, scalar, scope, share, stage
from runtimeinfo_conformance.judges._judge import JUDGES, Case, Finding, RuleFinding

__all__ = [
    "JUDGES",
    "Case",
    "Finding",
    "RuleFinding",
    "count",
    "fail",
    "life",
    "meta",
    "order",
    "resume",
    "scalar",
    "scope",
    "share",
    "stage",
]
