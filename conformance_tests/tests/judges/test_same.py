from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from runtimeinfo_conformance.judges._same import differing, is_same


class Written(int):
    """An int that is always written in the same way."""

    def __repr__(self) -> str:
        return "a number"

    __str__ = __repr__


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (math.nan, math.nan, True),
        (math.nan, None, False),
        (None, None, True),
        (1, 1.0, True),
        (True, 1, False),
        (np.bool_(True), True, True),
        (np.int64(3), 3, True),
        (np.float32(0.1), 0.1, False),
        (np.float32(0.5), 0.5, True),
        (2**53 + 1, float(2**53), False),
        (np.float64("nan"), math.nan, True),
        (Written(3), 3, True),
        (Written(3), Written(4), False),
        ((Written(3), "a"), (3, "a"), True),
        ({"iter": Written(3)}, {"iter": 3}, True),
        ((1, "a"), [1, "a"], True),
        (("1", "a"), (1, "a"), False),
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


def test_values_that_differ_from_the_hub() -> None:
    held, found = {"epoch": 1, "loss": math.nan, "stage": "train"}, {"epoch": 1, "loss": math.nan, "stage": None}
    assert differing(held, {**found, "more": 0}) == ({"stage": "train"}, {"stage": None})
    assert differing({}, found) == ({}, {})
