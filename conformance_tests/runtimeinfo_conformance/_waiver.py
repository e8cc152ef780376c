"""A waiver: what does not hold, and why that is accepted for now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from runtimeinfo_conformance.plans import AnyPlan


@dataclass(frozen=True)
class Waiver:
    """A requirement that does not hold, and why that is accepted for now.

    Attributes:
        requirement: Its id.
        reason: Why.
        issue: Where its repair is discussed.
        expires: The last day on which this is accepted.
        witness: A plan on which the requirement is broken.
    """

    requirement: str
    reason: str
    issue: str
    expires: date
    witness: AnyPlan
