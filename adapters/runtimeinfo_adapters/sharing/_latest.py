"""The latest value of a scalar, as a board asks a history for it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Latest(NamedTuple):
    """The latest value of a history that is known.

    Attributes:
        value: The value.
        samples: How many samples it is the sum of.
        updates: Which update it came with, counted from 1.
    """

    value: int | float
    samples: int | float
    updates: int


class KnowsLatest(Protocol):
    """What a board wants of a history."""

    def latest(self) -> Latest | None:
        """Return the latest value that is known without a wait, or None."""
        ...
