"""Plain data: what a checkpoint can hold without pickling a class.

None, bool, int, float, str, PyTorch tensors, and dict, list and tuple of these. NumPy's arrays are written as
plain data too, and come back as arrays; its scalars come back as Python's. Everything else is not plain. Bytes
neither: `torch.load` refuses b"" when it loads weights only, and JSON refuses them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

# Each with what makes exactly it out of an instance of a subclass: `str()` of an enum would be its name.
# In this order: a bool is an int.
_ATOMS: dict[type, Callable[[Any], Any]] = {bool: bool, int: int, float: float, str: str.__str__}
_ARRAY_KINDS = "biufcU"
_ARRAY_TAG = "__ndarray__"


class NotPlainError(Exception):
    """A value is not plain; the message tells where it lies in the whole, and what it is."""


def to_plain(value: Any) -> Any:
    """Return a deep copy as plain data.

    Raises:
        NotPlainError: If any part is not plain.

    Example:
        >>> to_plain({"classes": ("cat", "dog"), "scale": np.float32(0.5)})
        {'classes': ('cat', 'dog'), 'scale': 0.5}

    Source: HUB-11.
    """
    try:
        return _to_plain(value, "")
    except RecursionError:
        raise NotPlainError("it is nested too deeply, or holds itself") from None


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given, as a deep copy.

    Raises:
        NotPlainError: If it is not plain data.

    Source: HUB-11.
    """
    try:
        return _from_plain(value)
    except RecursionError:
        raise NotPlainError("it is nested too deeply, or holds itself") from None


def numbers_to_plain(array: np.ndarray[Any, Any]) -> Any:
    """Return an array as a tensor where PyTorch is loaded, otherwise as a list.

    A process without PyTorch cannot `torch.save` anyway; and JSON, which can hold no tensor, takes its `tolist()`.
    """
    torch = sys.modules.get("torch")
    native = array.astype(array.dtype.newbyteorder("="))
    return native.tolist() if torch is None else torch.from_numpy(native)


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        if _ARRAY_TAG in mapping:
            return _array_from_plain(mapping)
        return {key: _from_plain(item) for key, item in mapping.items()}
    if isinstance(value, list | tuple):
        items = [_from_plain(item) for item in cast("list[Any]", value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.generic | np.ndarray):  # a state of mmengine's has them as they are
        return cast("Any", value).copy()
    return _to_plain(value, "")


def _to_plain(value: Any, path: str) -> Any:
    if value is None:
        return None
    for atom, exactly in _ATOMS.items():
        if isinstance(value, atom):
            # A subclass (an enum, numpy.float64) is written as what it is at heart.
            return exactly(value)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_key(key, path): _to_plain(item, f"{path}[{key!r}]") for key, item in mapping.items()}
    if isinstance(value, list | tuple):
        items = [_to_plain(item, f"{path}[{index}]") for index, item in enumerate(cast("list[Any]", value))]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.generic | np.ndarray):
        return _array_to_plain(cast("Any", value), path)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and not value.is_meta:
        detached = value.detach()
        if type(detached) is torch.Tensor:  # a Parameter is one by now; any other subclass is a class to pickle
            return detached.cpu().clone()
    raise NotPlainError(f"{path or 'it'} is {_article(type(value).__qualname__)}")


def _key(key: Any, path: str) -> Any:
    if key == _ARRAY_TAG:
        raise NotPlainError(f"{path or 'it'} has the key {key!r}, which marks an array")
    if key is None or isinstance(key, tuple(_ATOMS)):
        return _to_plain(key, path)
    raise NotPlainError(f"a key of {path or 'it'} is {_article(type(key).__qualname__)}")


def _array_to_plain(value: Any, path: str) -> Any:
    # No dtype of PyTorch's holds a long double, and its `item()` is itself.
    if value.dtype.kind not in _ARRAY_KINDS or value.dtype.char in "gG":
        raise NotPlainError(f"{path or 'it'} is an array of dtype {value.dtype}")
    if isinstance(value, np.generic):
        return _to_plain(value.item(), path)
    data = value.tolist() if value.dtype.kind == "U" else numbers_to_plain(value)
    return {_ARRAY_TAG: data, "dtype": str(value.dtype)}


def _array_from_plain(mapping: dict[Any, Any]) -> Any:
    try:
        dtype = np.dtype(cast("str", mapping["dtype"]))
        data = mapping[_ARRAY_TAG]
        # Not `np.array` of a tensor: NumPy 2 warns that PyTorch's `__array__` knows no `copy`.
        array = np.array(np.asarray(data) if hasattr(data, "__array__") else data, dtype=dtype)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, SyntaxError) as error:
        raise NotPlainError(f"an array that cannot be read: {error}") from None
    if array.dtype.kind not in _ARRAY_KINDS:
        raise NotPlainError(f"an array of dtype {array.dtype}")
    return array


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
