"""The history of one scalar: a list of the latest values, and arrays of those before them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from itertools import cycle, takewhile
from typing import Any, ClassVar, TypeVar

import numpy as np

from runtimeinfo import EmptyHistoryError, HubError, ScalarTypeError, UnknownStatisticError
from runtimeinfo import ScalarHistory as AnyHistory
from runtimeinfo.authoring import describe, is_scalar, lies_on_device, scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int, within_64_bits
from runtimeinfo_adapters.hub._counted_values import Array, CountedValues
from runtimeinfo_adapters.hub._device_queue import (
    DEFAULT_MAX_ON_DEVICE,
    DeviceQueue,
    DeviceValue,
    read_value,
    read_values,
)
from runtimeinfo_adapters.sharing._board import Latest

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

DEFAULT_MAX_LENGTH = 1_000_000
"""How many values a history keeps: as many as mmengine's."""

ONE = 1
"""The usual count, compared by identity: that is the cheapest check, and it never evaluates an array."""

# Appending to a list costs a fraction of appending to an array, and is atomic, so a writer needs no lock. But a value
# takes four times as much memory there.
BLOCK = 1024
"""The greatest number of values that wait in a list before they move to an array together."""

# Each history has its own bound, from half a block to a block: with one bound for all, a thousand histories that are
# updated together would move their values in one iteration, which would take as long as a hundred others.
_blocks = cycle(range(BLOCK, BLOCK // 2, -1))

Pending = int | float | DeviceValue
Counted = tuple[Pending, int | float]

_INT64_MAX = 2**63 - 1


class ScalarHistory:
    """The latest values of one scalar, each with a count.

    `update` costs amortised O(1) at any length and takes no lock; reading takes one. Counts take no memory while all
    of them are 1. A history can be copied and pickled: the copy holds the same values and is independent.

    Args:
        log_history: The first values.
        count_history: A count for each of them; all 1 if omitted.
        max_length: How many values are kept; the oldest are dropped first.
        max_on_device: How many tensors on an accelerator can wait there. They are read in one batch: when the history
            is read, or when an update reaches that number and waits for the device. The histories of a hub share one
            queue, with the bound that was given to the hub.

    Raises:
        HubError: If there are more or fewer counts than values, or `max_length` or `max_on_device` is not a positive
            int.
        ScalarTypeError: If a value or a count is not a scalar.

    Attributes:
        pending: The latest values, which have not moved to an array yet. A hub appends floats here directly, as
            `update` would: one more call would cost half as much again.
        block: The number of values in `pending` at which a writer calls `settle_block`.

    Example:
        >>> history = ScalarHistory()
        >>> for loss in (4.0, 2.0, 0.0):
        ...     history.update(loss)
        >>> history.current(), history.mean(2), history.max()
        (0.0, 1.0, 4.0)

    Source: HUB-04 to HUB-06, HUB-10.
    """

    statistics_methods: ClassVar[dict[str, Callable[..., Any]]] = {}
    """The statistics by name; see `register_statistics`."""

    __slots__ = ("_all_floats", "_all_numbers", "_kept", "_lock", "_on_device", "_settled", "block", "pending")

    def __init__(
        self,
        log_history: Sequence[Any] | Array = (),
        count_history: Sequence[Any] | Array | None = None,
        max_length: int = DEFAULT_MAX_LENGTH,
        *,
        max_on_device: int = DEFAULT_MAX_ON_DEVICE,
    ) -> None:
        if not is_positive_int(max_length):
            raise HubError(f"max_length must be a positive int, but is {shown(max_length)}: omit it, or give 1 or more")
        if count_history is not None and len(log_history) != len(count_history):
            raise HubError(
                f"a history of {len(log_history)} values cannot have {len(count_history)} counts: "
                "give one for each value, or none"
            )
        self._on_device = DeviceQueue(max_on_device)
        self._kept = CountedValues(max_length)
        self.pending: list[Pending | Counted] = []
        self.block: int = next(_blocks)
        # Each is False for good once anything else has waited: an int, a value with a count, or a tensor.
        self._all_floats = self._all_numbers = True
        self._settled = 0
        self._lock = threading.Lock()
        self._kept.extend(_array(log_history), None if count_history is None else _array(count_history))

    @classmethod
    def register_statistics(cls, method: F) -> F:
        """Register a function as a statistic under its name; it is called with the history, then the arguments.

        Raises:
            HubError: If the name is taken.

        Example:
            >>> @ScalarHistory.register_statistics
            ... def spread(history, window_size=None):
            ...     return history.max(window_size) - history.min(window_size)
            >>> ScalarHistory([1.0, 5.0]).statistics("spread")
            4.0

        Source: HUB-06.
        """
        name = method.__name__
        if name in cls.statistics_methods:
            raise HubError(f"a statistic named {name!r} is registered already: give the function another name")
        cls.statistics_methods[name] = method
        return method

    @property
    def max_length(self) -> int:
        """How many values are kept."""
        return self._kept.max_length

    @property
    def update_count(self) -> int:
        """How often `update` was called since this object was made; it grows even when old values are dropped.

        Compare it with an earlier one to learn how many values are new, without reading any of them. The first values
        do not count, and so neither do those that come from a checkpoint.

        Example:
            >>> history = ScalarHistory([4.0, 2.0], max_length=2)
            >>> history.update(0.0)
            >>> history.update_count
            1
        """
        with self._lock:
            return self._settled + len(self.pending)

    def latest(self) -> Latest | None:
        """Return the latest value that is known without waiting for a device or for another thread.

        None if there is none, or if another thread is reading at this moment. The first values count as 0 updates.

        Source: SHARE-03.
        """
        newest = self.pending[-1:]
        if newest and type(newest[0]) is float:
            return Latest(newest[0], ONE, self._settled + len(self.pending))
        if newest and not _waits(newest[0]):
            value, count = newest[0] if isinstance(newest[0], tuple) else (newest[0], 1)
            return Latest(_read(value), count, self._settled + len(self.pending))
        if self._lock.locked():
            return None
        # Not `acquire(blocking=False)`: Ctrl-C between that and its `try` would leave the lock held for good.
        with self._lock:
            if newest:  # it waits on a device: what has come over from there counts
                self._on_device.look()
                self._settle(read=False)
            if not len(self._kept):
                return None
            (value,), (count,) = self._kept.tail(1)
            return Latest(value.item(), count.item(), self._settled)

    @property
    def data(self) -> tuple[Array, Array]:
        """The values and their counts: copies, each of shape ``(n,)``, oldest first."""
        with self._lock:
            self._settle()
            return self._kept.tail(len(self._kept))

    def contents(self) -> tuple[Array, Array | None]:
        """Return a copy of the values, oldest first, and one of their counts: None if all of these are 1.

        Cheaper than `data`, which makes an array of ones.

        Example:
            >>> history = ScalarHistory([4.0, 2.0])
            >>> history.contents()
            (array([4., 2.]), None)

        Source: HUB-11.
        """
        with self._lock:
            self._settle()
            return self._kept.contents()

    def since(self, updates: int) -> tuple[Sequence[Any] | Array, Sequence[Any] | Array, int]:
        """Return the values that have come after a number of updates, and `update_count` now, all of one moment.

        Args:
            updates: An earlier `update_count`.

        Returns:
            The values and their counts, each of shape ``(n,)``, and the number of updates. There are fewer values than
            updates if the history has dropped some.

        Example:
            >>> history = ScalarHistory([8.0])
            >>> history.update(4.0); history.update(2.0)
            >>> history.since(1)
            ([2.0], [1], 2)

        Source: DIST-01.
        """
        with self._lock:
            begin, end = updates - self._settled, len(self.pending)
            # As in a loop that reduces after each iteration.
            if self._all_numbers and begin >= 0 and end - begin <= self._kept.max_length:
                values = self.pending[begin:end]
                return values, [ONE] * len(values), self._settled + end
            self._settle()
            return *self._kept.tail(max(self._settled - updates, 0)), self._settled

    def update(self, log_val: Any, count: float = 1) -> None:
        """Append a value.

        A tensor on an accelerator is copied there and read later. The caller can overwrite it at once: the history
        keeps the value of this moment.

        Args:
            log_val: A scalar. Integers beyond 64 bits become floats.
            count: How many samples the value is the sum of.

        Raises:
            ScalarTypeError: If either is not a scalar; the history is unchanged.

        Source: HUB-04, SCALAR-01, SCALAR-10.
        """
        if type(log_val) is not float:
            log_val = self._storable(log_val)
            if type(log_val) is not float:
                self._all_floats = False
        if count is not ONE:
            if not is_scalar(count):
                raise ScalarTypeError(
                    f"a count must be a number, but is {describe(count)}: give the number of samples in the value",
                    requirement="SCALAR-01",
                )
            self._all_floats = self._all_numbers = False
            log_val = (log_val, within_64_bits(scalar_value(count)))
        pending = self.pending
        pending.append(log_val)
        if len(pending) >= self.block:
            self.settle_block()

    def append_waiting(self, value: DeviceValue | float) -> None:
        """Append what the queue of this history has returned for a tensor."""
        self._all_floats = self._all_numbers = False
        pending = self.pending
        pending.append(value)
        if len(pending) >= self.block:
            self.settle_block()

    def drop_latest(self) -> None:
        """Take back the latest value, if there is one, as if it had not come: `update_count` falls with it.

        Example:
            >>> history = ScalarHistory()
            >>> history.update(4.0); history.update(2.0); history.drop_latest()
            >>> history.current(), history.update_count
            (4.0, 1)

        Source: SCALAR-02.
        """
        with self._lock:
            self._settle()
            if len(self._kept):
                self._kept.drop_latest()
                self._settled = max(self._settled - 1, 0)

    def settle_block(self) -> None:
        """Move a block of `pending` to the arrays; a writer calls it once `pending` has `block` entries.

        It waits for a device only if more entries wait than fill the queue, as where numbers followed a tensor that
        is never read: a history that is only written would grow without a bound.
        """
        with self._lock:
            if self.pending and not _waits(self.pending[0]):
                self._settle(read=False)
            elif len(self.pending) >= max(self.block, self._on_device.max_on_device):
                self._settle()

    def wait_in(self, queue: DeviceQueue) -> None:
        """Put later tensors into a queue that other histories share."""
        self._on_device = queue

    def tail(self, window_size: int | None = None) -> tuple[Array, Array]:
        """Return the last values and their counts: copies, each of shape ``(n,)``, oldest first.

        Cheaper than `data`, which copies all values, up to a million of them.

        Args:
            window_size: How many; None, or more than the history holds, means all of them.

        Raises:
            EmptyHistoryError: If the history is empty.
            HubError: If the window is not a positive int.

        Example:
            >>> [part.tolist() for part in ScalarHistory([4.0, 2.0, 0.0]).tail(2)]
            [[2.0, 0.0], [1, 1]]

        Source: HUB-10.
        """
        return self._of_window(CountedValues.tail, window_size)

    def current(self) -> float:
        """Return the latest value, as a Python number: an int while all values are integers.

        Raises:
            EmptyHistoryError: If the history is empty.

        Source: HUB-04.
        """
        latest = self.pending[-1:]
        if latest and type(latest[0]) is float:
            return latest[0]
        value: float = self.tail(1)[0].item()
        return value

    def mean(self, window_size: int | None = None) -> float:
        """Return the sum of the last values over the sum of their counts.

        Args:
            window_size: How many values; None, or more than the history holds, means all of them.

        Raises:
            EmptyHistoryError: If the history is empty.
            HubError: If the window is not a positive int.

        Source: HUB-05.
        """
        return self._of_window(CountedValues.mean, window_size)

    def min(self, window_size: int | None = None) -> float:
        """Return the smallest of the last values; arguments and errors as for `mean`.

        Source: HUB-06.
        """
        return self._of_window(CountedValues.min, window_size)

    def max(self, window_size: int | None = None) -> float:
        """Return the largest of the last values; arguments and errors as for `mean`.

        Source: HUB-06.
        """
        return self._of_window(CountedValues.max, window_size)

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a statistic by its name.

        A function that was registered with mmengine's ``HistoryBuffer.register_statistics`` is found, too: it is called
        with such a buffer, made of the values and counts.

        Raises:
            UnknownStatisticError: If no such statistic is registered.

        Source: HUB-06.
        """
        method = self.statistics_methods.get(method_name)
        if method is not None:
            return method(self, *args, **kwargs)
        # mmengine's: nothing can be registered with it where it is not loaded.
        buffer: Any = getattr(sys.modules.get("mmengine.logging"), "HistoryBuffer", None)
        theirs: dict[str, Any] = {} if buffer is None else buffer._statistics_methods
        if buffer is not None and method_name in theirs:
            return theirs[method_name](buffer(*self.data, max_length=self.max_length), *args, **kwargs)
        known = ", ".join(sorted({*self.statistics_methods, *theirs}))
        raise UnknownStatisticError(
            f"no statistic named {method_name!r} is registered; there are {known}. "
            "Add it with ScalarHistory.register_statistics"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # The copy gets its own queue; a hub that holds the copy replaces it by the queue of the hub.
        slots = {"_on_device": DeviceQueue(self._on_device.max_on_device)}
        attributes = getattr(self, "__dict__", None)  # those of a subclass that has no __slots__
        return type(self), (*self.contents(), self._kept.max_length), (attributes, slots)

    def __repr__(self) -> str:
        values, _ = self.data
        latest = f", current={values[-1]!s}" if len(values) else ""
        return f"{type(self).__name__}(n={len(values)}{latest})"

    def _of_window(self, read: Callable[[CountedValues, int], T], window_size: int | None) -> T:
        """Return what a function makes of the last values. The lock is held meanwhile, so that none need be copied."""
        if window_size is not None and (not isinstance(window_size, int) or window_size < 1):
            raise HubError(
                f"window_size must be a positive int, or None for all values, but is {shown(window_size)}: give "
                "the number of latest values to look at"
            )
        with self._lock:
            self._settle()
            length = len(self._kept)
            if not length:
                raise EmptyHistoryError("the history holds no value yet: update it first")
            return read(self._kept, length if window_size is None else window_size)

    def _storable(self, value: Any) -> Pending:
        if type(value) is int and -_INT64_MAX <= value <= _INT64_MAX:
            return value
        if lies_on_device(value) and is_scalar(value):
            self._all_numbers = False
            return self._on_device.add(value)
        number = scalar_value(value)
        return number if type(number) is float else within_64_bits(number)

    def _settle(self, *, read: bool = True) -> None:
        """Move pending values to the arrays. The caller holds the lock; other threads keep appending.

        Args:
            read: Whether to read the values on a device; if not, the first of them stays, with all that follow it.
        """
        waiting = self.pending[:]
        if self._all_numbers:
            if not waiting:
                return
            # `asarray` looks for the dtype first, and for sequences, which takes as long again.
            block = np.fromiter(waiting, np.float64, len(waiting)) if self._all_floats else np.asarray(waiting)
            counts = None
        else:
            if not read:
                waiting = list(takewhile(lambda entry: not _waits(entry), waiting))
            if not waiting:
                return
            numbers = read_values(waiting)
            if numbers is not None:  # all of them come from a device
                block, counts = np.asarray(numbers), None
            else:
                split = [entry if isinstance(entry, tuple) else (entry, 1) for entry in waiting]
                block = np.asarray([_read(value) for value, _ in split])
                counts = np.asarray([count for _, count in split])
        self._kept.extend(block, counts)
        self._settled += len(waiting)
        # Last, so that nothing is lost if reading from the device fails. Values that came in meanwhile stay.
        del self.pending[: len(waiting)]


def update_count(history: AnyHistory) -> int | None:
    """Return how often a history was updated, or None if it does not count, as mmengine's.

    Example:
        >>> update_count(ScalarHistory([4.0]))
        0
    """
    count = getattr(history, "update_count", None)
    return count if type(count) is int else None


def _waits(entry: Pending | Counted) -> bool:
    value = entry[0] if isinstance(entry, tuple) else entry
    return isinstance(value, DeviceValue) and value.waits


def _read(value: Pending) -> int | float:
    return read_value(value) if isinstance(value, DeviceValue) else value


def _array(values: Sequence[Any] | Array) -> Array:
    """Return scalars as an array of int64 or float64."""
    array = (
        values
        if isinstance(values, np.ndarray)
        else np.asarray([within_64_bits(scalar_value(value)) for value in values])
    )
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise ScalarTypeError(
            f"a history is made of scalars, but got {describe(array)}: give numbers in one dimension",
            requirement="SCALAR-01",
        )
    return array.astype(np.int64 if array.dtype.kind in "bi" or not len(array) else np.float64, copy=False)


ScalarHistory.statistics_methods.update(
    min=ScalarHistory.min,
    max=ScalarHistory.max,
    current=ScalarHistory.current,
    mean=ScalarHistory.mean,
)
