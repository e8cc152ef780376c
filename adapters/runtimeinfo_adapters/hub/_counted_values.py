"""The values of a history that are in arrays, each with its count."""

from __future__ import annotations

import numpy as np

from runtimeinfo_adapters.hub._ring import Array, Ring


class CountedValues:
    """The latest values, up to `max_length` of them, each with a count.

    Counts take memory only from the first one on that is not 1.

    Args:
        max_length: The bound.

    Example:
        >>> kept = CountedValues(3)
        >>> kept.extend(np.array([1.0, 2.0]))
        >>> kept.extend(np.array([8.0]), np.array([4]))
        >>> [part.tolist() for part in kept.tail(2)]
        [[2.0, 8.0], [1, 4]]

    Source: HUB-05, HUB-10.
    """

    __slots__ = ("_counts", "_max_length", "_values")

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._values = Ring(max_length)
        self._counts: Ring | None = None

    @property
    def max_length(self) -> int:
        """The bound."""
        return self._max_length

    def __len__(self) -> int:
        return len(self._values)

    def extend(self, values: Array, counts: Array | None = None) -> None:
        """Append a block of shape ``(n,)``, and a count for each value; None stands for counts that are all 1."""
        if self._counts is None and counts is not None and (counts != 1).any():
            self._counts = Ring(self._max_length)
            self._counts.extend(np.ones(len(self._values), dtype=np.int64))
        self._values.extend(values)
        if self._counts is not None:
            self._counts.extend(np.ones(len(values), dtype=np.int64) if counts is None else counts)

    def tail(self, count: int) -> tuple[Array, Array]:
        """Return the last values and their counts: copies, oldest first, each of shape ``(min(count, len),)``."""
        # Copies: a view would change under the caller once the ring has come round.
        values = self._values.tail(count).copy()
        counts = np.ones(len(values), dtype=np.int64) if self._counts is None else self._counts.tail(count).copy()
        return values, counts
