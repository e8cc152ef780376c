"""The curves of runs: positions on an axis, resumed parts, smoothing, and fewer points for a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from runtimeinfo import RuntimeInfoError

Floats = npt.NDArray[np.float64]

Axis = Literal["iter", "epoch", "relative", "wall"]
"""What the points of a curve are placed by: the names are those of the fields, and of TensorBoard."""

AXES: tuple[Axis, ...] = ("iter", "epoch", "relative", "wall")


class SourceError(RuntimeInfoError):
    """A source cannot be plotted.

    Attributes:
        source: What was given.
    """

    def __init__(self, message: str, *, source: str) -> None:
        super().__init__(message)
        self.source = source


@dataclass(frozen=True, eq=False)
class Curve:
    """The values of one scalar of one run, in the order in which they came.

    Attributes:
        values: The values, of shape ``(n,)``. Any of them may be NaN or infinite.
        iters: The iter of each value, of shape ``(n,)``; None if it is not known.
        epochs: The epoch of each value, likewise.
        times: When each value was written, in seconds since 1970, likewise.
    """

    values: Floats
    iters: Floats | None = None
    epochs: Floats | None = None
    times: Floats | None = None

    def has(self, axis: Axis) -> bool:
        """Tell whether the place of each value on an axis is known."""
        return self._positions(axis) is not None

    def on(self, axis: Axis | None) -> tuple[Floats, Floats]:
        """Return the places of the values on an axis, and the values, each of shape ``(n,)``.

        The points of one epoch are spread evenly over it. Without an axis, the values are counted from 0. A value
        without a place is left out.

        Args:
            axis: An axis that the curve `has`, or None.

        Example:
            >>> curve = Curve(np.array([4.0, 3.0, 2.0]), epochs=np.array([0.0, 0.0, 1.0]))
            >>> [part.tolist() for part in curve.on("epoch")]
            [[0.0, 0.5, 1.0], [4.0, 3.0, 2.0]]
        """
        found = None if axis is None else self._positions(axis)
        if found is None:
            return np.arange(len(self.values), dtype=np.float64), self.values
        placed = np.isfinite(found)
        positions, values = found[placed], self.values[placed]
        return (_spread(positions) if axis == "epoch" else positions), values

    def at(self, places: npt.NDArray[Any]) -> Curve:
        """Return the curve of some of the values only; `places` are their indices, or True for each of them."""
        iters, epochs, times = (None if of is None else of[places] for of in (self.iters, self.epochs, self.times))
        return Curve(self.values[places], iters, epochs, times)

    def without_repeated(self) -> Curve:
        """Return the curve without the values that a resumed training has computed again: the later ones count.

        Where the iter goes back, the earlier values from there on are left out, as in TensorBoard. Where only epochs
        are known, an epoch may have several values.

        Example:
            >>> curve = Curve(np.array([4.0, 3.0, 2.0, 2.5]), iters=np.array([0.0, 10.0, 20.0, 10.0]))
            >>> curve.without_repeated().values.tolist()
            [4.0, 2.5]
        """
        if self.iters is not None:
            return self.at(_is_before_all_later(self.iters))
        if self.epochs is not None:
            goes_back = np.diff(self.epochs, prepend=-np.inf) < 0
            return self.at(_is_before_all_later(self.epochs, where=goes_back))
        return self

    def _positions(self, axis: Axis) -> Floats | None:
        if axis == "iter":
            return self.iters
        return self.epochs if axis == "epoch" else self.times


@dataclass(frozen=True, eq=False)
class RunCurves:
    """The curves of one run.

    Attributes:
        name: The name of the run in a legend.
        source: Where the curves come from.
        curves: The curves by the keys of the scalars.
        notes: What the source has that is not in the curves, such as damaged lines.
    """

    name: str
    source: str
    curves: Mapping[str, Curve] = field(default_factory=dict[str, Curve])
    notes: tuple[str, ...] = ()

    def named(self, name: str) -> RunCurves:
        """Return the same run under another name."""
        return replace(self, name=name)


def _spread(epochs: Floats) -> Floats:
    # As wide as in the epoch that has the most: the last one may be under way.
    if not len(epochs):
        return epochs
    begins = np.flatnonzero(np.diff(epochs, prepend=np.nan) != 0)
    lengths = np.diff(begins, append=len(epochs))
    places = np.arange(len(epochs)) - np.repeat(begins, lengths)
    whole: Floats = epochs + places / lengths.max()
    return whole


def _is_before_all_later(positions: Floats, *, where: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.bool_]:
    """Tell for each position whether every later one is greater; with `where`, every later one that is marked."""
    counted = np.where(np.isfinite(positions) if where is None else where, positions, np.inf)
    later = np.append(np.minimum.accumulate(counted[::-1])[::-1][1:], np.inf)
    return ~(positions >= later)  # a position that is not known is kept


def resumed_rows(iters: Floats, stages: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell for each row of a sink whether it is still valid, and not one that a resumed training has gone back behind.

    A row of the training has the number of its iteration, one of a validation the number of completed iterations: at
    the end, a row of the training may come after the validation and have an iter that is lower by 1. So a row goes
    back if its iter is lower than that of the last row of the same stage. Rows of other stages at that very iter stay.

    Args:
        iters: The iter of each row, of shape ``(n,)``.
        stages: A number for the stage of each row, of shape ``(n,)``.

    Example:
        >>> resumed_rows(np.array([9.0, 20.0, 19.0, 29.0, 19.0]), np.array([0, 1, 0, 0, 0]))
        array([ True, False,  True, False,  True])
    """
    valid = np.ones(len(iters), dtype=np.bool_)
    goes_back = np.zeros(len(iters), dtype=np.bool_)
    for stage in np.unique(stages):
        rows = np.flatnonzero((stages == stage) & np.isfinite(iters))
        goes_back[rows] = np.diff(iters[rows], prepend=-np.inf) < 0
        counted = np.minimum.accumulate(iters[rows][::-1])[::-1]
        valid[rows] &= ~(iters[rows] > np.append(counted[1:], np.inf))
    counted = np.where(goes_back, iters, np.inf)
    later = np.append(np.minimum.accumulate(counted[::-1])[::-1][1:], np.inf)
    return valid & ~(iters > later)


