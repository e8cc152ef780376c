"""What the hook publishes of a value: a number, as a rule."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from runtimeinfo._scalar import is_scalar, lies_on_device, scalar_value


def _of_any(value: Any) -> Any:
    """Return a scalar as a Python number, which every hub takes; one on an accelerator as it is, to be read later.

    None for what is no scalar.
    """
    if not is_scalar(value):
        return None
    return value if lies_on_device(value) else scalar_value(value)


def _of_tensor(tensor: Any) -> Any:
    """Do the same for a `torch.Tensor`. Nearly every loss is one, so this takes as few calls into it as can be."""
    if tensor.is_cpu:
        try:
            number = tensor.item()
        except RuntimeError:  # of several values, or none; `numel` would be another call
            return _of_any(tensor)
        if type(number) is float:  # so its dtype, which is another call, is known to be real
            return number
    return _of_any(tensor)


class _ScalarOf(dict[type, Callable[[Any], Any]]):
    """How to get a scalar out of a value, by the type of the value."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        torch: Any = sys.modules.get("torch")  # whoever has a tensor has loaded it
        is_tensor = torch is not None and kind is torch.Tensor
        scalar_of = self[kind] = _of_tensor if is_tensor else _of_any
        return scalar_of


SCALAR_OF = _ScalarOf()
"""A function for each type: it returns what to publish of a value, or None if that is no scalar."""
