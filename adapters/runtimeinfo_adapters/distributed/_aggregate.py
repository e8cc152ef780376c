"""Aggregate the values of scalars, and keep the offset up to which each scalar has been reduced."""

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
    """One scalar, reduced over all ranks. It is the same, to the bit, on each of them.

    Attributes:
        sum: The sum of the values.
        count: The sum of their counts.
        min: The smallest value; NaN if one is.
        max: The largest value; NaN if one is.
        updates: The number of values; at least one.

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
        """The sum of the values over the sum of their counts, as in `ScalarHistory.mean`.

        Source: DIST-01.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.sum) / np.float64(self.count))


class UnreducedValuesWarning(UserWarning):
    """A history has dropped values before they were reduced."""


class Aggregate(NamedTuple):
    """The new values of one scalar on one rank, aggregated. Its fields, in this order, are a row of the exchange."""

    total: float
    weight: float
    least: float
    greatest: float
    updates: float


EMPTY = Aggregate(0.0, 0.0, np.inf, -np.inf, 0.0)
"""The aggregate of no values: it changes no sum, no minimum and no maximum."""


class Offset(NamedTuple):
    """The number of updates of a history that have been reduced."""

    history: ScalarHistory
    position: int


class Offsets:
    """The offset of each scalar of a hub: the values up to it have been reduced, the later ones are new.

    A history that counts its updates, as the reference hub's does in `update_count`, distinguishes new values from
    those of a checkpoint, and from those that it has dropped. For any other history, such as mmengine's, the length
    decides: at first all values are new, and later those by which the history has grown. Once such a history is full
    and drops a value for each new one, new values cannot be distinguished, and that is an error.
    """

    def __init__(self) -> None:
        self._offsets: dict[str, Offset] = {}

    def pending(self, histories: Mapping[str, ScalarHistory | None]) -> tuple[list[Aggregate], dict[str, Offset]]:
        """Return the aggregate of the new values of each scalar, and the offsets to `advance` to.

        Args:
            histories: The scalars, in the order of the result. None stands for one that has not been published.

        Raises:
            HubError: If the new values of a history cannot be distinguished.
        """
        aggregates: list[Aggregate] = []
        offsets: dict[str, Offset] = {}
        for key, history in histories.items():
            if history is None:
                aggregates.append(EMPTY)
                continue
            before = self._offsets.get(key)
            offset = before.position if before is not None and before.history is history else 0
            values, counts, position = _new_values(key, history, offset)
            aggregates.append(aggregate_of(key, values, counts))
            offsets[key] = Offset(history, position)
        return aggregates, offsets

    def advance(self, offsets: dict[str, Offset]) -> None:
        """Mark as reduced what `pending` has returned with these offsets."""
        self._offsets |= offsets


def latest_values(history: ScalarHistory, count: int) -> tuple[Any, Any]:
    """Return the latest values and their counts: `count` of them, or all if there are fewer."""
    if isinstance(history, reference.ScalarHistory):
        return history.tail(count)
    values, counts = history.data
    length = min(len(values), len(counts))  # a writer in another thread might be between the two
    begin = max(length - count, 0)
    return values[begin:length], counts[begin:length]


def aggregate_of(key: str, values: Any, counts: Any) -> Aggregate:
    """Return the aggregate of some values of a scalar.

    Raises:
        HubError: If one of them is not a number.
    """
    if not len(values):
        return EMPTY
    try:
        if len(values) == 1:  # the case of a loop that reduces after each iteration: NumPy would take ten times as long
            value = float(values[0])
            return Aggregate(value, float(counts[0]), value, value, 1.0)
        numbers, weights = np.asarray(values, np.float64), np.asarray(counts, np.float64)
    except (TypeError, ValueError) as error:
        raise HubError(
            f"{key!r} holds a value that is not a number: {error}. Publish numbers under it, or name in keys=[...] the "
            "scalars to reduce",
            key=key,
        ) from error
    with np.errstate(invalid="ignore", over="ignore"):  # infinities of both signs add up to NaN, without a warning
        return Aggregate(
            float(numbers.sum()), float(weights.sum()), float(numbers.min()), float(numbers.max()), float(len(numbers))
        )


def _new_values(key: str, history: ScalarHistory, offset: int) -> tuple[Any, Any, int]:
    """Return the values of a history after an offset, their counts, and the offset now."""
    if isinstance(history, reference.ScalarHistory):
        values, counts, position = history.since(offset)
    elif update_count(history) is None:
        return _new_by_length(key, history, offset)
    else:
        values, counts, position = _new_by_count(history, offset)
    if len(values) < position - offset:
        warnings.warn(
            f"{key!r} was updated {position - offset:,} times since it was reduced, and keeps {len(values):,} values: "
            "the others are not in the result. Reduce more often, or give the history a greater max_length",
            UnreducedValuesWarning,
            stacklevel=2,
        )
    return values, counts, position


def _new_by_count(history: ScalarHistory, offset: int) -> tuple[Any, Any, int]:
    counting = cast("Any", history)
    while True:
        position: int = counting.update_count
        values, counts = latest_values(history, position - offset) if position > offset else ((), ())
        # Otherwise another thread has updated it meanwhile, so that other values are the latest.
        if counting.update_count == position:
            return values, counts, position


def _new_by_length(key: str, history: ScalarHistory, offset: int) -> tuple[Any, Any, int]:
    length = len(history.data[0])
    limit = getattr(history, "max_length", getattr(history, "_max_length", None))
    if offset and (length < offset or length == limit):
        raise HubError(
            f"the new values of {key!r} cannot be distinguished: its history, {describe(history)}, has no "
            f"update_count, and at {length:,} values drops old ones. Pass window=..., or use a hub that counts its "
            "updates",
            key=key,
        )
    values, counts = latest_values(history, length - offset) if length > offset else ((), ())
    return values, counts, offset + len(values)
