"""Outputs and metrics of every kind, derived from a number so that they differ between iterations."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np


def _torch(number: float, *, dtype: str = "float32", graph: bool = False) -> Any:
    torch: Any = sys.modules["torch"]
    value = torch.tensor(number, dtype=getattr(torch, dtype), requires_grad=graph)
    return value * 1 if graph else value


_HUGE = 2**200

_NUMPY_FLOATS = ("float16", "float32", "float64")
_TORCH_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8")

_SCALARS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "float": float,
        "int": int,
        "bool": lambda number: int(number) % 2 == 0,
        "nan": lambda _: math.nan,
        "inf": lambda _: math.inf,
        "minus_inf": lambda _: -math.inf,
        "huge_int": lambda number: int(number * 2) * _HUGE,  # beyond any array's integers, yet within a float
        "fraction": Fraction,
        "numpy_bool": lambda number: np.bool_(int(number) % 2 == 0),
        "array_of_one": lambda number: np.array([[number]]),
        **{f"numpy_{name}": getattr(np, name) for name in (*_NUMPY_FLOATS, *_INTEGERS)},
    }
)
_TENSORS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "tensor_with_graph": lambda number: _torch(number, graph=True),
        "tensor_of_one": lambda number: _torch(number).reshape(1, 1),
        "tensor_vector_of_one": lambda number: _torch(number).reshape(1),
        "tensor_bool": lambda number: _torch(int(number) % 2 == 0, dtype="bool"),
        **{f"tensor_{name}": partial(_torch, dtype=name) for name in (*_TORCH_FLOATS, *_INTEGERS)},
    }
)
_OTHER_TENSORS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "tensor_of_three": lambda number: _torch(number).repeat(3),
        "tensor_of_none": lambda _: _torch(0.0)[None][:0],
    }
)
_OTHERS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "text": lambda number: f"value {number}",
        "list": lambda number: [number, number],
        "none": lambda _: None,
        "dict": lambda number: {"value": number},
        "vector": lambda number: np.array([number, 0.0]),
        "empty_array": lambda _: np.array([]),
        "big_array": lambda number: np.full(100_000, number),
        "too_huge_int": lambda _: 10**400,
        "text_array": lambda number: np.array([str(number)]),
        "complex": lambda number: complex(number, 1),
    }
)

# For hubs only, because a framework may aggregate outputs at any precision.
_HUB_SCALARS: Mapping[str, Callable[[float], Any]] = MappingProxyType(
    {
        "negative": lambda number: -number,
        "decimal": lambda number: number * 0.2,  # 0.1 comes first: inexact in every dtype, and different in float32
        "minus_zero": lambda _: -0.0,
        "odd_int": lambda number: 2**53 + 1 + 2 * int(number),  # a float cannot represent it
        "int_of_63_bits": lambda number: 2**62 + int(number * 2),  # the sum of two of them is beyond 64 bits
    }
)

_KINDS = MappingProxyType({**_SCALARS, **_TENSORS, **_OTHERS, **_OTHER_TENSORS, **_HUB_SCALARS})

SCALAR_KINDS = tuple(_SCALARS)
TENSOR_KINDS = tuple(_TENSORS)
OTHER_KINDS = tuple(_OTHERS)
HUB_SCALAR_KINDS = (*_SCALARS, *_HUB_SCALARS)
OTHER_TENSOR_KINDS = tuple(_OTHER_TENSORS)

CHANGING_KIND = "changing"
"""Alternately a scalar and a text."""


def is_available(kind: str) -> bool:
    """Return whether a kind can be created. Tensors require a subject that has loaded PyTorch."""
    return kind not in {**_TENSORS, **_OTHER_TENSORS} or "torch" in sys.modules


def make_value(kind: str, turn: int, salt: int = 0) -> Any:
    """Create the n-th value of a kind, from small multiples of 0.5 that are exact in every dtype with fractions.

    Args:
        kind: The kind.
        turn: The number of earlier values of the kind.
        salt: An offset to each turn, so that another run has different values.
    """
    number = ((turn + salt) % 100 + 1) * 0.5
    if kind == CHANGING_KIND:
        kind = "float" if turn % 2 == 0 else "text"
    return _KINDS[kind](number)


class _Phase(StrEnum):
    WARM_UP = "warm up"


@dataclass(frozen=True)
class _Sample:
    name: str


_OBJECTS: Mapping[str, Any] = MappingProxyType(
    {
        "enum": _Phase.WARM_UP,
        "str_subclass": np.str_("text"),
        "instance": _Sample("first"),
        "function": make_value,
        "nan": math.nan,
        "array": np.arange(3, dtype=np.int16),
        "bytes": b"\0\xff",
        "set": frozenset({1, 2}),
    }
)

OBJECT_KINDS = tuple(_OBJECTS)
"""Kinds of infos without a literal. Each can be copied, and equals its copy."""


def make_object(kind: str) -> Any:
    """Return the info of a kind."""
    return _OBJECTS[kind]
