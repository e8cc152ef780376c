"""Outputs and metrics of every kind, made from a number so that no two iterations have the same."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np


def _torch(number: float, *, dtype: str = "float32", graph: bool = False) -> Any:
    torch: Any = sys.modules["torch"]
    value = torch.tensor(number, dtype=getattr(torch, dtype), requires_grad=graph)
    return value * 1 if graph else value


_SCALARS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "float": float,
        "int": int,
        "bool": lambda number: int(number) % 2 == 0,
        "nan": lambda _: math.nan,
        "inf": lambda _: math.inf,
        "float32": np.float32,
        "int64": np.int64,
        "numpy_bool": lambda number: np.bool_(int(number) % 2 == 0),
        "array_of_one": lambda number: np.array([[number]]),
    }
)
_TENSORS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "tensor": _torch,
        "tensor_with_graph": lambda number: _torch(number, graph=True),
        "bfloat16": lambda number: _torch(number, dtype="bfloat16"),
        "tensor_of_one": lambda number: _torch(number).reshape(1, 1),
    }
)
_OTHERS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "text": lambda number: f"value {number}",
        "list": lambda number: [number, number],
        "none": lambda _: None,
        "dict": lambda number: {"value": number},
        "vector": lambda number: np.array([number, 0.0]),
        "text_array": lambda number: np.array([str(number)]),
        "complex": lambda number: complex(number, 1),
    }
)

SCALAR_KINDS = tuple(_SCALARS)
TENSOR_KINDS = tuple(_TENSORS)
OTHER_KINDS = tuple(_OTHERS)

CHANGING_KIND = "changing"
"""Scalar and text by turns."""


def make_value(kind: str, turn: int) -> Any:
    """Make the value of a kind for the n-th time; small multiples of 0.5, exact in every dtype."""
    number = (turn % 100 + 1) * 0.5
    if kind == CHANGING_KIND:
        kind = "float" if turn % 2 == 0 else "text"
    return {**_SCALARS, **_TENSORS, **_OTHERS}[kind](number)


def is_same(one: Any, other: Any) -> bool:
    """Compare two values: NaN equals NaN, an array equals its elements."""
    if isinstance(one, dict) and isinstance(other, dict):
        first, second = cast("dict[Any, Any]", one), cast("dict[Any, Any]", other)
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    return _is_same_array(_array(one), _array(other))


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
