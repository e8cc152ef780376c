"""The reference model of a reduction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from runtimeinfo_conformance.plans import RANKS, Turn

Entries = list[tuple[float, int]]
"""Values of a scalar, each with its count."""


class Demand(NamedTuple):
    """The expected result of a turn.

    Attributes:
        scalars: For each scalar, the values to reduce with their counts, or None if nothing is reduced.
        lacking: The scalars missing on each rank, if that is why nothing is reduced.
    """

    scalars: dict[str, Entries] | None
    lacking: dict[int, tuple[str, ...]]


@dataclass
class ReduceModel:
    """The ranks' published values, in plain dictionaries.

    Attributes:
        pending: For each rank, the values of each scalar that have not been reduced.
        reduced: The scalars that have been reduced.
        has_failed: Whether the previous turn had no result.
        idle: The scalars for which some rank has no new values in this turn.
    """

    pending: list[dict[str, Entries]] = field(default_factory=lambda: [{} for _ in range(RANKS)])
    reduced: frozenset[str] = frozenset()
    has_failed: bool = False
    idle: frozenset[str] = frozenset()

    def begin(self, turn: Turn) -> Demand:
        """Record the updates of a turn, and return the expected result."""
        for put in turn.puts:
            entries = self.pending[put.rank % RANKS].setdefault(put.key, [])
            entries += [(float(put.value), put.count)] * put.times
        keys = sorted({key for own in self.pending for key in own})
        self.idle = frozenset(key for key in keys if any(not own.get(key) for own in self.pending))
        lacking = {rank: tuple(key for key in keys if key not in own) for rank, own in enumerate(self.pending)}
        lacking = {rank: lacks for rank, lacks in lacking.items() if lacks}
        if turn.fault is not None or lacking:
            return Demand(None, {} if turn.fault is not None else lacking)
        values = {key: [entry for own in self.pending for entry in own[key]] for key in keys}
        return Demand({key: entries for key, entries in values.items() if entries}, {})

    def end(self, demand: Demand) -> None:
        """Mark the pending values as reduced."""
        self.has_failed = demand.scalars is None
        if demand.scalars is not None:
            self.reduced |= demand.scalars.keys()
            for own in self.pending:
                own.update({key: [] for key in own})


def statistics(entries: Entries) -> dict[str, float]:
    """Return the statistics of values with their counts."""
    values, counts = [value for value, _ in entries], [count for _, count in entries]
    if any(math.isnan(value) for value in values):
        return {"sum": math.nan, "count": float(sum(counts)), "mean": math.nan, "min": math.nan, "max": math.nan}
    total = sum(values) if any(map(math.isinf, values)) else math.fsum(values)
    return {
        "sum": total,
        "count": float(sum(counts)),
        "mean": total / sum(counts),
        "min": min(values),
        "max": max(values),
    }
