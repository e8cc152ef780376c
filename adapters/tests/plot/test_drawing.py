"""Pictures as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtimeinfo_adapters.plot import RunCurves, picture_of
from runtimeinfo_adapters.plot._drawing import draw_picture
from runtimeinfo_adapters.top._layout import ASCII, LineLayout

Curves = Callable[..., RunCurves]


def drawn(runs: list[RunCurves], width: int = 30, *, is_ascii: bool = False, **more: object) -> list[str]:
    layout = LineLayout(width, ASCII) if is_ascii else LineLayout(width)
    options = {name: more.pop(name) for name in ("height", "has_colors") if name in more}
    picture = picture_of(runs, **more)  # type: ignore[arg-type]
    return [line.plain for line in draw_picture(picture, layout, **options)]  # type: ignore[arg-type]


def test_falling_curve_goes_from_the_upper_left_to_the_lower_right(curves: Curves) -> None:
    lines = drawn([curves("digits", loss=[4, 3, 2, 1])])
    assert (lines[0], lines[1][:12], lines[8][:12]) == ("loss", "         4 │", "         1 │")
    body = [line[12:] for line in lines[1:9]]
    ends = [(len(line) - len(line.lstrip()), len(line)) for line in body]
    assert ends == sorted(ends)
    assert body[0][0] != " "
    assert len(body[-1]) == 18
    assert lines[9:] == ["           └──────────────────", "            0   iteration    3", "", "● digits"]


def test_runs_differ_in_letters_where_there_are_no_colors(curves: Curves) -> None:
    runs = [curves("first", loss=[1, 1]), curves("second", loss=[2, 2])]
    lines = drawn(runs, has_colors=False)
    assert lines[1] == "         2 │" + "b" * 18
    assert lines[8] == "         1 │" + "a" * 18
    assert lines[-2:] == ["a first", "b second"]
    assert "⠉" in drawn(runs)[1]


def test_ascii_terminal_gets_ascii_alone(curves: Curves) -> None:
    runs = [curves("résumé", loss=[1, float("nan"), 3]), curves("b", loss=[2, 2, 2])]
    for many in (1, 2):
        assert "\n".join(drawn(runs[:many], is_ascii=True)).isascii()


def test_non_finite_values_are_marked_on_the_axis(curves: Curves) -> None:
    lines = drawn([curves(loss=[1, float("nan"), 2, float("inf"), 3])], width=32)
    assert [place for place, mark in enumerate(lines[9][12:]) if mark == "!"] == [5, 14]


def test_logarithmic_scale_is_labeled_with_values(curves: Curves) -> None:
    lines = drawn([curves(loss=[100, 10, 1, 0])], log=True, width=60)
    assert lines[0] == "loss  log  not shown, as 0 or less: 1"
    assert (lines[1].split()[0], lines[8].split()[0]) == ("100", "1")


def test_names_that_a_terminal_would_obey_are_escaped(curves: Curves) -> None:
    text = "\n".join(drawn([curves("a\x1b[31m", **{"b\x1b]0;x\x07": [1, 2]})], width=60))
    assert "\x1b" not in text
    assert r"a\x1b[31m" in text


@pytest.mark.parametrize("height", [1, 2, 5, 10, 24, 50])
@pytest.mark.parametrize("width", [1, 8, 20, 60, 200])
def test_picture_fits_into_any_terminal(curves: Curves, width: int, height: int) -> None:
    runs = [curves(f"run {number}", **{f"s{key}": [1, 2, 3] for key in range(6)}) for number in range(12)]
    layout = LineLayout(width)
    lines = draw_picture(picture_of(runs), layout, height=height)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)


def test_panels_that_do_not_fit_are_counted(curves: Curves) -> None:
    lines = drawn([curves(**{f"s{key}": [1, 2, 3] for key in range(6)})], height=24)
    assert "… and 3 more scalars" in lines


@pytest.mark.parametrize("values", [[1e308, -1e308], [float("nan")], [0.5], [float("inf"), float("-inf")], [5e-324, 0]])
@pytest.mark.parametrize("log", [False, True])
def test_odd_values_are_drawn(curves: Curves, values: list[float], log: bool) -> None:
    assert drawn([curves(loss=values)], log=log)[0].startswith("loss")
