"""Values on an accelerator: copied into a ring there without waiting, and read later, in one transfer.

See docs/design/a-ring-on-the-device.md.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, partial
from typing import Any, NamedTuple, Protocol

from runtimeinfo import HubError
from runtimeinfo.authoring import scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int, within_64_bits
from runtimeinfo_adapters.hub._transforms import is_traced, untransformed

DEFAULT_MAX_ON_DEVICE = 16_384
"""How many values wait by default: 8 scalars an iteration for 2,048 iterations."""

# A tensor for each slot takes about 0.5 us and 700 bytes to make. The blocks of a ring double until they have
# `_LARGEST_BLOCK` slots, so that a history that is read often stays small, and no single update makes thousands.
_FIRST_BLOCK = 64
_LARGEST_BLOCK = 1_024

_COPY_EVERY_NS = 50_000_000
"""The time between two copies of new values to the host, for processes that look on."""

_LOOK_EVERY_NS = 1_000_000
"""The time between two looks at whether such a copy is done."""

_LAST_COPY_NS = 2_000_000
"""How long the end of a run lets its last copy take: it is done at once if the device has nothing else to do."""


class HasBoard(Protocol):
    """What tells whether other processes look on."""

    @property
    def board(self) -> object | None:
        """The board that they read, or None."""
        ...


class DeviceValue:
    """One value, which waits on a device until its page is read.

    Attributes:
        page: The page that it was written to.
        index: Its slot there.
    """

    __slots__ = ("index", "page")

    def __init__(self, page: Page, index: int) -> None:
        self.page = page
        self.index = index

    @property
    def waits(self) -> bool:
        """Whether the value still lies on its device."""
        return self.index >= len(self.page.numbers)


class DeviceQueue:
    """The values of any number of histories that wait on devices and are read together.

    Each dtype on each stream has a ring on the device. Values of one event that share a ring are written by one
    launch. A slot is written again only after its value has come over. A value takes a copy instead of a slot where
    the ring must not be written: while a CUDA graph is captured, which would write the slot at each replay, and in a
    signal handler that interrupts a write.

    Args:
        max_on_device: How many values can wait. The one that fills the queue reads all of them, so it waits for the
            device.

    Raises:
        HubError: If `max_on_device` is not a positive int.

    Source: SCALAR-10.
    """

    __slots__ = (
        *("_flights", "_is_writing", "_look_ns", "_max_on_device", "_pages", "_places"),
        *("_read_count", "_reading", "_rings", "_sharing", "_written_count", "_writing", "__weakref__"),
    )

    def __init__(self, max_on_device: int = DEFAULT_MAX_ON_DEVICE) -> None:
        if not is_positive_int(max_on_device):
            raise HubError(
                f"max_on_device must be a positive int, but is {shown(max_on_device)}: omit it, or give 1 or more"
            )
        self._max_on_device = max_on_device
        self._places: dict[int, _Place] = {}  # by the index of the device
        self._rings: dict[tuple[int, Any, int], _Ring] = {}  # by the device, the dtype and the stream
        self._pages: list[Page] = []  # those that are written, and those with values that wait
        self._written_count = 0
        self._read_count = 0
        # A writer holds it while it enqueues, so it never waits for a device. Re-entrant for a signal handler, which
        # `_is_writing` tells that it has interrupted a write.
        self._writing = threading.RLock()
        self._is_writing = False
        # Held while values are read, which can take as long as the device does.
        self._reading = threading.Lock()
        self._sharing: Callable[[], HasBoard | None] = _nothing
        self._flights: dict[tuple[_Place, int], _Flight] = {}
        self._look_ns = 0

    @property
    def max_on_device(self) -> int:
        """How many values can wait."""
        return self._max_on_device

    def __len__(self) -> int:
        return self._written_count - self._read_count

    # -- writing

    def add(self, tensor: Any) -> DeviceValue | int | float:
        """Copy the present value of a tensor on its device; see `add_all`."""
        return self.add_all((tensor,))[0]

    def add_all(self, tensors: Sequence[Any]) -> Sequence[DeviceValue | int | float]:
        """Copy the present values of scalar tensors, of which there must be one, on their devices.

        A tensor without memory of a known dtype cannot be read later. It is read at once, so that an error is raised
        in the caller that publishes it.
        """
        torch = _torch()
        dtype, index, plain_type = tensors[0].dtype, tensors[0].get_device(), torch.Tensor
        had_grad = torch.is_grad_enabled()
        # The context manager, `torch.no_grad`, would take half as long as the copies.
        torch.set_grad_enabled(False)
        try:
            if is_traced(torch.core):
                return self._add_mixed(torch, tensors, is_hidden=True)
            for tensor in tensors:
                if (
                    type(tensor) is not plain_type
                    or tensor.dim()
                    or tensor.dtype is not dtype
                    or tensor.get_device() != index
                ):
                    return self._add_mixed(torch, tensors)
            try:
                return self._write(torch, index, dtype, tensors)
            except RuntimeError:  # one of them is sparse, for example, or there is no memory left for the ring
                return self._add_mixed(torch, tensors)
        finally:
            torch.set_grad_enabled(had_grad)

    def _add_mixed(
        self, torch: _Torch, tensors: Sequence[Any], *, is_hidden: bool = False
    ) -> list[DeviceValue | int | float]:
        """Do the same for tensors of several devices and dtypes, or of any other kind.

        The copies are hidden from a trace, which would write the ring again each time it runs, and from a transform,
        which would keep the ring for itself.
        """
        stored: list[DeviceValue | int | float] = [0] * len(tensors)
        groups: defaultdict[tuple[int, Any], list[tuple[int, Any]]] = defaultdict(list)
        for position, tensor in enumerate(tensors):
            plain = tensor if type(tensor) is torch.Tensor else _plain_tensor(tensor)
            if _has_memory(torch, plain):
                groups[plain.get_device(), plain.dtype].append((position, plain))
            else:
                stored[position] = scalar_value(tensor)
        for (index, dtype), group in groups.items():
            try:
                with untransformed(torch.module) if is_hidden else nullcontext():
                    copied = [plain.reshape(()) for _, plain in group]
                    values: Sequence[DeviceValue | int | float] = self._write(torch, index, dtype, copied)
            except RuntimeError:
                values = [scalar_value(plain) for _, plain in group]
            for (position, _), value in zip(group, values, strict=True):
                stored[position] = value
        return stored

    def _write(self, torch: _Torch, index: int, dtype: Any, tensors: Sequence[Any]) -> list[DeviceValue]:
        """Copy tensors of shape ``()``, of one device and one dtype."""
        try:
            place = self._places[index]
        except KeyError:
            place = self._places.setdefault(index, _Place(tensors[0].device))
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
                    finally:
                        self._is_writing = False
            if self._written_count - self._read_count >= self._max_on_device:
                self.read()
            if len(values) == len(tensors):
                break
        sharing = self._sharing()
        if sharing is not None and sharing.board is not None:
            self.look()
        return values

    def _fill(self, torch: _Torch, place: _Place, stream: int, dtype: Any, tensors: Sequence[Any]) -> list[DeviceValue]:
        """Write as many tensors as there is room for in the page of a ring; the caller holds the lock."""
        try:
            ring = self._rings[place.index, dtype, stream]
        except KeyError:
            ring = self._rings[place.index, dtype, stream] = _Ring(torch, tensors[0])
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

    def _copy(self, place: _Place, stream: int | None, tensor: Any) -> DeviceValue:
        """Copy a tensor outside of the rings; the caller holds the lock."""
        page = Page(self, None, _Block(tensor.clone().reshape(1), ()), place, stream)
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
            places: defaultdict[_Place, list[_Span]] = defaultdict(list)
            for span in self._waiting_spans():
                places[span.page.place].append(span)
            for place, spans in places.items():
                place.synchronize()
                for span, numbers in zip(spans, _fetch(spans), strict=True):
                    self._settle(span, numbers)
                for lane in [lane for lane in self._flights if lane[0] is place]:
                    del self._flights[lane]  # it has landed, and brings nothing new

    def _waiting_spans(self) -> list[_Span]:
        """Return what waits, items of the largest size first, so that each span is aligned to its item size."""
        spans = [_Span(page, len(page.numbers), page.used) for page in self._pages[:]]
        return sorted((span for span in spans if span.start < span.end), key=lambda span: -span.page.block.item_size)

    def _settle(self, span: _Span, numbers: list[int | float]) -> None:
        """Take over what has been read, and free a page that is done; the caller holds the lock of readers."""
        page = span.page
        if len(page.numbers) > span.start:  # it was read while this copy was on its way
            return
        page.numbers += numbers
        self._read_count += len(numbers)
        if span.end == page.block.size:
            self._pages.remove(page)
            if page.ring is not None:
                page.ring.free.append(page.block)

    # -- copies for other processes

    def watch(self, sharing: HasBoard) -> None:
        """Bring new values over while there is a board. The owner of the board is held weakly."""
        self._sharing = weakref.ref(sharing)

    def look(self, *, is_last: bool = False) -> None:
        """Take over values whose copy to the host is done, and send the next ones; it never waits for a device.

        It does nothing if it was called less than a millisecond ago, or if another thread is reading.

        Args:
            is_last: Whether to send the next copy at once, and to give it two milliseconds.
        """
        now = time.monotonic_ns()
        if (now < self._look_ns and not is_last) or self._reading.locked():
            return
        with self._reading:
            places = [place for place in list(self._places.values()) if place.events is not None]
            # Another thread that records a CUDA graph may forbid to ask for an event; nothing can tell.
            if any(place.is_capturing() for place in places):
                return
            self._land()
            for place in places:
                self._send(place, now, is_last=is_last)
            deadline = now + _LAST_COPY_NS
            while is_last and self._flights and time.monotonic_ns() < deadline:
                self._land()
            self._look_ns = now + _LOOK_EVERY_NS

    def _send(self, place: _Place, now: int, *, is_last: bool) -> None:
        """Enqueue a copy of what waits on the current stream behind it, and an event behind the copy."""
        stream = place.stream()
        if (place, stream) in self._flights or (now < place.copy_ns and not is_last):
            return
        spans = [span for span in self._waiting_spans() if span.page.place is place and span.page.stream == stream]
        if not spans:
            return
        for page, start, end in spans:
            # The slots are not written before the copy: that would come later on the same stream.
            page.block.pinned()[start:end].copy_(page.block.memory[start:end], non_blocking=True)
        self._flights[place, stream] = _Flight(place.record_event(), spans)
        place.copy_ns = now + _COPY_EVERY_NS

    def _land(self) -> None:
        for lane, flight in list(self._flights.items()):
            if flight.event.query():
                del self._flights[lane]
                for span in flight.spans:
                    block = span.page.block
                    self._settle(span, _numbers(block.pinned()[span.start : span.end], block.memory.dtype))

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


class Page:
    """One pass over a block, from its first slot to its last.

    Attributes:
        queue: The queue that it belongs to.
        ring: The ring that gets the block back, or None for a copy outside of the rings.
        place: The device.
        stream: The stream on which it is written; None if a graph or a trace does.
        used: How many slots are written.
        numbers: What has been read of them.
    """

    __slots__ = ("block", "numbers", "place", "queue", "ring", "stream", "used")

    def __init__(self, queue: DeviceQueue, ring: _Ring | None, block: _Block, place: _Place, stream: Any) -> None:
        self.queue = queue
        self.ring = ring
        self.block = block
        self.place = place
        self.stream = stream
        self.used = 0
        self.numbers: list[int | float] = []


class _Block:
    """Memory on a device, a tensor of shape ``()`` for each item of it, and a copy of it on the host."""

    __slots__ = ("_pinned", "item_size", "memory", "size", "slots")

    def __init__(self, memory: Any, slots: Sequence[Any]) -> None:
        self.memory = memory
        self.slots = slots
        self.size: int = memory.shape[0]
        self.item_size: int = memory.dtype.itemsize
        self._pinned: Any = None

    def pinned(self) -> Any:
        """Return the copy on the host, in memory to which the device copies without the host."""
        if self._pinned is None:
            self._pinned = _torch().empty_pinned(self.size, self.memory.dtype)
        return self._pinned


class _Ring:
    """The blocks of one dtype on one stream: the one that is written, and the free ones.

    A stream has its own: memory is allocated on one stream, and another could write to it too early.
    """

    __slots__ = ("_next_size", "free", "is_fused", "page")

    def __init__(self, torch: _Torch, tensor: Any) -> None:
        if not _has_memory(torch, tensor):
            raise RuntimeError("the tensor cannot be read later")
        self.is_fused = tensor.dtype in torch.fused_dtypes
        self.page: Page | None = None
        self.free: list[_Block] = []
        self._next_size = _FIRST_BLOCK

    def take_block(self, tensor: Any, largest: int) -> _Block:
        """Take a free block, or make one on the device of a tensor."""
        if self.free:
            return self.free.pop()
        size = min(self._next_size, largest)
        self._next_size = min(2 * size, _LARGEST_BLOCK)
        # A tensor made in inference mode could not be written outside of it.
        with _torch().inference_mode(False):
            memory = tensor.new_empty((size,))
            return _Block(memory, memory.unbind())


class _Span(NamedTuple):
    """Slots of a page, from `start` to before `end`."""

    page: Page
    start: int
    end: int


class _Flight(NamedTuple):
    """A copy on its way to the host, and the event that tells that it has arrived."""

    event: Any
    spans: list[_Span]


class _Place:
    """One device, as a queue needs it.

    Attributes:
        index: Its number.
        stream: Return a number for the current stream.
        is_capturing: Tell whether what is enqueued now is captured in a graph, to be done again at each replay.
        events: The module of PyTorch that makes events for the device, or None if there is none.
        copy_ns: When the next copy to the host is due.
    """

    __slots__ = ("_device", "copy_ns", "events", "index", "is_capturing", "stream")

    def __init__(self, device: Any) -> None:
        import torch

        self._device = device
        self.index: int = -1 if device.index is None else device.index
        self.stream: Callable[[], int] = _first_stream
        self.is_capturing: Callable[[], bool] = _never
        self.events: Any = None
        self.copy_ns = 0
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None and accelerator.type == device.type:
            module: Any = torch.get_device_module(device)
            raw_stream = getattr(torch._C, "_cuda_getCurrentRawStream", None)
            if device.type == "cuda" and raw_stream is not None:
                self.stream = partial(raw_stream, device.index)  # the public way makes an object each time
            else:
                self.stream = lambda: torch.accelerator.current_stream(device).stream_id
            self.is_capturing = getattr(module, "is_current_stream_capturing", _never)
            self.events = module if hasattr(module, "Event") else None

    def record_event(self) -> Any:
        """Return an event behind all that was enqueued on the current stream."""
        event = self.events.Event()
        event.record(self.events.current_stream(self._device))
        return event

    def synchronize(self) -> None:
        """Wait for all streams: a copy made on one stream must not be read too early on another."""
        import torch

        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None and accelerator.type == self._device.type:
            torch.accelerator.synchronize(self._device)


class _Torch:
    """What each update needs of PyTorch. The hub itself can do without it: code that has a tensor has loaded it."""

    def __init__(self) -> None:
        import torch

        self.module: Any = torch
        self.core: Any = torch._C
        self.Tensor = torch.Tensor
        self.strided = torch.strided
        self.is_grad_enabled = torch.is_grad_enabled
        self.set_grad_enabled: Callable[[bool], None] = torch._C._set_grad_enabled
        self.inference_mode = torch.inference_mode
        self.is_functional: Callable[[Any], bool] = torch._is_functional_tensor
        self.copy_all: Callable[[Any, Any], Any] = torch._foreach_copy_
        # A quantised tensor has a scale beside its bytes.
        self.readable_dtypes = {getattr(torch, name) for name in _READABLE if hasattr(torch, name)}
        self.fused_dtypes = {getattr(torch, name) for name in _FUSED}

    def empty_pinned(self, size: int, dtype: Any) -> Any:
        import torch

        with torch.inference_mode(False):
            return torch.empty(size, dtype=dtype, pin_memory=True)


_torch = cache(_Torch)

# The dtypes for which each version of PyTorch has a fused copy on CUDA.
_FUSED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float64", "float32", "float16", "bfloat16")
_READABLE = (
    *_FUSED,
    *("uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)


def _has_memory(torch: _Torch, tensor: Any) -> bool:
    """Tell whether the bytes of a tensor are its value, and stay when the call ends."""
    if tensor.layout is not torch.strided or tensor.dtype not in torch.readable_dtypes:
        return False
    try:
        tensor.data_ptr()
    except RuntimeError:  # a tensor inside torch.vmap or torch.func.grad, which does not outlive them
        return False
    return not torch.is_functional(tensor)  # nor does one of torch.func.functionalize


def _plain_tensor(tensor: Any) -> Any:
    """Return the memory of a parameter or of a subclass, without the operations that the subclass overrides."""
    import torch

    detached = tensor.detach()
    if hasattr(detached, "to_local"):  # a DTensor; `is_scalar` has checked that each rank has the whole value
        return detached.to_local()
    with torch._C.DisableTorchFunctionSubclass():
        return detached.as_subclass(torch.Tensor)


def _fetch(spans: Sequence[_Span]) -> list[list[int | float]]:
    """Read the spans of one device as bytes: exact for each dtype, in one transfer for all of them."""
    import torch

    # Bytes before the concatenation: autocast, if it is on, would convert floats.
    parts = [page.block.memory[start:end].view(torch.uint8) for page, start, end in spans]
    fetched: Any = (torch.cat(parts) if len(parts) > 1 else parts[0]).cpu()
    numbers: list[list[int | float]] = []
    first = 0
    for page, start, end in spans:
        last = first + (end - start) * page.block.item_size
        dtype = page.block.memory.dtype
        numbers.append(_numbers(fetched[first:last].view(dtype), dtype))
        first = last
    return numbers


def _numbers(values: Any, dtype: Any) -> list[int | float]:
    """Return a tensor on the host as numbers: a bool as 0 or 1, an integer beyond 64 bits as a float."""
    import torch

    numbers: list[int | float] = (values.view(torch.uint8) if dtype is torch.bool else values).tolist()
    return [within_64_bits(number) for number in numbers] if dtype in (torch.int64, torch.uint64) else numbers


def _nothing() -> None:
    return None


def _never() -> bool:
    return False


def _first_stream() -> int:
    return 0
