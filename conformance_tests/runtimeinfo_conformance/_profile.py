"""Profiles, which say how long to search, and the progress of a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Profile:
    """The length of a search.

    Attributes:
        name: Its name.
        plans: The number of plans, those that are always tried included.
        canary_plans: The number of plans within which a fault put in on purpose must be noticed.
        derandomize: Whether the same plans are run each time.
    """

    name: str
    plans: int
    canary_plans: int
    derandomize: bool = True


PROFILES = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("quick", plans=120, canary_plans=120),
            Profile("ci", plans=300, canary_plans=120),
            Profile("nightly", plans=10_000, canary_plans=300, derandomize=False),
        )
    }
)
"""The profiles by name."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is to do."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Report no progress."""
