"""Plans for reducers of scalars over ranks as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from runtimeinfo_conformance.plans._short_repr import ShortRepr

RANKS = 3
"""The number of ranks. With two, an omitted rank in the middle would not show."""

REDUCE_KEYS = ("train/loss", "val/κ", "lr")

REDUCE_VALUES = (0.0, 1.0, -2.5, 4, 0.1, 1e9, 1e16, -1e16, "nan", "inf", "-inf")
"""Values in plans. Names stand for values without a literal. The sum of the largest depends on their order."""


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
    """One call on each rank, with the updates before it.

    Attributes:
        puts: The updates.
        fault: The fault of one rank in this turn: it does not call, or its hub cannot be read.
        at: The faulty rank.
    """

    puts: tuple[Put, ...] = ()
    fault: Literal["absent", "unreadable"] | None = None
    at: int = 0


@dataclass(frozen=True, repr=False)
class ReducePlan(ShortRepr):
    """A sequence of turns. Each rank keeps the same hub throughout."""

    turns: tuple[Turn, ...] = ()
