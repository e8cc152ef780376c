from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from runtimeinfo_adapters.top._layout import ASCII, UNICODE, Action, Drawing, large_curve, wrapped


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ([], ["", ""]),
        ([0.0, 15.0], ["  ██", "▁▁██"]),
        ([15.0, 7.0, 8.0, 0.0], ["█ ▁ ", "███▁"]),
        ([1.0, 1.0], ["    ", "████"]),
        ([0.0, math.nan, 15.0, math.inf], ["  █ ", "▁!█!"]),
        ([math.nan], ["    ", "!!!!"]),
        ([-1.7e308, 1.7e308], ["  ██", "▁▁██"]),
        ([0.0] * 8 + [15.0] * 8, ["  ██", "▁▁██"]),
    ],
)
def test_large_curve(values: list[float], lines: list[str]) -> None:
    assert large_curve(values, width=4, height=2) == lines


def test_large_curve_in_ascii() -> None:
    assert large_curve([0.0, 13.0, math.nan], 3, 2, ASCII) == [" # ", "_#!"]


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(), min_size=1), st.integers(1, 30), st.integers(1, 12))
def test_large_curve_of_any_values_fits(values: list[float], width: int, height: int) -> None:
    lines = large_curve(values, width, height)
    assert [len(line) for line in lines] == [width] * height
    assert set("".join(lines)) <= set(UNICODE.levels + UNICODE.broken + " ")
    assert " " not in lines[-1]  # the lowest value is seen too


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("short", ["short"]),
        ("python train.py --lr 1", ["python", "train.py", "--lr 1"]),
        ("x" * 20, ["x" * 8, "x" * 8, "xxxx"]),
        ("数字" * 4, ["数字数字", "数字数字"]),
        ("a" + "数" * 5, ["a数数数", "数数"]),
    ],
)
def test_text_is_wrapped(text: str, lines: list[str]) -> None:
    assert wrapped(text, 8) == lines


@settings(deadline=None, derandomize=True, database=None)
@given(st.text(st.characters(categories=["L", "N", "P", "Zs"])), st.integers(2, 12))
def test_wrapped_text_fits_and_loses_only_blanks(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert max(map(cell_len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_places_of_a_drawing_move_with_its_lines() -> None:
    inner = Drawing()
    inner.add(Text("titles"))
    inner.place(0, 3, Action("sort", "run"))
    inner.add(Text("row"), Action("row", "a"))
    inner.place(0, 2, Action("fold", "a"))
    outer = Drawing()
    outer.add(Text("above"))
    outer.extend(inner)
    assert outer.action_at(1, 2) == Action("sort", "run")
    assert outer.action_at(1, 3) is None
    assert (outer.action_at(2, 1), outer.action_at(2, 2)) == (Action("fold", "a"), Action("row", "a"))
    cut = outer.cut(2, 3)
    assert [line.plain for line in cut.lines] == ["row"]
    assert (cut.action_at(0, 5), cut.action_at(1, 1)) == (Action("row", "a"), None)
