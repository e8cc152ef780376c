from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from runtimeinfo import is_scalar
from runtimeinfo_conformance.plans._values import (
    CHANGING_KIND,
    OTHER_KINDS,
    SCALAR_KINDS,
    TENSOR_KINDS,
    is_same,
    make_value,
)


@pytest.mark.parametrize("kind", [*SCALAR_KINDS, *TENSOR_KINDS])
def test_scalars_are_scalars(kind: str) -> None:
    assert is_scalar(make_value(kind, 3))


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_others_are_not(kind: str) -> None:
    assert not is_scalar(make_value(kind, 3))


@pytest.mark.parametrize("kind", ["numpy_float32", "tensor_float32", "tensor_bfloat16", "array_of_one"])
def test_each_turn_has_a_value_of_its_own(kind: str) -> None:
    assert len({make_value(kind, turn).item() for turn in range(20)}) == 20


def test_changing_is_scalar_and_text_by_turns() -> None:
    assert [make_value(CHANGING_KIND, turn) for turn in range(3)] == [0.5, "value 1.0", 1.5]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (math.nan, math.nan, True),
        (math.nan, None, False),
        (None, None, True),
        (1, 1.0, True),
        (1, 2, False),
        ("a", "a", True),
        ("a", "b", False),
        ("1", 1, False),
        ("1", 1.0, False),
        ([1.0, math.nan], [1.0, math.nan], True),
        ([1.0], [1.0, 1.0], False),
        ([[1.0], [2]], [[1.0], [2.0]], True),
        ([], [], True),
        ([], None, False),
        ((1, "a"), (1, "a"), True),
        ([[1], [1, 2]], [[1], [1, 2]], True),
        ([[1], [1, 2]], [[1], [1, 3]], False),
        ({"a": math.nan}, {"a": math.nan}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, "a", False),
        (np.array([1, 2]), [1, 2], True),
        (torch.tensor([1.5]), [1.5], True),
        (torch.ones(1, requires_grad=True), [1.0], True),
        (1 + 1j, 1 + 1j, True),
        (1 + 1j, 1, False),
    ],
)
def test_comparison(one: Any, other: Any, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(other, one) is same
