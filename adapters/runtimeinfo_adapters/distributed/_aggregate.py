"""Aggregates of scalars, and which values of a hub have been reduced already."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from runtimeinfo import HubError, ScalarHistory
from runtimeinfo.authoring import describe
from runtimeinfo_adapters import hub as reference
from runtimeinfo_adapters.hub._scalar_history import update_count


@dataclass(frozen=True, slots=True)
class ReducedScalar:
    """What all ranks together have published of one scalar. It is the same, to the bit, on each of them.

    Attributes:
        sum: The sum of the values.
        count: The sum of their counts.
        min: The smallest value; NaN if one is.
        max: The largest value; NaN if one is.
        updates: How many values there are; at least one.

    Example:
        >>> ReducedScalar(sum=8.0, count=4, min=2.0, max=6.0, updates=2).mean
        2.0

    Source: DIST-01 to DIST-03.
    """

    sum: float
    count: float
    min: float
    max: float
    updates: int

    @property
    def mean(self) -> float:
        """The sum of the values over the sum of their counts, as `ScalarHistory.mean` has it.

        Source: DIST-01.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.sum) / np.float64(self.count))


class UnreducedValuesWarning(UserWarning):
    """A history has let go of values before they were reduced."""


class Share(NamedTuple):
    """What one rank adds to one scalar. These fields, in this order, are a row of what the ranks exchange."""

    total: float
    weight: float
    least: float
    greatest: float
    updates: float


NOTHING = Share(0.0, 0.0, np.inf, -np.inf, 0.0)
"""The share of a rank that has published nothing: it changes no sum, no minimum and no maximum."""


class Mark(NamedTuple):
    """How far a history has been taken."""

    history: ScalarHistory
    position: int


class Marks:
    """Knows of each scalar of a hub how far it has been taken.

    A history that counts its updates, as the reference hub's does in `update_count`, is asked for that: it knows what
    came out of a checkpoint, and what it has let go of. Of any other, mmengine's among them, the length tells: all
    values that it holds are new at first, and later those that it has grown by. Once such a history is full, and
    drops a value for each new one, nothing tells any more; that is an error.
    """

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}

    def pending(self, histories: Mapping[str, ScalarHistory | None]) -> tuple[list[Share], dict[str, Mark]]:
        """Return the share of each scalar since its mark, and the marks to `advance` to.

        Args:
            histories: The scalars, in the order wanted. None stands for one that has not been published.

        Raises:
            HubError: If a history cannot tell what is new.
        """
        shares: list[Share] = []
        marks: dict[str, Mark] = {}
        for key, history in histories.items():
            if history is None:
                shares.append(NOTHING)
                continue
            before = self._marks.get(key)
            since = before.position if before is not None and before.history is history else 0
            values, counts, position = _news(key, history, since)
            shares.append(share_of(key, values, counts))
            marks[key] = Mark(history, position)
        return shares, marks

    def advance(self, marks: dict[str, Mark]) -> None:
        """Let what `pending` has returned count as taken."""
        self._marks |= marks


def last(history: ScalarHistory, count: int) -> tuple[Any, Any]:
    """Return the last values and their counts: fewer, if there are no more."""
    if isinstance(history, reference.ScalarHistory):
        return history.tail(count)
    values, counts = history.data
    length = min(len(values), len(counts))  # a writer in another thread may be between the two
    begin = max(length - count, 0)
    return values[begin:length], counts[begin:length]


def share_of(key: str, values: Any, counts: Any) -> Share:
    """Return the share that some values of a scalar make.

    Raises:
        HubError: If they are no numbers.
    """
    if not len(values):
        return NOTHING
    try:
        if len(values) == 1:  # as it is where a loop reduces after each iteration: NumPy would take ten times as long
            value = float(values[0])
            return Share(value, float(counts[0]), value, value, 1.0)
        numbers, weights = np.asarray(values, np.float64), np.asarray(counts, np.float64)
    except (TypeError, ValueError) as error:
        raise HubError(
            f"{key!r} holds what is no number: {error}. Publish numbers under it, or name in keys=[...] what to reduce",
            key=key,
        ) from error
    with np.errstate(invalid="ignore", over="ignore"):  # infinities of both signs are NaN, and no reason to warn
        return Share(
            float(numbers.sum()), float(weights.sum()), float(numbers.min()), float(numbers.max()), float(len(numbers))
        )


def _news(key: str, history: ScalarHistory, since: int) -> tuple[Any, Any, int]:
    """Return what a history has got since a position: values, counts, and the position now."""
    if update_count(history) is None:
        return _grown(key, history, since)
    counting = cast("Any", history)
    while True:
        position: int = counting.update_count
        if position == since:
            return (), (), position
        values, counts = last(history, position - since)
        # Else another thread has updated it meanwhile, and the last ones are others now.
        if counting.update_count == position:
            break
    if len(values) < position - since:
        warnings.warn(
            f"{key!r} was updated {position - since:,} times since it was reduced, and keeps {len(values):,} values: "
            "the others are not in the result. Reduce more often, or give the history a greater max_length",
            UnreducedValuesWarning,
            stacklevel=2,
        )
    return values, counts, position


def _grown(key: str, history: ScalarHistory, since: int) -> tuple[Any, Any, int]:
    length = len(history.data[0])
    limit = getattr(history, "max_length", getattr(history, "_max_length", None))
    if since and (length < since or length == limit):
        raise HubError(
            f"nobody can tell what is new in {key!r}: its history, {describe(history)}, has no update_count, and at "
            f"{length:,} values drops old ones. Pass window=..., or use a hub that counts its updates",
            key=key,
        )
    values, counts = last(history, length - since) if length > since else ((), ())
    return values, counts, since + len(values)
