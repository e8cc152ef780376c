from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from runtimeinfo_adapters._numbers import is_same_number, whole_number


@pytest.mark.parametrize("counter", [3, np.int64(3), torch.tensor(3)])
def test_any_integer_is_a_whole_number(counter: object) -> None:
    assert type(whole_number(counter)) is int
    assert whole_number(counter) == 3


@pytest.mark.parametrize("counter", [None, "3", 3.0, True, np.True_])
def test_anything_else_is_not_a_whole_number(counter: object) -> None:
    assert whole_number(counter) is None


def test_nan_is_the_same_as_nan_and_as_no_other_number() -> None:
    assert is_same_number(math.nan, float("nan"))
    assert not is_same_number(math.nan, 0.0)
    assert is_same_number(1, 1.0)
