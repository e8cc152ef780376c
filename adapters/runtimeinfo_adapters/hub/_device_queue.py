"""Values that wait on an accelerator: copied into rings there without waiting, and read later, in one transfer.

See docs/design/a-ring-on-the-device.md.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from runtimeinfo import HubError
from runtimeinfo.authoring import scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int
from runtimeinfo_adapters.hub._device_ring import (
    Block,
    Page,
    Place,
    Ring,
    Span,
    Torch,
    fetch,
    has_memory,
    load_torch,
    numbers_of,
    plain_tensor,
)
from runtimeinfo_adapters.hub._jax_values import ArrayQueue, WaitingArray, is_array
from runtimeinfo_adapters.hub._transforms import untransformed

DEFAULT_MAX_ON_DEVICE = 16_384
"""How many values wait by default: 8 scalars an iteration for 2,048 iterations."""

_COPY_EVERY_NS = 30_000_000
"""The least time between two copies of new values to the host, for processes that look on.

They are sent and taken over where a board is written, which in a loop happens every 10 ms, or each iteration if that is
longer. So what is seen is at most 60 ms old with short iterations, and at most two iterations with long ones.
"""

_LOOK_EVERY_NS = 1_000_000
"""The time between two looks at whether such a copy is done."""

_LAST_COPY_NS = 2_000_000
"""How long the end of a run lets its last copy take: it is done at once if the device has nothing else to do."""


class DeviceValue:
    """One value, which waits on a device until its page is read.

    Attributes:
        page: The page that it was written to.
        index: Its slot there.
    """

    __slots__ = ("index", "page")

    def __init__(self, page: Page | WaitingArray, index: int) -> None:
        self.page: Page | WaitingArray = page
        self.index: int = index

    @property
    def waits(self) -> bool:
        """True while the value is on its device."""
        return self.index >= len(self.page.numbers)


class DeviceQueue:
    """The values of any number of histories that wait on devices and are read together.

    Each dtype on each stream has a ring on the device. Values of one event that share a ring are written by one
    launch. A slot is written again only after its value has come over. A value takes a copy instead of a slot where
    the ring must not be written: while a CUDA graph is captured, which would write the slot at each replay, and in a
    signal handler that interrupts a write. JAX's arrays wait in a separate queue: see `ArrayQueue`.

    Args:
        max_on_device: How many values can wait. The one that fills the queue reads all of them, so it waits for the
            device.

    Raises:
        HubError: If `max_on_device` is not a positive int.

    Source: SCALAR-10.
    """

    __slots__ = (
        *("_arrays", "_copy_ns", "_flights", "_is_writing", "_look_ns", "_max_on_device", "_pages", "_places"),
        *("_read_count", "_reading", "_written_count", "_writing"),
    )

    def __init__(self, max_on_device: int = DEFAULT_MAX_ON_DEVICE) -> None:
        if not is_positive_int(max_on_device):
            raise HubError(
                f"max_on_device must be a positive int, but is {shown(max_on_device)}: omit it, or give 1 or more"
            )
        self._max_on_device = max_on_device
        self._arrays = ArrayQueue(max_on_device)
        self._places: dict[int, Place] = {}  # by the index of the device
        self._pages: list[Page] = []  # those that are written, and those with values that wait
        self._written_count = 0
        self._read_count = 0
        # A writer holds it while it enqueues, so it never waits for a device. Re-entrant for a signal handler, which
        # `_is_writing` tells that it has interrupted a write.
        self._writing = threading.RLock()
        self._is_writing = False
        # Held while values are read, which can take as long as the device does.
        self._reading = threading.Lock()
        self._flights: dict[tuple[Place, int], _Flight] = {}  # by the device and the stream
        self._copy_ns: dict[tuple[Place, int], int] = {}  # when the next copy is due
        self._look_ns = 0

    @property
    def max_on_device(self) -> int:
        """How many values can wait."""
        return self._max_on_device

    def __len__(self) -> int:
        return self._written_count - self._read_count + len(self._arrays)

    # -- writing

    def add(self, tensor: Any) -> DeviceValue | int | float:
        """Copy the present value of a tensor on its device; see `add_all`."""
        return self.add_all((tensor,))[0]

    def add_all(self, tensors: Sequence[Any]) -> Sequence[DeviceValue | int | float]:
        """Copy the present values of scalar tensors, of which there must be one, on their devices.

        A tensor without memory of a known dtype cannot be read later. It is read at once, so that an error is raised
        in the caller that publishes it.
        """
        if "jax" in sys.modules and any(map(is_array, tensors)):
            return [self._add_array(each) if is_array(each) else self.add(each) for each in tensors]
        torch = load_torch()
        dtype, index, plain_type = tensors[0].dtype, tensors[0].get_device(), torch.Tensor
        had_grad = torch.is_grad_enabled()
        # The context manager, `torch.no_grad`, would take half as long as the copies.
        torch.set_grad_enabled(False)
        try:
            if torch.is_traced():
                return self._add_mixed(torch, tensors, is_hidden=True)
            for tensor in tensors:
                if (
                    type(tensor) is not plain_type
                    or tensor.dim()
                    or tensor.dtype is not dtype
                    or tensor.get_device() != index
                ):
                    return self._add_mixed(torch, tensors)
            return self._write(torch, index, dtype, tensors) or self._add_mixed(torch, tensors)
        finally:
            torch.set_grad_enabled(had_grad)

    def _add_array(self, array: Any) -> DeviceValue | int | float:
        value = self._arrays.add(array)
        return DeviceValue(value, 0) if isinstance(value, WaitingArray) else value

    def _add_mixed(
        self, torch: Torch, tensors: Sequence[Any], *, is_hidden: bool = False
    ) -> list[DeviceValue | int | float]:
        """Do the same for tensors of several devices and dtypes, or of any other kind.

        The copies are hidden from a trace, which would write the ring again each time it runs, and from a transform,
        which would keep the ring for itself.
        """
        stored: list[DeviceValue | int | float] = [0] * len(tensors)
        groups: defaultdict[tuple[int, Any], list[tuple[int, Any]]] = defaultdict(list)
        for position, tensor in enumerate(tensors):
            plain = tensor if type(tensor) is torch.Tensor else plain_tensor(tensor)
            if has_memory(torch, plain):
                groups[plain.get_device(), plain.dtype].append((position, plain))
            else:
                stored[position] = scalar_value(tensor)
        for (index, dtype), group in groups.items():
            with untransformed(torch.module) if is_hidden else nullcontext():
                values = self._write(torch, index, dtype, [plain.reshape(()) for _, plain in group])
            if values is None:
                for position, plain in group:
                    stored[position] = scalar_value(plain)
                continue
            for (position, _), value in zip(group, values, strict=True):
                stored[position] = value
        return stored

    def _write(self, torch: Torch, index: int, dtype: Any, tensors: Sequence[Any]) -> list[DeviceValue] | None:
        """Copy tensors of shape ``()``, of one device and one dtype; return None if one of them cannot be copied."""
        try:
            place = self._places[index]
        except KeyError:
            place = self._places.setdefault(index, Place(tensors[0].device))
        stream = None if place.is_capturing() else place.stream()
        values: list[DeviceValue] = []
        while True:
            with self._writing:
                if stream is None or self._is_writing:
                    values.append(self._copy(place, stream, tensors[len(values)]))
                else:
                    self._is_writing = True
                    try:
                        values += self._fill(torch, place, stream, dtype, tensors[len(values) :])
                    except RuntimeError:  # one of them is sparse, for example, or there is no memory left for a block
                        return None
                    finally:
                        self._is_writing = False
            if self._written_count - self._read_count >= self._max_on_device:
                self.read()
            if len(values) == len(tensors):
                return values

    def _fill(self, torch: Torch, place: Place, stream: int, dtype: Any, tensors: Sequence[Any]) -> list[DeviceValue]:
        """Write as many tensors as there is room for in the page of a ring; the caller holds the lock."""
        try:
            ring = place.rings[dtype, stream]
        except KeyError:
            ring = place.rings[dtype, stream] = Ring(torch, tensors[0])
        page = ring.page
        if page is None or page.used == page.block.size:
            page = ring.page = Page(self, ring, ring.take_block(tensors[0], self._max_on_device), place, stream)
            self._pages.append(page)
        start = page.used
        room = self._max_on_device - self._written_count + self._read_count
        slots = page.block.slots[start : start + min(len(tensors), room)]
        count = len(slots)
        if count > 1 and ring.is_fused:
            torch.copy_all(slots, tensors if count == len(tensors) else tensors[:count])
        else:
            for slot, tensor in zip(slots, tensors, strict=False):
                slot.copy_(tensor)
        page.used = start + count  # last: readers take what is below it
        self._written_count += count
        return [DeviceValue(page, position) for position in range(start, start + count)]

    def _copy(self, place: Place, stream: int | None, tensor: Any) -> DeviceValue:
        """Copy a tensor outside of the rings; the caller holds the lock."""
        page = Page(self, None, Block(tensor.clone().reshape(1), ()), place, stream)
        page.used = 1
        self._pages.append(page)
        self._written_count += 1
        return DeviceValue(page, 0)

    # -- reading

    def read(self, wanted: DeviceValue | None = None) -> None:
        """Read all values with one transfer per device, unless another thread has read `wanted` already."""
        with self._reading:
            if wanted is not None and not wanted.waits:
                return
            places: defaultdict[Place, list[Span]] = defaultdict(list)
            for span in self._waiting_spans():
                places[span.page.place].append(span)
            for place, spans in places.items():
                place.synchronize()
                for span, numbers in zip(spans, fetch(spans), strict=True):
                    self._settle(span, numbers)

    def _waiting_spans(self) -> list[Span]:
        """Return what waits, items of the largest size first, so that each span is aligned to its item size."""
        spans = [Span(page, len(page.numbers), page.used) for page in self._pages[:]]
        return sorted((span for span in spans if span.start < span.end), key=lambda span: -span.page.block.item_size)

    def _settle(self, span: Span, numbers: list[int | float]) -> None:
        """Take over what has been read, and free a page that is done; the caller holds the lock of readers."""
        page = span.page
        if len(page.numbers) > span.start:  # a copy that was on its way when the values were read
            return
        page.numbers += numbers
        self._read_count += len(numbers)
        if span.end == page.block.size:
            self._pages.remove(page)
            if page.ring is not None:
                page.ring.free.append(page.block)

    # -- copies for other processes

    def look(self, *, is_last: bool = False) -> None:
        """Take over values whose copy to the host is done, and send a copy of the next ones every 30 ms.

        A board calls it before it is written. It never waits for a device. It does nothing if it was called less than
        a millisecond ago, or if another thread is reading.

        Args:
            is_last: Whether to send the next copy at once, and to give it two milliseconds.
        """
        self._arrays.look()
        now = time.monotonic_ns()
        if (now < self._look_ns and not is_last) or not self._places or self._reading.locked():
            return
        if load_torch().is_traced():
            return
        with self._reading:
            self._look_ns = now + _LOOK_EVERY_NS
            places = [place for place in list(self._places.values()) if place.events is not None]
            # Another thread that captures a CUDA graph might forbid to ask for an event; nothing can tell.
            if any(place.is_capturing() for place in places):
                return
            try:
                self._land()
                for place in places:
                    self._send(place, now, is_last=is_last)
                while is_last and self._flights and time.monotonic_ns() < now + _LAST_COPY_NS:
                    self._land()
            except Exception:  # noqa: BLE001  # a training does not end because it cannot be shown
                # Values are shown once they have been read, which raises the error if the device has failed.
                self._flights.clear()
                for place in places:
                    place.events = None

    def _send(self, place: Place, now: int, *, is_last: bool) -> None:
        """Enqueue a copy of what waits on the current stream, and an event behind it."""
        lane = place, place.stream()
        if lane in self._flights or (now < self._copy_ns.get(lane, 0) and not is_last):
            return
        spans = [span for span in self._waiting_spans() if (span.page.place, span.page.stream) == lane]
        if not spans:
            return
        for page, start, end in spans:
            # Later writes of the slots come after this on the same stream.
            page.block.pinned()[start:end].copy_(page.block.memory[start:end], non_blocking=True)
        self._flights[lane] = _Flight(place.record_event(), spans)
        self._copy_ns[lane] = now + _COPY_EVERY_NS

    def _land(self) -> None:
        for lane, flight in list(self._flights.items()):
            if flight.event.query():
                del self._flights[lane]
                for span in flight.spans:
                    block = span.page.block
                    self._settle(span, numbers_of(block.pinned()[span.start : span.end], block.memory.dtype))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._max_on_device,)


def read_value(value: DeviceValue) -> int | float:
    """Return the number of a value; if it still waits, read all values of its queue."""
    if value.waits:
        value.page.queue.read(value)
    return value.page.numbers[value.index]


def read_values(entries: Sequence[Any]) -> list[int | float] | None:
    """Return the numbers of values, and read those that wait; None if one of the entries is not a `DeviceValue`."""
    while True:
        try:
            return [entry.page.numbers[entry.index] for entry in entries]
        except AttributeError:
            return None
        except IndexError:
            waiting = next(entry for entry in entries if entry.waits)
        waiting.page.queue.read(waiting)


class _Flight(NamedTuple):
    """A copy on its way to the host, and the event that tells that it has arrived."""

    event: Any
    spans: list[Span]
