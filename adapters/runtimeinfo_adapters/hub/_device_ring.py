"""A ring of values on an accelerator: the blocks that it is made of, the device that it lies on, and reading it.

See docs/design/a-ring-on-the-device.md.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any, NamedTuple

from runtimeinfo_adapters._numbers import within_64_bits
from runtimeinfo_adapters.hub._transforms import is_traced

# A tensor for each slot takes about 0.5 us and 700 bytes to make. The blocks of a ring double until they have
# `_LARGEST_BLOCK` slots, so that a history that is read often stays small, and no single update makes thousands.
_FIRST_BLOCK = 64
_LARGEST_BLOCK = 1_024


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

    def __init__(self, queue: Any, ring: Ring | None, block: Block, place: Place, stream: Any) -> None:
        self.queue: Any = queue
        self.ring: Ring | None = ring
        self.block: Block = block
        self.place: Place = place
        self.stream: Any = stream
        self.used: int = 0
        self.numbers: list[int | float] = []


class Block:
    """Memory on a device, a tensor of shape ``()`` for each item of it, and a copy of it on the host."""

    __slots__ = ("_pinned", "item_size", "memory", "size", "slots")

    def __init__(self, memory: Any, slots: Sequence[Any]) -> None:
        self.memory: Any = memory
        self.slots: Sequence[Any] = slots
        self.size: int = memory.shape[0]
        self.item_size: int = memory.dtype.itemsize
        self._pinned: Any = None

    def pinned(self) -> Any:
        """Return the copy on the host, in memory to which the device copies without the host."""
        if self._pinned is None:
            self._pinned = load_torch().empty_pinned(self.size, self.memory.dtype)
        return self._pinned


class Ring:
    """The blocks of one dtype on one stream: the one that is written, and the free ones.

    A stream has its own: memory is allocated on one stream, and another could write to it too early.
    """

    __slots__ = ("_next_size", "free", "is_fused", "page")

    def __init__(self, torch: Torch, tensor: Any) -> None:
        if not has_memory(torch, tensor):
            raise RuntimeError("the tensor cannot be read later")
        self.is_fused: bool = tensor.dtype in torch.fused_dtypes
        self.page: Page | None = None
        self.free: list[Block] = []
        self._next_size = _FIRST_BLOCK

    def take_block(self, tensor: Any, largest: int) -> Block:
        """Take a free block, or make one on the device of a tensor."""
        if self.free:
            return self.free.pop()
        size = min(self._next_size, largest)
        self._next_size = min(2 * size, _LARGEST_BLOCK)
        # A tensor made in inference mode could not be written outside of it.
        with load_torch().inference_mode(False):
            memory = tensor.new_empty((size,))
            return Block(memory, memory.unbind())


class Span(NamedTuple):
    """Slots of a page, from `start` to before `end`."""

    page: Page
    start: int
    end: int


class Place:
    """One device, as a queue needs it.

    Attributes:
        rings: The rings on it, by dtype and stream.
        stream: Return a number for the current stream.
        is_capturing: Return whether operations enqueued now are captured in a graph, and repeated at each replay.
        events: The module of PyTorch that makes events for the device, or None if there is none.
    """

    __slots__ = ("_device", "events", "is_capturing", "rings", "stream")

    def __init__(self, device: Any) -> None:
        torch = load_torch().module
        self._device = device
        self.rings: dict[tuple[Any, int], Ring] = {}
        self.stream: Callable[[], int] = _first_stream
        self.is_capturing: Callable[[], bool] = _never
        self.events: Any = None
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None and accelerator.type == device.type:
            module = torch.get_device_module(device)
            raw_stream = getattr(torch._C, "_cuda_getCurrentRawStream", None)
            if device.type == "cuda" and raw_stream is not None:
                self.stream = partial(raw_stream, device.index)  # the public way makes an object each time
            else:
                with suppress(Exception):  # a device with a single stream might not know the question
                    torch.accelerator.current_stream(device)
                    self.stream = lambda: torch.accelerator.current_stream(device).stream_id
            self.is_capturing = getattr(module, "is_current_stream_capturing", _never)
            if hasattr(module, "Event") and hasattr(module, "current_stream"):
                self.events = module

    def record_event(self) -> Any:
        """Return an event after everything enqueued on the current stream."""
        event = self.events.Event()
        event.record(self.events.current_stream(self._device))
        return event

    def synchronize(self) -> None:
        """Wait for all streams: a copy made on one stream must not be read too early on another."""
        torch = load_torch().module
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None and accelerator.type == self._device.type:
            torch.accelerator.synchronize(self._device)


class Torch:
    """What each update needs of PyTorch. The hub itself can do without it: code that has a tensor has loaded it."""

    def __init__(self) -> None:
        torch: Any = importlib.import_module("torch")
        self.module: Any = torch
        self.is_traced: Callable[[], bool] = partial(is_traced, torch._C)
        self.Tensor: Any = torch.Tensor
        self.strided: Any = torch.strided
        self.is_grad_enabled: Callable[[], bool] = torch.is_grad_enabled
        self.set_grad_enabled: Callable[[bool], None] = torch._C._set_grad_enabled
        self.inference_mode: Any = torch.inference_mode
        self.is_functional: Callable[[Any], bool] = torch._is_functional_tensor
        self.copy_all: Callable[[Any, Any], Any] = torch._foreach_copy_
        # A quantised tensor has a scale in addition to its bytes.
        self.readable_dtypes: set[Any] = {getattr(torch, name) for name in _READABLE if hasattr(torch, name)}
        self.fused_dtypes: set[Any] = {getattr(torch, name) for name in _FUSED}

    def empty_pinned(self, size: int, dtype: Any) -> Any:
        """Return memory of the host to which a device can copy while the host continues."""
        with self.inference_mode(False):
            return self.module.empty(size, dtype=dtype, device="cpu", pin_memory=True)


load_torch = cache(Torch)

# The dtypes for which each version of PyTorch has a fused copy on CUDA.
_FUSED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float64", "float32", "float16", "bfloat16")
_READABLE = (
    *_FUSED,
    *("uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)


def has_memory(torch: Torch, tensor: Any) -> bool:
    """Return whether the bytes of a tensor are its value, and stay when the call ends."""
    if tensor.layout is not torch.strided or tensor.dtype not in torch.readable_dtypes:
        return False
    try:
        tensor.data_ptr()
    except RuntimeError:  # a tensor inside torch.vmap or torch.func.grad, which does not outlive them
        return False
    return not torch.is_functional(tensor)  # nor does one of torch.func.functionalize


def plain_tensor(tensor: Any) -> Any:
    """Return the memory of a parameter or of a subclass, without the operations that the subclass overrides."""
    torch = load_torch().module
    detached = tensor.detach()
    if hasattr(detached, "to_local"):  # a DTensor; `is_scalar` has checked that each rank has the whole value
        return detached.to_local()
    with torch._C.DisableTorchFunctionSubclass():
        return detached.as_subclass(torch.Tensor)


def fetch(spans: Sequence[Span]) -> list[list[int | float]]:
    """Read the spans of one device as bytes: exact for each dtype, in one transfer for all of them."""
    torch = load_torch().module
    # Bytes before the concatenation: autocast, if it is on, would convert floats.
    parts = [page.block.memory[start:end].view(torch.uint8) for page, start, end in spans]
    fetched: Any = (torch.cat(parts) if len(parts) > 1 else parts[0]).cpu()
    numbers: list[list[int | float]] = []
    first = 0
    for page, start, end in spans:
        last = first + (end - start) * page.block.item_size
        dtype = page.block.memory.dtype
        numbers.append(numbers_of(fetched[first:last].view(dtype), dtype))
        first = last
    return numbers


def numbers_of(values: Any, dtype: Any) -> list[int | float]:
    """Return a tensor on the host as numbers: a bool as 0 or 1, an integer beyond 64 bits as a float."""
    torch = load_torch().module
    numbers: list[int | float] = (values.view(torch.uint8) if dtype is torch.bool else values).tolist()
    return [within_64_bits(number) for number in numbers] if dtype in (torch.int64, torch.uint64) else numbers


def _never() -> bool:
    return False


def _first_stream() -> int:
    return 0
