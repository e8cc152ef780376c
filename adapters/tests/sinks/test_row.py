from __future__ import annotations

import numpy as np
import pytest
import torch

from runtimeinfo_adapters.sinks._row import POSITION, Row, whole_number


def test_the_position_comes_first_and_nothing_takes_its_place() -> None:
    scalars: dict[str, int | float] = {"train/loss": 0.5, **dict.fromkeys(POSITION, 1.0)}
    cells = Row(7, 1, None, 0.25, scalars).cells()
    assert list(cells) == [*POSITION, "train/loss", "scalar/iter", "scalar/epoch", "scalar/loop_stage", "scalar/time"]
    assert [cells[name] for name in POSITION] == [7, 1, None, 0.25]


@pytest.mark.parametrize("counter", [3, np.int64(3), torch.tensor(3)])
def test_any_integer_is_a_whole_number(counter: object) -> None:
    assert type(whole_number(counter)) is int
    assert whole_number(counter) == 3


@pytest.mark.parametrize("counter", [None, "3", 3.0])
def test_nothing_else_is(counter: object) -> None:
    assert whole_number(counter) is None
