"""The history of one scalar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, ClassVar, TypeVar

import numpy as np

from runtimeinfo import EmptyHistoryError, HubError, ScalarTypeError, UnknownStatisticError
from runtimeinfo import ScalarHistory as AnyHistory
from runtimeinfo.authoring import describe, is_scalar, lies_on_device, scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int
from runtimeinfo_adapters.hub._counted_values import CountedValues
from runtimeinfo_adapters.hub._device_values import DEFAULT_MAX_ON_DEVICE, DeviceQueue, DeviceValue
from runtimeinfo_adapters.hub._ring import Array
from runtimeinfo_adapters.sharing._board import Latest

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_MAX_LENGTH = 1_000_000
"""As many values as mmengine keeps."""

ONE = 1
"""The usual count, told by identity: that costs nothing, and asks nothing of what may be an array."""

# An append to a list costs a fraction of one to an array, and is atomic, so that a writer needs no lock.
BLOCK = 4096
"""How many values wait in a list before they go into an array at once."""

Pending = int | float | DeviceValue
Counted = tuple[Pending, int | float]

_INT64_MAX = 2**63 - 1


class ScalarHistory:
    """The latest values of one scalar, each with a count.

    `update` costs amortised O(1), at any length, and takes no lock; reading takes one. Counts take memory only
    from the first one on that is not 1.

    Args:
        log_history: Values to begin with.
        count_history: A count for each of them; all 1 if left out.
        max_length: How many values are kept; the oldest ones go.
        max_on_device: How many tensors on an accelerator may wait there. They come over in one batch: when somebody
            reads the history, or when an update reaches that number, and waits for the device. The histories of a hub
            wait together, up to the number that the hub was given.

    Raises:
        HubError: If there are more or fewer counts than values, or `max_length` or `max_on_device` is no positive
            int.
        ScalarTypeError: If a value or a count is no scalar.

    Attributes:
        pending: The latest values, as long as they wait to go into an array. A hub appends a float here itself, as
            `update` would: one more call would take half as long again.

    Example:
        >>> history = ScalarHistory()
        >>> for loss in (4.0, 2.0, 0.0):
        ...     history.update(loss)
        >>> float(history.current()), float(history.mean(2)), float(history.max())
        (0.0, 1.0, 4.0)

    Source: HUB-04 to HUB-06, HUB-10.
    """

    statistics_methods: ClassVar[dict[str, Callable[..., Any]]] = {}
    """The statistics by their names; see `register_statistics`."""

    __slots__ = ("_all_numbers", "_kept", "_lock", "_on_device", "_settled", "pending")

    def __init__(
        self,
        log_history: Sequence[Any] | Array = (),
        count_history: Sequence[Any] | Array | None = None,
        max_length: int = DEFAULT_MAX_LENGTH,
        *,
        max_on_device: int = DEFAULT_MAX_ON_DEVICE,
    ) -> None:
        if not is_positive_int(max_length):
            raise HubError(
                f"max_length must be a positive int, but is {shown(max_length)}: leave it out, or give 1 or more"
            )
        if count_history is not None and len(log_history) != len(count_history):
            raise HubError(
                f"a history of {len(log_history)} values cannot have {len(count_history)} counts: "
                "give one for each value, or none"
            )
        self._on_device = DeviceQueue(max_on_device)
        self._kept = CountedValues(max_length)
        self.pending: list[Pending | Counted] = []
        # False for good once something else than a plain number has waited: a value with a count, a tensor.
        self._all_numbers = True
        self._settled = 0
        self._lock = threading.Lock()
        counts = np.ones(len(log_history), dtype=np.int64) if count_history is None else _array(count_history)
        self._kept.extend(_array(log_history), counts)

    @classmethod
    def register_statistics(cls, method: F) -> F:
        """Register a function as a statistic under its own name; it gets the history, then the arguments.

        Raises:
            HubError: If the name is taken.

        Example:
            >>> @ScalarHistory.register_statistics
            ... def spread(history, window_size=None):
            ...     return history.max(window_size) - history.min(window_size)
            >>> float(ScalarHistory([1.0, 5.0]).statistics("spread"))
            4.0

        Source: HUB-06.
        """
        name = method.__name__
        if name in cls.statistics_methods:
            raise HubError(f"a statistic named {name!r} is registered already: give the function another one")
        cls.statistics_methods[name] = method
        return method

    @property
    def max_length(self) -> int:
        """How many values are kept."""
        return self._kept.max_length

    @property
    def update_count(self) -> int:
        """How often `update` was called since this object was made: it only grows, also where old values go.

        Whoever keeps it can tell at the next look whether there is news, and how much, without reading any value.
        What the history began with does not count, so neither does what comes out of a checkpoint.

        Example:
            >>> history = ScalarHistory([4.0, 2.0], max_length=2)
            >>> history.update(0.0)
            >>> history.update_count
            1
        """
        with self._lock:
            return self._settled + len(self.pending)

    def latest(self) -> Latest | None:
        """Return the latest value that is known without a wait, be it for a device or for another thread.

        It is None if there is none, or if another thread is reading at this moment. What the history began with
        has no updates.

        Source: SHARE-03.
        """
        newest = self.pending[-1:]
        if newest and not _waits(newest[0]):
            value, count = newest[0] if isinstance(newest[0], tuple) else (newest[0], 1)
            return Latest(_read(value), count, self._settled + len(self.pending))
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if not len(self._kept):
                return None
            (value,), (count,) = self._kept.tail(1)
            return Latest(value.item(), count.item(), self._settled)
        finally:
            self._lock.release()

    @property
    def data(self) -> tuple[Array, Array]:
        """The values and their counts: copies, each of shape ``(n,)``, oldest first."""
        with self._lock:
            self._settle()
            return self._kept.tail(len(self._kept))

    def update(self, log_val: Any, count: float = 1) -> None:
        """Append a value.

        A tensor on an accelerator is copied there, and read later. Its value is that of now, also if the caller
        overwrites it at once.

        Args:
            log_val: A scalar. Integers beyond 64 bits become floats.
            count: How many samples the value is the sum of.

        Raises:
            ScalarTypeError: If either is no scalar; the history is unchanged.

        Source: HUB-04, SCALAR-01, SCALAR-10.
        """
        if type(log_val) is not float:
            log_val = self._storable(log_val)
        if count is not ONE:
            if not is_scalar(count):
                raise ScalarTypeError(
                    f"a count must be a number, but is {describe(count)}: give the number of samples in the value",
                    requirement="SCALAR-01",
                )
            self._all_numbers = False
            log_val = (log_val, _within_64_bits(scalar_value(count)))
        pending = self.pending
        pending.append(log_val)
        if len(pending) >= BLOCK:
            self.settle_block()

    def settle_block(self) -> None:
        """Move a block of `pending` into the arrays; whoever appends there does so from `BLOCK` entries on.

        It does not wait for a device, unless more waits than would fill the queue. That is so where tensors came
        first, and then numbers: who only writes would fill the memory.
        """
        with self._lock:
            read = len(self.pending) >= max(BLOCK, self._on_device.max_on_device)
            if read or (self.pending and not _waits(self.pending[0])):
                self._settle(read=read)

    def wait_in(self, queue: DeviceQueue) -> None:
        """Let the tensors that come from now on wait together with those of other histories."""
        self._on_device = queue

    def tail(self, window_size: int | None = None) -> tuple[Array, Array]:
        """Return the last values and their counts: copies, each of shape ``(n,)``, oldest first.

        `data` copies all that there is, up to a million values.

        Args:
            window_size: How many; None, or more than there are, means all of them.

        Raises:
            EmptyHistoryError: If there is no value.
            HubError: If the window is no positive int.

        Example:
            >>> [part.tolist() for part in ScalarHistory([4.0, 2.0, 0.0]).tail(2)]
            [[2.0, 0.0], [1, 1]]

        Source: HUB-10.
        """
        if window_size is not None and (not isinstance(window_size, int) or window_size < 1):
            raise HubError(
                f"window_size must be a positive int, or None for all values, but is {shown(window_size)}: give "
                "the number of latest values to look at"
            )
        with self._lock:
            self._settle()
            values, counts = self._kept.tail(len(self._kept) if window_size is None else window_size)
        if not len(values):
            raise EmptyHistoryError("the history holds no value yet: update it first")
        return values, counts

    def current(self) -> Any:
        """Return the latest value, as a NumPy scalar.

        Raises:
            EmptyHistoryError: If there is none.

        Source: HUB-04.
        """
        latest = self.pending[-1:]
        if latest and type(latest[0]) is float:
            return np.float64(latest[0])
        return self.tail(1)[0][-1]

    def mean(self, window_size: int | None = None) -> Any:
        """Return the sum of the last values over the sum of their counts.

        Args:
            window_size: How many values; None, or more than there are, means all of them.

        Raises:
            EmptyHistoryError: If there is no value.
            HubError: If the window is no positive int.

        Source: HUB-05.
        """
        values, counts = self.tail(window_size)
        return values.sum() / counts.sum()

    def min(self, window_size: int | None = None) -> Any:
        """Return the smallest of the last values; arguments and errors as for `mean`.

        Source: HUB-06.
        """
        return self.tail(window_size)[0].min()

    def max(self, window_size: int | None = None) -> Any:
        """Return the largest of the last values; arguments and errors as for `mean`.

        Source: HUB-06.
        """
        return self.tail(window_size)[0].max()

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a statistic by its name.

        Raises:
            UnknownStatisticError: If no such statistic is registered.

        Source: HUB-06.
        """
        method = self.statistics_methods.get(method_name)
        if method is None:
            known = ", ".join(sorted(self.statistics_methods))
            raise UnknownStatisticError(
                f"no statistic named {method_name!r} is registered; there are {known}. "
                "Add it with ScalarHistory.register_statistics"
            )
        return method(self, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # A queue of its own. What belongs to a hub gets that of the new hub.
        state = {"_on_device": DeviceQueue(self._on_device.max_on_device)}
        return type(self), (*self.data, self._kept.max_length), (None, state)

    def __repr__(self) -> str:
        values, _ = self.data
        latest = f", current={values[-1]!s}" if len(values) else ""
        return f"{type(self).__name__}(n={len(values)}{latest})"

    def _storable(self, value: Any) -> Pending:
        if lies_on_device(value) and is_scalar(value):
            self._all_numbers = False
            return self._on_device.add(value)
        return _within_64_bits(scalar_value(value))

    def _settle(self, *, read: bool = True) -> None:
        """Move what waits into the arrays. The caller holds the lock; writers go on appending meanwhile.

        Args:
            read: Whether to read what lies on a device; if not, it stays, and what came after it.
        """
        waiting = self.pending[:]
        if self._all_numbers:
            if not waiting:
                return
            block, counts = np.asarray(waiting), None
        else:
            if not read:
                waiting = list(takewhile(lambda entry: not _waits(entry), waiting))
            if not waiting:
                return
            split = [entry if isinstance(entry, tuple) else (entry, 1) for entry in waiting]
            block = np.asarray([_read(value) for value, _ in split])
            counts = np.asarray([count for _, count in split])
        self._kept.extend(block, counts)
        self._settled += len(waiting)
        # Only now: should reading from the device fail, nothing is lost. What came in meanwhile stays.
        del self.pending[: len(waiting)]


def update_count(history: AnyHistory) -> int | None:
    """Return how often a history was updated, as the reference hub's tell; None if it does not, as mmengine's."""
    count = getattr(history, "update_count", None)
    return count if type(count) is int else None


def _waits(entry: Pending | Counted) -> bool:
    value = entry[0] if isinstance(entry, tuple) else entry
    return isinstance(value, DeviceValue) and value.waits


def _read(value: Pending) -> int | float:
    return _within_64_bits(value.read()) if isinstance(value, DeviceValue) else value


def _within_64_bits(number: float) -> int | float:
    return float(number) if isinstance(number, int) and not -_INT64_MAX <= number <= _INT64_MAX else number


def _array(values: Sequence[Any] | Array) -> Array:
    """Make an array of int64 or float64 out of scalars."""
    array = (
        values
        if isinstance(values, np.ndarray)
        else np.asarray([_within_64_bits(scalar_value(value)) for value in values])
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
