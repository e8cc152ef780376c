"""Values on an accelerator: copied there without waiting for it, and read later, in one batch."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, cast

from runtimeinfo import HubError
from runtimeinfo.authoring import scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int

DEFAULT_MAX_ON_DEVICE = 16_384
"""How many values wait by default: 8 scalars an iteration for 2,048 iterations. CUDA takes 512 bytes each, 8 MiB."""


class DeviceValue:
    """One value, which lies on a device until its queue is read.

    Attributes:
        number: The value; set once it has been read.
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
        """Replace the tensor by the number that was read from it."""
        self.number = number
        self._tensor = None

    def read(self) -> int | float:
        """Return the value; if it still waits, read all values of its queue."""
        if self._tensor is not None:
            self._queue.read(self)
        return self.number


class DeviceQueue:
    """The values of any number of histories that wait on devices and are read together.

    Adding a value takes no lock unless the queue is full.

    Args:
        max_on_device: How many values can wait. The one that fills the queue reads all of them, so it waits for the
            device.

    Raises:
        HubError: If `max_on_device` is not a positive int.

    Source: SCALAR-10.
    """

    __slots__ = ("_lock", "_max_on_device", "_waiting")

    def __init__(self, max_on_device: int = DEFAULT_MAX_ON_DEVICE) -> None:
        if not is_positive_int(max_on_device):
            raise HubError(
                f"max_on_device must be a positive int, but is {shown(max_on_device)}: omit it, or give 1 or more"
            )
        self._max_on_device = max_on_device
        self._waiting: list[DeviceValue] = []
        self._lock = threading.Lock()

    @property
    def max_on_device(self) -> int:
        """How many values can wait."""
        return self._max_on_device

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, tensor: Any) -> DeviceValue | int | float:
        """Copy the present value of a tensor on its device and queue it.

        A tensor without memory of a known dtype cannot be read later. It is read at once, so that an error is raised
        in the caller that publishes it.
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
        """Read all queued values with one transfer per device, unless another thread has read `wanted` already."""
        with self._lock:
            if not wanted.waits:
                return
            waiting = self._waiting[:]
            _read_all([value for value in waiting if value.waits])
            # Last, so that nothing is lost if a device fails. Values that came in meanwhile stay.
            del self._waiting[: len(waiting)]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._max_on_device,)


def _copy_on_device(tensor: Any) -> Any:
    """Copy the present value without its autograd graph; return None if the copy cannot be read later."""
    import torch  # loaded by the caller that made the tensor; the hub itself does not need it

    if type(tensor) is not torch.Tensor:
        tensor = _plain_tensor(torch, tensor)
    if tensor.layout is not torch.strided or tensor.dtype not in _readable_dtypes(torch):
        return None
    copy = tensor.detach().clone()
    try:
        copy.data_ptr()
    except RuntimeError:  # a tensor inside torch.vmap or torch.func.grad, which does not outlive them
        return None
    return copy if type(copy) is torch.Tensor and not _is_functional(torch, copy) else None


def _is_functional(torch: Any, tensor: Any) -> bool:
    """Tell whether this is a tensor of torch.func.functionalize, which does not outlive it either."""
    return bool(torch._is_functional_tensor(tensor))


def _plain_tensor(torch: Any, tensor: Any) -> Any:
    """Return the memory of a parameter or of a subclass, without the operations that the subclass overrides."""
    detached = tensor.detach()
    if hasattr(detached, "to_local"):  # a DTensor; `is_scalar` has checked that each rank has the whole value
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
    """Return the dtypes whose bytes are the value; a quantised tensor has a scale beside them."""
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
    """Read the values of one device as bytes: exact for each dtype, in one transfer for all of them."""
    import torch

    dtypes: defaultdict[Any, list[DeviceValue]] = defaultdict(list)
    for value in values:
        dtypes[value.tensor.dtype].append(value)
    # The largest first, so that each group is aligned to its item size.
    groups = sorted(dtypes.items(), key=lambda group: -cast("int", group[0].itemsize))
    _wait_for_streams(torch, device)
    # Each tensor as bytes before the concatenation: autocast, if it is on, would convert floats.
    tensors = [value.tensor.reshape(1).view(torch.uint8) for _, group in groups for value in group]
    fetched: Any = torch.cat(tensors).cpu()
    start = 0
    for dtype, group in groups:
        end = start + len(group) * cast("int", dtype.itemsize)
        for value, number in zip(group, fetched[start:end].view(dtype).tolist(), strict=True):
            value.settle(int(number) if isinstance(number, bool) else number)
        start = end


def _wait_for_streams(torch: Any, device: Any) -> None:
    """Wait for all streams of the device: a copy made on one stream must not be read too early on another."""
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and accelerator.type == device.type:
        torch.accelerator.synchronize(device)
