"""A scalar as another process sees it: no history, but its latest value."""

from __future__ import annotations

from array import array
from typing import Any

from runtimeinfo._errors import BoardError, UnknownStatisticError
from runtimeinfo.board._parse import BoardScalar


class LatestValue:
    """The latest value of a scalar, in the form of a history that holds one.

    Args:
        key: The key of the scalar.
        scalar: What the board says of it.
        path: The board.

    Example:
        >>> from pathlib import Path
        >>> loss = LatestValue("train/loss", BoardScalar(0.5, 1, updates=7), Path("4711-0.board"))
        >>> loss.current(), loss.mean(1), loss.update_count
        (0.5, 0.5, 7)

    Source: SHARE-03.
    """

    __slots__ = ("_key", "_path", "_scalar")

    def __init__(self, key: str, scalar: BoardScalar, path: Any) -> None:
        self._key = key
        self._scalar = scalar
        self._path = path

    @property
    def data(self) -> tuple[array[Any], array[Any]]:
        """The value and its count, in arrays of shape ``(1,)``."""
        value = self._scalar.value
        return array("q" if isinstance(value, int) else "d", [value]), array("d", [self._scalar.count])

    @property
    def update_count(self) -> int:
        """How many values the scalar has had."""
        return self._scalar.updates

    def current(self) -> float:
        """Return the latest value."""
        return self._scalar.value

    def mean(self, window_size: int | None = None) -> float:
        """Return the latest value over its count.

        Raises:
            BoardError: If the window is not 1.
        """
        self._check(window_size)
        return self._scalar.value / self._scalar.count if self._scalar.count else float("nan")

    def min(self, window_size: int | None = None) -> float:
        """Return the latest value; errors as for `mean`."""
        self._check(window_size)
        return self._scalar.value

    def max(self, window_size: int | None = None) -> float:
        """Return the latest value; errors as for `mean`."""
        self._check(window_size)
        return self._scalar.value

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a statistic by its name: current, mean, min or max.

        Raises:
            UnknownStatisticError: If it is another one: those that were registered are in the process that trains.
            BoardError: As for `mean`.
        """
        if method_name not in ("current", "mean", "min", "max"):
            raise UnknownStatisticError(
                f"no statistic named {method_name!r} here: from another process there are current, mean, min and max. "
                "Ask for one of these, or publish what you need as an info",
                key=self._key,
            )
        return getattr(self, method_name)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r}, current={self._scalar.value!r})"

    def _check(self, window_size: int | None) -> None:
        if window_size != 1:
            raise BoardError(
                f"from another process {self._key!r} has its latest value alone, and no history: ask for current(), or "
                f"for a window of 1, not of {window_size or 'all values'}. Publish what you need as an info",
                path=self._path,
                requirement="SHARE-03",
            )
