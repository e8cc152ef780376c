"""Values which lie on an accelerator: taken without waiting for it, read in one batch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, cast

Pending = int | float | object
"""A Python number, or a tensor on a device that holds one."""


def copy_on_device(tensor: Any) -> Any:
    """Copy the value as it is now, without the autograd graph; the caller may overwrite its tensor at once."""
    return tensor.detach().clone()


def read_all(values: list[Pending]) -> list[int | float]:
    """Replace the tensors among the values by their numbers, with one transfer for each device and dtype.

    Source: SCALAR-10.
    """
    groups: defaultdict[tuple[object, object], list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        if not isinstance(value, int | float):
            tensor = cast("Any", value)
            groups[tensor.device, tensor.dtype].append(index)
    numbers = list(values)
    for indices in groups.values():
        import torch  # whoever gave a tensor has it; the hub itself does not need it

        stacked = torch.stack([cast("Any", values[index]).reshape(()) for index in indices])
        for index, number in zip(indices, cast("Any", stacked).tolist(), strict=True):
            numbers[index] = int(number) if isinstance(number, bool) else number
    return cast("list[int | float]", numbers)
