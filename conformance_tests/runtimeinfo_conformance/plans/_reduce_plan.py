"""Plans for reducers of scalars over ranks, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from runtimeinfo_conformance.plans._short_repr import ShortRepr

RANKS = 3
"""How many ranks there are. Two would not show that one in the middle is left out."""

REDUCE_KEYS = ("train/loss", "val/κ", "lr")

REDUCE_VALUES = (0.0, 1.0, -2.5, 4, 0.1, 1e9, 1e16, -1e16, "nan", "inf", "-inf")
"""Values that plans have; the names stand for what no literal says. The sum of the largest depends on their order."""


@dataclass(frozen=True, repr=False)
class Put(ShortRepr):
    """Updates on one rank.

    Attributes:
        rank: The rank.
        key: The scalar.
        value: A number, or "nan", "inf" or "-inf".
        count: Its count.
        times: The number of updates with this value.
    """

    rank: int = 0
    key: str = REDUCE_KEYS[0]
    value: Any = 1.0
    count: int = 1
    times: int = 1


@dataclass(frozen=True, repr=False)
class Turn(ShortRepr):
    """One call on each rank, and what is published before it.

    Attributes:
        puts: The updates.
        fault: What goes wrong in this turn on one rank: it does not call, or its hub cannot be read.
        at: On which rank it goes wrong.
    """

    puts: tuple[Put, ...] = ()
    fault: Literal["absent", "unreadable"] | None = None
    at: int = 0


@dataclass(frozen=True, repr=False)
class ReducePlan(ShortRepr):
    """Turns, one after the other, with the same hub on each rank throughout."""

    turns: tuple[Turn, ...] = ()
