"""The conformance kit: plans, observation, judges and verdicts for runners, hubs and what reduces over ranks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtimeinfo_conformance._subject import HubSubject, ReduceSubject, Subject, SubjectError
    from runtimeinfo_conformance.plans import Batch, Fault, Plan, PlannedError
    from runtimeinfo_conformance.pytest_plugin._pytest import conformance

__all__ = [
    "Batch",
    "Fault",
    "HubSubject",
    "Plan",
    "PlannedError",
    "ReduceSubject",
    "Subject",
    "SubjectError",
    "conformance",
]

# Where each name comes from, when somebody asks for it. The pytest plugin lives in this package, and is loaded into
# every test run of whoever has the kit installed: that must cost nothing, and load neither numpy nor Hypothesis.
_HOMES = {
    "Batch": "plans",
    "Fault": "plans",
    "HubSubject": "_subject",
    "Plan": "plans",
    "PlannedError": "plans",
    "ReduceSubject": "_subject",
    "Subject": "_subject",
    "SubjectError": "_subject",
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
