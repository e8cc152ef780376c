"""Infos as tensors, for code that cannot read a Python number: compiled code, or a CUDA graph."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from runtimeinfo import HubError
from runtimeinfo.authoring import describe, is_scalar, lies_on_device, scalar_value
from runtimeinfo_adapters.hub._transforms import is_transformed, untransformed

if TYPE_CHECKING:
    import torch


class TensorViews:
    """The tensors that show the infos of a hub.

    Args:
        infos: The dictionary in which the hub keeps its infos.
    """

    __slots__ = ("_asked", "_infos", "_lock", "_views")

    def __init__(self, infos: Mapping[str, Any]) -> None:
        self._infos = infos
        self._views: dict[str, list[_View]] = {}
        self._asked: dict[tuple[str, Any, Any], torch.Tensor] = {}
        self._lock = threading.Lock()

    def get(self, key: str, dtype: torch.dtype | None, device: Any) -> torch.Tensor:
        """Return the tensor of a key; create it if there is none of this dtype on this device."""
        try:
            return self._asked[key, dtype, device]
        except KeyError:
            tensor = self._find_or_make(key, dtype, device)
            self.refresh(key)
            return self._asked.setdefault((key, dtype, device), tensor)

    def check(self, key: str, value: Any) -> None:
        """Raise if a view cannot show the value that is about to be published.

        Raises:
            HubError: Naming the key.
        """
        for view in self._views.get(key, ()):
            view.number(value)

    def refresh(self, key: str) -> None:
        """Write the present info into its tensors.

        The info is looked up under the lock: of two threads that publish, the last one to write a tensor writes the
        value that was published last.
        """
        views = self._views.get(key)
        if views is not None:
            with self._lock:
                value = self._infos.get(key)
                for view in views:
                    view.write(value)

    def refresh_all(self) -> None:
        """Write each present info into its tensors."""
        for key in tuple(self._views):
            self.refresh(key)

    def _find_or_make(self, key: str, dtype: torch.dtype | None, device: Any) -> torch.Tensor:
        import torch

        made = _View(key, torch.int64 if dtype is None else dtype, device)
        made.number(self._infos.get(key))
        with self._lock:
            views = self._views.setdefault(key, [])
            for view in views:
                # Compare the tensors, not the arguments: "cuda" and "cuda:0" can be one device.
                if (view.tensor.dtype, view.tensor.device) == (made.tensor.dtype, made.tensor.device):
                    return view.tensor
            views.append(made)
        return made.tensor


class _View:
    """One tensor, and the range of numbers that it can hold.

    Raises:
        HubError: If the dtype has no value for "unknown".
    """

    __slots__ = ("_dtype", "_highest", "_is_float", "_key", "_lowest", "_torch", "_unknown", "tensor")

    def __init__(self, key: str, dtype: torch.dtype, device: Any) -> None:
        import torch

        if not isinstance(dtype, torch.dtype) or dtype.is_complex or not (dtype.is_floating_point or dtype.is_signed):
            raise HubError(
                f"a tensor view of {key!r} must be of a signed integer or a float dtype, not {dtype}: "
                "omit it for int64",
                key=key,
            )
        self._key = key
        self._dtype = dtype
        self._is_float = dtype.is_floating_point
        limits = torch.finfo(dtype) if self._is_float else torch.iinfo(dtype)
        self._lowest, self._highest = limits.min, limits.max
        self._unknown = float("nan") if self._is_float else -1
        self._torch: Any = torch
        # The first to ask can be a forward that is exported, or mapped by torch.func. A tensor that a tracer or a
        # transform makes cannot be used afterwards; one that is made in inference mode cannot be written outside of it.
        hidden = untransformed(self._torch) if is_transformed(self._torch._C) else nullcontext()
        with torch.inference_mode(False), hidden:
            self.tensor = torch.full((), self._unknown, dtype=dtype, device=device)

    def write(self, value: Any) -> None:
        """Write an info into the tensor."""
        number = self.number(value)
        # Not through `.data`: autograd must detect a backward that comes too late.
        if not is_transformed(self._torch._C):
            self.tensor.fill_(number)
        else:
            with untransformed(self._torch):
                self.tensor.fill_(number)

    def number(self, value: Any) -> int | float:
        """Return an info as a number that the tensor can hold.

        Raises:
            HubError: If the info is not such a number.
        """
        if value is None:
            return self._unknown
        if type(value) is not int:
            if not is_scalar(value) or lies_on_device(value):
                raise HubError(
                    f"info {self._key!r} has or gets a tensor view and must be a number or None, but is "
                    f"{describe(value)}; publish it under another key",
                    key=self._key,
                )
            value = scalar_value(value)
        number: int | float = value
        in_range = self._lowest <= number <= self._highest or not math.isfinite(number)
        if in_range and (self._is_float or isinstance(number, int)):
            return number
        raise HubError(
            f"info {self._key!r} is {number!r}, which its tensor view of {self._dtype} cannot hold; "
            f"ask for hub.tensor({self._key!r}, dtype=...) of another dtype",
            key=self._key,
        )
