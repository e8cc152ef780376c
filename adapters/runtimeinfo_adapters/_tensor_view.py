"""Infos as tensors, for code that may not read a Python number: compiled, or in a CUDA graph."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtimeinfo import HubError, describe, is_scalar, lies_on_device, scalar_value

if TYPE_CHECKING:
    import torch


class TensorViews:
    """The tensors that show the infos of a hub.

    Args:
        infos: The hub's infos, as they change.
    """

    __slots__ = ("_asked", "_infos", "_lock", "_views")

    def __init__(self, infos: Mapping[str, Any]) -> None:
        self._infos = infos
        self._views: dict[str, list[torch.Tensor]] = {}
        self._asked: dict[tuple[str, Any, Any], torch.Tensor] = {}
        self._lock = threading.Lock()

    def get(self, key: str, dtype: torch.dtype | None, device: Any) -> torch.Tensor:
        """Return the tensor of a key; make it if there is none of this dtype on this device."""
        try:
            return self._asked[key, dtype, device]
        except KeyError:
            view = self._find_or_make(key, dtype, device)
            self.refresh(key)
            return self._asked.setdefault((key, dtype, device), view)

    def check(self, key: str, value: Any) -> None:
        """Raise if a view cannot show what is about to be published.

        Raises:
            HubError: Naming the key.
        """
        for view in self._views.get(key, ()):
            _number(key, value, view.dtype)

    def refresh(self, key: str) -> None:
        """Write the info that the hub has now into its tensors.

        It is looked up under the lock: of two threads that publish, the last one to write a tensor writes what was
        published last.
        """
        views = self._views.get(key)
        if views is None:
            return
        import torch

        with self._lock, torch.no_grad():
            value = self._infos.get(key)
            for view in views:
                view.fill_(_number(key, value, view.dtype))

    def refresh_all(self) -> None:
        """Do so for each info."""
        for key in tuple(self._views):
            self.refresh(key)

    def _find_or_make(self, key: str, dtype: torch.dtype | None, device: Any) -> torch.Tensor:
        import torch

        dtype = torch.int64 if dtype is None else dtype
        _number(key, self._infos.get(key), dtype)
        # A tensor made in inference mode could never be written to outside of it, nor take part in a loss.
        with torch.inference_mode(False):
            made = torch.full((), _unknown(key, dtype), dtype=dtype, device=device)
        with self._lock:
            views = self._views.setdefault(key, [])
            for view in views:
                if (view.dtype, view.device) == (made.dtype, made.device):  # "cuda" and "cuda:0" may be one device
                    return view
            views.append(made)
        return made


def _unknown(key: str, dtype: torch.dtype) -> int | float:
    """Return what stands for "not known": -1, or NaN."""
    import torch

    if not isinstance(dtype, torch.dtype) or dtype.is_complex or not (dtype.is_floating_point or dtype.is_signed):
        raise HubError(f"a tensor view of {key!r} must be of a signed integer or a float dtype, not {dtype}", key=key)
    return float("nan") if dtype.is_floating_point else -1


def _number(key: str, value: Any, dtype: torch.dtype) -> int | float:
    """Return an info as a number which the dtype can hold."""
    import torch

    if value is None:
        return _unknown(key, dtype)
    if not is_scalar(value) or lies_on_device(value):
        raise HubError(
            f"info {key!r} has a tensor view, or shall have one, and must be a number or None, but is "
            f"{describe(value)}; publish it under another key",
            key=key,
        )
    number = scalar_value(value)
    if dtype.is_floating_point:
        if not math.isfinite(number) or abs(number) <= torch.finfo(dtype).max:
            return number
    elif isinstance(number, int) and torch.iinfo(dtype).min <= number <= torch.iinfo(dtype).max:
        return number
    raise HubError(
        f"info {key!r} is {number!r}, which its tensor view of {dtype} cannot hold; "
        f"ask for hub.tensor({key!r}, dtype=...) of another dtype",
        key=key,
    )
