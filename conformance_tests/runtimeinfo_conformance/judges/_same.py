"""Compare expected and observed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, cast

import numpy as np

_PLAIN = frozenset({str, int, float, bool, type(None)})


def is_same(one: Any, other: Any) -> bool:
    """Compare two values by their contents.

    NaN equals NaN, and an array equals its elements. Numbers compare by value, whatever their types and their notation.
    A bool is not a number.
    """
    if one is other:
        return True
    kind: type[Any] = type(one)  # pyright: ignore[reportUnknownVariableType]
    # Nearly all values are plain, and converting them to arrays takes ten times as long.
    if kind is type(other):
        if kind in _PLAIN:
            return bool(one == other or (kind is float and one != one and other != other))
        if kind is dict:
            found = cast("dict[Any, Any]", other)
            return one.keys() == found.keys() and all(map(is_same, one.values(), map(found.__getitem__, one)))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        these, those = cast("Sequence[Any]", one), cast("Sequence[Any]", other)
        return len(these) == len(those) and all(map(is_same, these, those))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        first, second = cast("Mapping[Any, Any]", one), cast("Mapping[Any, Any]", other)
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    if isinstance(one, bool | np.bool_) is not isinstance(other, bool | np.bool_):
        return False
    if isinstance(one, Real) and isinstance(other, Real):
        return _is_same_number(one, other)
    return _is_same_array(_array(one), _array(other))


def differing(held: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entries of the first mapping that differ, and the entries found in their place."""
    keys = [key for key, value in held.items() if not (value is found[key] or is_same(value, found[key]))]
    return {key: held[key] for key in keys}, {key: found[key] for key in keys}


def _is_same_number(one: Any, other: Any) -> bool:
    # NumPy would compare a float32 with a float in single precision. Python compares the values.
    first, second = _plain_number(one), _plain_number(other)
    return bool(first == second or (first != first and second != second))


def _plain_number(value: Any) -> Any:
    return cast("np.generic[Any]", value).item() if isinstance(value, np.generic) else value


def _is_same_array(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    both_have_nan = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return bool(np.array_equal(one, other, equal_nan=both_have_nan))


def _array(value: Any) -> np.ndarray[Any, Any]:
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().float()
    try:
        return np.asarray(value)
    except ValueError:  # a ragged list
        return np.array(repr(value))