def smoothed(values: Floats, weight: float) -> Floats:
    """Return the moving average that TensorBoard draws: exponential, without the bias of its beginning.

    Values that are not finite stay, and do not count. A constant curve stays as it is.

    Args:
        values: The values, of shape ``(n,)``.
        weight: The weight of the past, from 0 to below 1; 0 smooths nothing.

    Returns:
        The averages, of shape ``(n,)``.

    Example:
        >>> smoothed(np.array([1.0, 2.0, 4.0]), 0.5).round(3).tolist()
        [1.0, 1.667, 3.0]
    """
    finite = np.isfinite(values)
    counted = values[finite]
    result = values.copy()
    if weight and len(counted) and not (counted == counted[0]).all():
        sums = accumulate(counted.tolist(), lambda past, value: past * weight + (1 - weight) * value, initial=0.0)
        next(sums)
        bias = -np.expm1(np.log(weight) * np.arange(1, len(counted) + 1))
        result[finite] = np.fromiter(sums, np.float64, len(counted)) / bias
    return result


def decimated(positions: Floats, values: Floats, most: int) -> tuple[Floats, Floats]:
    """Return at most about `most` of many points, which look the same in a picture: no extreme is lost.

    Of each group of neighbours, the first, the last, the least and the greatest finite value stay. Of a group that has
    no finite value, one stays, so that the gap does.

    Args:
        positions: The places of the points, ascending, of shape ``(n,)``.
        values: Their values, of shape ``(n,)``.
        most: The number of points, at least 4.

    Example:
        >>> places = np.arange(1000.0)
        >>> values = np.where(places == 500, 9.0, 0.0)
        >>> _, fewer = decimated(places, values, 40)
        >>> len(fewer) <= 40, fewer.max()
        (True, np.float64(9.0))
    """
    many = len(values)
    if many <= most:
        return positions, values
    size = -(-many // (most // 4))
    groups = -(-many // size)
    finite = np.isfinite(values)
    low = np.full(groups * size, np.inf)
    low[:many][finite] = values[finite]
    high = np.full(groups * size, -np.inf)
    high[:many][finite] = values[finite]
    known = np.zeros(groups * size, dtype=np.bool_)
    known[:many] = finite
    of_group = known.reshape(groups, size)
    begins = np.arange(groups) * size
    # Where a group has no finite value, all four are its first point.
    last = np.where(of_group.any(axis=1), size - 1 - of_group[:, ::-1].argmax(axis=1), 0)
    least, greatest = low.reshape(groups, size).argmin(axis=1), high.reshape(groups, size).argmax(axis=1)
    chosen = (of_group.argmax(axis=1), least, greatest, last)
    places = np.unique(np.concatenate([begins + each for each in chosen]))
    return positions[places], values[places]
