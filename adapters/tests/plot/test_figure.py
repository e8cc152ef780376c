"""Pictures of matplotlib: what the lines hold, not the pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtimeinfo_adapters.plot import Curve, PlotOptionError, RunCurves, figure_of, picture_of
from runtimeinfo_adapters.plot._figure import check_output, write_figure

Curves = Callable[..., RunCurves]


def lines_of(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.get_lines()}


def test_lines_hold_the_values_of_each_run(curves: Curves) -> None:
    runs = [curves("a", train__loss=[3, 2, 1], val__acc=[0.5]), curves("b", train__loss=[5, 4, 3])]
    loss, accuracy = figure_of(picture_of(runs)).axes
    assert (loss.get_title(), loss.get_xlabel(), loss.get_yscale()) == ("train/loss", "iteration", "linear")
    assert list(lines_of(loss)) == ["a", "b"]
    assert lines_of(loss)["b"].get_xdata().tolist() == [0, 1, 2]
    assert lines_of(loss)["b"].get_ydata().tolist() == [5, 4, 3]
    assert lines_of(accuracy)["a"].get_marker() == "."  # a line of one point is not seen
    colors = {name: line.get_color() for name, line in lines_of(loss).items()}
    assert colors["a"] != colors["b"]
    assert lines_of(accuracy)["a"].get_color() == colors["a"]


def test_each_run_has_one_entry_in_the_legend(curves: Curves) -> None:
    names = ["a", "_hidden", r"$\frac{$", "a\x1b[31m\n", "日本"]
    figure = figure_of(picture_of([curves(name, loss=[1, 2], acc=[1]) for name in names]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "_hidden", r"$\frac{$", r"a\x1b[31m\n", "日本"]
    image = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", type("Out", (), {"buffer": image}))
        write_figure(figure, "-")
    assert image.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("many", [3, 12, 40])
def test_each_run_has_its_color(curves: Curves, many: int) -> None:
    (axes,) = figure_of(picture_of([curves(f"run {number}", loss=[number, 1]) for number in range(many)])).axes
    assert len({str(line.get_color()) for line in axes.get_lines()}) == many


def test_smoothed_line_has_its_raw_one_behind(curves: Curves) -> None:
    (axes,) = figure_of(picture_of([curves("a", loss=[1, 2, 4])], smoothing=0.5)).axes
    lines = lines_of(axes)
    assert list(lines) == ["_raw", "a"]
    assert lines["_raw"].get_ydata().tolist() == [1, 2, 4]
    assert lines["_raw"].get_alpha() < 0.5
    assert lines["a"].get_ydata().round(3).tolist() == [1, 1.667, 3]


def test_values_that_are_not_finite_are_gaps_with_marks(curves: Curves) -> None:
    nan, inf = float("nan"), float("inf")
    (axes,) = figure_of(picture_of([curves("a", loss=[1, nan, inf, 2, -inf])])).axes
    lines = lines_of(axes)
    np.testing.assert_array_equal(lines["a"].get_ydata(), [1, nan, nan, 2, nan])
    assert {label: line.get_xdata().tolist() for label, line in lines.items() if label != "a"} == {
        "_nan": [1],
        "_inf": [2],
        "_-inf": [4],
    }
    assert len({line.get_marker() for label, line in lines.items() if label != "a"}) == 3
    assert axes.get_ylim()[1] < 3  # the marks are not values


def test_points_between_two_gaps_are_seen_in_a_long_curve(curves: Curves) -> None:
    values = [1.0] * 100 + [float("nan"), 7.0, float("nan")] + [1.0] * 100
    lines = lines_of(figure_of(picture_of([curves("a", loss=values)])).axes[0])
    assert (lines["_alone"].get_xdata().tolist(), lines["_alone"].get_ydata().tolist()) == ([101], [7])


def test_logarithmic_scale_says_what_it_does_not_show(curves: Curves) -> None:
    loss, below = figure_of(picture_of([curves("a", loss=[10, 0, 1], loss2=[0, -1])], log=True)).axes
    assert (loss.get_yscale(), below.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in loss.texts] == ["not shown, as 0 or less: 1"]
    np.testing.assert_array_equal(lines_of(loss)["a"].get_ydata(), [10, np.nan, 1])


def test_wall_time_is_a_date() -> None:
    run = RunCurves("a", "a.csv", {"loss": Curve(np.array([1.0]), times=np.array([1.7e9]))})
    (axes,) = figure_of(picture_of([run], axis="wall")).axes
    assert axes.get_xlabel() == "time (UTC)"
    assert axes.get_lines()[0].get_xdata().tolist() == [np.datetime64("2023-11-14T22:13:20", "ms").item()]


@pytest.mark.parametrize("values", [[1e308, -1e308, 5e-324], [float("nan")], [float("inf"), 1.0], [0.5] * 50])
@pytest.mark.parametrize("log", [False, True])
def test_odd_values_are_drawn_without_a_warning(curves: Curves, values: list[float], log: bool, tmp_path: Any) -> None:
    write_figure(figure_of(picture_of([curves(loss=values)], log=log, smoothing=0.9)), str(tmp_path / "odd.png"))


def test_file_opens_as_a_picture(curves: Curves, tmp_path: Any) -> None:
    figure = figure_of(picture_of([curves("a", loss=[3, 2, 1])]))
    for name in ("losses.png", "losses"):
        check_output(str(tmp_path / name))
        write_figure(figure, str(tmp_path / name))
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 2
    write_figure(figure, str(tmp_path / "losses.svg"))
    assert "<svg" in (tmp_path / "losses.svg").read_text()


def test_place_that_cannot_be_written_is_an_error(tmp_path: Any) -> None:
    for output, said in (
        ("losses.xyz", r"losses\.xyz ends in no known format\. Give one of .*png"),
        (str(tmp_path / "nowhere" / "losses.png"), "there is no folder"),
        (str(tmp_path), "it is a folder"),
    ):
        with pytest.raises(PlotOptionError, match=said):
            check_output(output)


def test_full_disk_is_an_error(curves: Curves) -> None:
    with pytest.raises(PlotOptionError, match="/dev/full cannot be written: No space left on device"):
        write_figure(figure_of(picture_of([curves(loss=[1])])), "/dev/full")
