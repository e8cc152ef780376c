"""The conformance kit: plans, observation, judges and verdicts for runners, hubs and reducers."""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # to import it from typing takes longer than `runtimeinfo run` takes for all else
if TYPE_CHECKING:
    from runtimeinfo_conformance._check_result import CheckFailure, CheckResult, RequirementResult, check
    from runtimeinfo_conformance._subject import HubSubject, ReduceSubject, Subject, SubjectError
    from runtimeinfo_conformance.plans import Batch, Fault, Plan
    from runtimeinfo_conformance.pytest_plugin._pytest import conformance

__all__ = [
    "Batch",
    "CheckFailure",
    "CheckResult",
    "Fault",
    "HubSubject",
    "Plan",
    "ReduceSubject",
    "RequirementResult",
    "Subject",
    "SubjectError",
    "check",
    "conformance",
]

# The module of each name, which is imported when the name is used. The pytest plugin is in this package, and pytest
# loads it in every session where the kit is installed: that must cost nothing, and load neither numpy nor Hypothesis.
_HOMES = {
    "Batch": "plans",
    "CheckFailure": "_check_result",
    "CheckResult": "_check_result",
    "Fault": "plans",
    "HubSubject": "_subject",
    "Plan": "plans",
    "ReduceSubject": "_subject",
    "RequirementResult": "_check_result",
    "Subject": "_subject",
    "SubjectError": "_subject",
    "check": "_check_result",
    "conformance": "pytest_plugin._pytest",
}

# A type checker that saw this function would take every name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
