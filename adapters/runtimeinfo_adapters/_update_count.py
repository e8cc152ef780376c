"""How often a history was updated, as far as it tells."""

from __future__ import annotations

from runtimeinfo import ScalarHistory


def update_count(history: ScalarHistory) -> int | None:
    """Return how often a history was updated, as the reference hub's tell; None if it does not, as mmengine's."""
    count = getattr(history, "update_count", None)
    return count if type(count) is int else None
