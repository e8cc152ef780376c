"""How long the kit searches."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Profile:
    """A profile.

    Attributes:
        name: Its name.
        plans: How many plans are run, those that are always tried included.
        canary_plans: How many plans may pass before a fault put in on purpose has to be noticed.
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
