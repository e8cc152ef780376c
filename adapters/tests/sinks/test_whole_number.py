from __future__ import annotations

import numpy as np
import pytest
import torch

from runtimeinfo_adapters.sinks._whole_number import whole_number


@pytest.mark.parametrize("counter", [3, np.int64(3), torch.tensor(3)])
def test_any_integer_is_a_whole_number(counter: object) -> None:
    assert type(whole_number(counter)) is int
    assert whole_number(counter) == 3


@pytest.mark.parametrize("counter", [None, "3", 3.0])
def test_nothing_else_is(counter: object) -> None:
    assert whole_number(counter) is None
