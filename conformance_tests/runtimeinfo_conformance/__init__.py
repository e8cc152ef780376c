"""The conformance kit: plans, observation, judges and verdicts for runners and hubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimeinfo_conformance._plan import Batch, Fault, Plan, PlannedError
from runtimeinfo_conformance._subject import HubSubject, Subject, SubjectError

if TYPE_CHECKING:
    from runtimeinfo_conformance._pytest import conformance

__all__ = ["Batch", "Fault", "HubSubject", "Plan", "PlannedError", "Subject", "SubjectError", "conformance"]


def __getattr__(name: str) -> Any:
    # It needs pytest and Hypothesis; a module that only declares a subject does not.
    if name == "conformance":
        from runtimeinfo_conformance._pytest import conformance

        return conformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
