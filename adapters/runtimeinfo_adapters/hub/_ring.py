"""An array that grows up to a bound, and then keeps the latest values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FIRST_CAPACITY = 64


class Ring:
    """The latest values, up to `max_length` of them, in one buffer of 8 bytes a value.

    It holds int64 while all values are integers, and float64 from the first other one on, as `numpy.append`
    would make it. Appending costs amortised O(1): the buffer doubles until it has reached the bound.

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
        self._end = 0  # where the next value goes

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
        """Return the last values, oldest first, in shape ``(min(count, len),)``; maybe a view."""
        count = min(count, self._size)
        if not count:
            return self._buffer[:0]
        start = self._end - count
        if start >= 0:
            return self._buffer[start : self._end]
        # The last values end at the end of the buffer, or go on at its beginning.
        return np.concatenate((self._buffer[start:], self._buffer[: self._end]))

    def _reserve(self, count: int) -> None:
        needed = min(self._size + count, self._max_length)
        if needed <= len(self._buffer):
            return
        # It never wraps before it has its full length: the values lie at [0, size).
        capacity = min(max(needed, 2 * len(self._buffer), _FIRST_CAPACITY), self._max_length)
        grown = np.empty(capacity, dtype=self._buffer.dtype)
        grown[: self._size] = self._buffer[: self._size]
        self._buffer, self._end = grown, self._size
