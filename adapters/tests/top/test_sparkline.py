from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo_adapters.top._glyphs import ASCII, UNICODE
from runtimeinfo_adapters.top._sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([1.0], "▄"),
        ([1.0, 1.0], "▄▄"),
        ([0.0, 7.0], "▁█"),
        ([7.0, 0.0, math.inf, -math.inf, math.nan], "█▁!!!"),
        ([math.nan], "!"),
        ([-1.7e308, 1.7e308], "▁█"),
        ([0.0] * 50 + [1.0] * 50, "▁▁▁▁▁█████"),
        ([1.0] * 99 + [math.nan], "▄▄▄▄▄▄▄▄▄!"),
    ],
)
def test_a_curve(values: list[float], shown: str) -> None:
    assert sparkline(values, width=10) == shown


def test_a_terminal_without_blocks() -> None:
    assert sparkline([0.0, 6.0, math.nan], 10, ASCII) == "_#!"
    assert sparkline([1.0], width=0) == ""


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats()), st.integers(0, 30))
def test_whatever_the_values_are_it_fits(values: list[float], width: int) -> None:
    shown = sparkline(values, width)
    assert len(shown) == min(len(values), width)
    assert set(shown) <= set(UNICODE.levels + UNICODE.broken)
