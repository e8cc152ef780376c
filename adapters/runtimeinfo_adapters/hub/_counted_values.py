"""The arrays of a history: its latest values up to a bound, and a count for each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FIRST_CAPACITY = 64


class CountedValues:
    """The latest values, up to `max_length` of them, each with a count.

    Counts take no memory while all of them are 1.

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
        """Append a block of shape ``(n,)``, and a count for each value; None means that all counts are 1."""
        if self._counts is None and counts is not None and (counts != 1).any():
            self._counts = Ring(self._max_length)
            self._counts.extend(np.ones(len(self._values), dtype=np.int64))
        self._values.extend(values)
        if self._counts is not None:
            self._counts.extend(np.ones(len(values), dtype=np.int64) if counts is None else counts)

    def tail(self, count: int) -> tuple[Array, Array]:
        """Return the last values and their counts: copies, oldest first, each of shape ``(min(count, len),)``."""
        values = self._values.tail(count)
        return values, np.ones(len(values), dtype=np.int64) if self._counts is None else self._counts.tail(count)

    def contents(self) -> tuple[Array, Array | None]:
        """Return copies of all values and their counts, oldest first; None instead of counts that are all 1."""
        length, counts = len(self), None
        if self._counts is not None and length:
            least, greatest = (self._counts.reduce(operation, length) for operation in (np.minimum, np.maximum))
            if least != 1 or greatest != 1:
                counts = self._counts.tail(length)
        return self._values.tail(length), counts

    def mean(self, count: int) -> float:
        """Return the sum of the last values over the sum of their counts."""
        # As floats: the sum of integers may need more than 64 bits.
        total = self._values.reduce(np.add, count, dtype=np.float64)
        weight = min(count, len(self)) if self._counts is None else self._counts.reduce(np.add, count)
        return float(total / weight)

    def min(self, count: int) -> float:
        """Return the smallest of the last values."""
        least: float = self._values.reduce(np.minimum, count).item()
        return least

    def max(self, count: int) -> float:
        """Return the largest of the last values."""
        greatest: float = self._values.reduce(np.maximum, count).item()
        return greatest

    def drop_latest(self) -> None:
        """Remove the last value."""
        self._values.drop_latest()
        if self._counts is not None:
            self._counts.drop_latest()


class Ring:
    """The latest values, up to `max_length` of them, in one buffer of 8 bytes a value.

    The buffer is int64 while all values are integers and float64 from the first other value on, as `numpy.append`
    would make it. Appending costs amortised O(1): the buffer doubles until it reaches the bound.

    Args:
        max_length: The bound.

    Example:
        >>> ring = Ring(3)
        >>> ring.extend(np.array([1, 2])); ring.extend(np.array([3, 4]))
        >>> ring.tail(2), ring.tail(100)
        (array([3, 4]), array([2, 3, 4]))

    Source: HUB-10.
    """

    __slots__ = ("_buffer", "_end", "_max_length", "_size")

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._buffer: Array = np.empty(0, dtype=np.int64)
        self._size = 0
        self._end = 0  # the position of the next value

    def __len__(self) -> int:
        return self._size

    def extend(self, block: Array) -> None:
        """Append a block of shape ``(n,)``."""
        block = block[-self._max_length :]
        if block.dtype != self._buffer.dtype:
            self._buffer = self._buffer.astype(np.result_type(self._buffer, block), copy=False)
        count = len(block)
        self._reserve(count)
        until_wrap = min(count, len(self._buffer) - self._end)
        self._buffer[self._end : self._end + until_wrap] = block[:until_wrap]
        self._buffer[: count - until_wrap] = block[until_wrap:]
        self._end = (self._end + count) % max(len(self._buffer), 1)
        self._size = min(self._size + count, self._max_length)

    def tail(self, count: int) -> Array:
        """Return a copy of the last values, oldest first, in shape ``(min(count, len),)``."""
        return np.concatenate(self._parts(count))

    def reduce(self, operation: np.ufunc, count: int, dtype: type[np.float64] | None = None) -> Any:
        """Return the reduction of the last values, of which there must be one, by an operation such as `numpy.add`.

        Nothing is copied.

        Example:
            >>> ring = Ring(3)
            >>> ring.extend(np.array([1, 2, 3])); ring.extend(np.array([4]))
            >>> int(ring.reduce(np.add, 2)), int(ring.reduce(np.minimum, 3))
            (7, 2)
        """
        older, newer = self._parts(count)
        if not len(older):
            return operation.reduce(newer, dtype=dtype)
        if not len(newer):
            return operation.reduce(older, dtype=dtype)
        return operation(operation.reduce(older, dtype=dtype), operation.reduce(newer, dtype=dtype))

    def _parts(self, count: int) -> tuple[Array, Array]:
        """Return views of the last values: those before the end of the buffer if they wrap around it, and the rest."""
        start = self._end - min(count, self._size)
        if start >= 0:
            return self._buffer[:0], self._buffer[start : self._end]
        return self._buffer[start:], self._buffer[: self._end]

    def drop_latest(self) -> None:
        """Remove the last value; the one that it had pushed out does not come back."""
        self._size -= 1
        self._end = (self._end - 1) % len(self._buffer)

    def _reserve(self, count: int) -> None:
        needed = min(self._size + count, self._max_length)
        if needed <= len(self._buffer):
            return
        # The buffer wraps only at its full length, so the values lie at [0, size).
        capacity = min(max(needed, 2 * len(self._buffer), _FIRST_CAPACITY), self._max_length)
        grown = np.empty(capacity, dtype=self._buffer.dtype)
        grown[: self._size] = self._buffer[: self._size]
        self._buffer, self._end = grown, self._size
