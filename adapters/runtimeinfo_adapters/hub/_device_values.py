"""Values which lie on an accelerator: taken without waiting for it, and read later, in one batch."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, cast

from runtimeinfo import HubError
from runtimeinfo.authoring import scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int

DEFAULT_MAX_ON_DEVICE = 16_384
"""Eight scalars an iteration wait for 2,048 iterations; CUDA gives each 512 bytes, so all of them take 8 MiB."""


class DeviceValue:
    """A value as it was at one call, which lies on a device until its queue is read.

    Attributes:
        number: The value; only there once it has been read.
    """

    __slots__ = ("_queue", "_tensor", "number")

    number: int | float

    def __init__(self, tensor: Any, queue: DeviceQueue) -> None:
        self._tensor = tensor
        self._queue = queue

    @property
    def waits(self) -> bool:
        """Whether the value still lies on its device."""
        return self._tensor is not None

    @property
    def tensor(self) -> Any:
        """The copy on the device, or None."""
        return self._tensor

    def settle(self, number: float) -> None:
        """Put the number in the place of the tensor."""
        self.number = number
        self._tensor = None

    def read(self) -> int | float:
        """Return the value; if it still waits, read all that waits with it."""
        if self._tensor is not None:
            self._queue.read(self)
        return self.number


class DeviceQueue:
    """The values of any number of histories which wait on devices, and come over together.

    A thread that adds takes no lock, unless the queue is full.

    Args:
        max_on_device: How many may wait; the one that fills the queue reads them all, and so waits for the device.

    Raises:
        HubError: If that is no positive int.

    Source: SCALAR-10.
    """

    __slots__ = ("_lock", "_max_on_device", "_waiting")

    def __init__(self, max_on_device: int = DEFAULT_MAX_ON_DEVICE) -> None:
        if not is_positive_int(max_on_device):
            raise HubError(
                f"max_on_device must be a positive int, but is {shown(max_on_device)}: leave it out, or give 1 or more"
            )
        self._max_on_device = max_on_device
        self._waiting: list[DeviceValue] = []
        self._lock = threading.Lock()

    @property
    def max_on_device(self) -> int:
        """How many values may wait."""
        return self._max_on_device

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, tensor: Any) -> DeviceValue | int | float:
        """Take the value of a tensor as it is now, and let it wait.

        What cannot be read later, since it is no memory of a known dtype, is read at once: its error belongs to
        whoever publishes it.
        """
        copy = _copy_on_device(tensor)
        if copy is None:
            return scalar_value(tensor)
        value = DeviceValue(copy, self)
        self._waiting.append(value)
        if len(self._waiting) >= self._max_on_device:
            self.read(value)
        return value

    def read(self, wanted: DeviceValue) -> None:
        """Read all that waits, with one transfer for each device; do nothing if another thread just did."""
        with self._lock:
            if not wanted.waits:
                return
            waiting = self._waiting[:]
            _read_all([value for value in waiting if value.waits])
            # Only now: should a device fail, nothing is lost. What came in meanwhile stays.
            del self._waiting[: len(waiting)]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._max_on_device,)


def _copy_on_device(tensor: Any) -> Any:
    """Copy the value as it is now, without its autograd graph; None if the copy is nothing that can be read later."""
    import torch  # whoever gave a tensor has it; the hub itself does not need it

    if type(tensor) is not torch.Tensor:
        tensor = _plain_tensor(torch, tensor)
    if tensor.layout is not torch.strided or tensor.dtype not in _readable_dtypes(torch):
        return None
    copy = tensor.detach().clone()
    try:
        copy.data_ptr()
    except RuntimeError:  # a tensor inside torch.vmap or torch.func.grad: it ends with them
        return None
    return copy if type(copy) is torch.Tensor else None


def _plain_tensor(torch: Any, tensor: Any) -> Any:
    """Return the memory behind a parameter, or a subclass: what a subclass does to its operations is not asked for."""
    detached = tensor.detach()
    if hasattr(detached, "to_local"):  # a DTensor; `is_scalar` knows that each rank has the whole value
        return detached.to_local()
    with torch._C.DisableTorchFunctionSubclass():
        return detached.as_subclass(torch.Tensor)


_READABLE = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float64", "float32", "float16", "bfloat16"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)
_dtypes: set[Any] = set()


def _readable_dtypes(torch: Any) -> set[Any]:
    """Return the dtypes whose bytes are their value; a quantised tensor has a scale beside them."""
    if not _dtypes:
        _dtypes.update(getattr(torch, name) for name in _READABLE if hasattr(torch, name))
    return _dtypes


def _read_all(values: list[DeviceValue]) -> None:
    devices: defaultdict[object, list[DeviceValue]] = defaultdict(list)
    for value in values:
        devices[value.tensor.device].append(value)
    for device, there in devices.items():
        _read_device(device, there)


def _read_device(device: Any, values: list[DeviceValue]) -> None:
    """Bring the values of one device over as bytes: exact for each dtype, and no dtype asks for its own transfer."""
    import torch

    dtypes: defaultdict[Any, list[DeviceValue]] = defaultdict(list)
    for value in values:
        dtypes[value.tensor.dtype].append(value)
    # The largest first: so each begins where its size divides the address.
    groups = sorted(dtypes.items(), key=lambda group: -cast("int", group[0].itemsize))
    _wait_for_streams(torch, device)
    # As bytes one by one: autocast, which may be on here, would convert floats before it joins them.
    tensors = [value.tensor.reshape(1).view(torch.uint8) for _, group in groups for value in group]
    fetched: Any = torch.cat(tensors).cpu()
    start = 0
    for dtype, group in groups:
        end = start + len(group) * cast("int", dtype.itemsize)
        for value, number in zip(group, fetched[start:end].view(dtype).tolist(), strict=True):
            value.settle(int(number) if isinstance(number, bool) else number)
        start = end


def _wait_for_streams(torch: Any, device: Any) -> None:
    """Let all streams of the device finish: what was copied on one must not be read too early on another."""
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and accelerator.type == device.type:
        torch.accelerator.synchronize(device)
