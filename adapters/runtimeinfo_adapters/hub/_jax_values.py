"""Values of JAX that are not computed yet: kept as they are, and read when they are ready, or when some code asks.

JAX returns from a computation before that is done, on a CPU too. To read its result at once would make the training
wait in each iteration.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from functools import cache
from typing import Any

from runtimeinfo.authoring import scalar_value


def is_array(value: Any) -> bool:
    """Return whether a value is an array of JAX."""
    jax: Any = sys.modules.get("jax")  # code that has an array has loaded it
    return hasattr(jax, "Array") and isinstance(value, jax.Array)


@cache
def _copier() -> Any:
    """Return what copies an array: compiled it takes a fifth of the time of the method `copy`."""
    jax: Any = sys.modules["jax"]
    return jax.jit(jax.numpy.copy)


class WaitingArray:
    """One value that waits: a page of one slot, as `DeviceValue` knows it.

    Attributes:
        queue: Where it waits.
        numbers: The number, once it has been read.
    """

    __slots__ = ("array", "numbers", "queue")

    def __init__(self, queue: ArrayQueue, array: Any) -> None:
        self.queue: ArrayQueue = queue
        self.array: Any = array
        self.numbers: list[int | float] = []


class ArrayQueue:
    """The arrays of any number of histories that wait, oldest first.

    Args:
        max_waiting: How many can wait. The one that fills the queue reads all of them.

    Source: SCALAR-10.
    """

    __slots__ = ("_max_waiting", "_reading", "_waiting")

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[WaitingArray] = deque()
        self._reading = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, array: Any) -> WaitingArray | int | float:
        """Return the number of a scalar if it is there already; otherwise keep the value, and return what waits."""
        if array.is_ready():
            return scalar_value(array)
        if array.is_fully_replicated:
            array = array.addressable_data(0)  # each device has it, and a copy on all of them takes all processes
        # A copy, because a computation that an array is donated to deletes it.
        copied = _copier()(array)
        if isinstance(copied, sys.modules["jax"].core.Tracer):  # of code that is traced, where a copy has no value
            return scalar_value(array)
        value = WaitingArray(self, copied)
        self._waiting.append(value)
        if len(self._waiting) >= self._max_waiting:
            self.read()
        return value

    def read(self, wanted: Any = None) -> None:
        """Read all values, unless another thread has read `wanted` already."""
        with self._reading:
            if wanted is not None and not wanted.waits:
                return
            for value in tuple(self._waiting):
                value.array.copy_to_host_async()  # all transfers run while the first is waited for
            self._settle()

    def look(self) -> None:
        """Take over values that are ready; never wait for one that is not."""
        if self._waiting and not self._reading.locked():
            with self._reading:
                self._settle(only_ready=True)

    def _settle(self, *, only_ready: bool = False) -> None:
        while self._waiting:
            value = self._waiting[0]
            if only_ready and not value.array.is_ready():
                return
            value.numbers.append(scalar_value(value.array))
            value.array = None
            self._waiting.popleft()
