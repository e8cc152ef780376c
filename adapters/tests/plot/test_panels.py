"""What a picture shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtimeinfo_adapters.plot import Curve, PlotOptionError, RunCurves, picture_of
from runtimeinfo_adapters.plot._panels import MOST_PANELS

Curves = Callable[..., RunCurves]


def placed(values: list[float], **axes: list[float]) -> Curve:
    arrays = {name: np.array(each, dtype=np.float64) for name, each in axes.items()}
    return Curve(np.array(values), **arrays)


def test_each_scalar_is_a_panel_and_each_run_a_line(curves: Curves) -> None:
    runs = [curves("a", val__acc=[1], train__loss=[3, 2]), curves("b", train__loss=[5, 4], train__lr=[1])]
    picture = picture_of(runs)
    assert picture.runs == ("a", "b")
    assert [panel.key for panel in picture.panels] == ["train/lr", "train/loss", "val/acc"]
    assert [[line.run for line in panel.lines] for panel in picture.panels] == [[1], [0, 1], [0]]
    assert picture.panels[1].lines[1].values.tolist() == [5, 4]


def test_patterns_choose_scalars(curves: Curves) -> None:
    run = curves(train__loss=[1], train__lr=[1], val__loss=[1], val__acc=[1])
    for patterns, keys in (
        (["val/*"], ["val/loss", "val/acc"]),
        (["*/loss", "train/lr"], ["train/lr", "train/loss", "val/loss"]),
        ([], ["train/lr", "train/loss", "val/loss", "val/acc"]),
    ):
        assert [panel.key for panel in picture_of([run], scalars=patterns).panels] == keys
    with pytest.raises(PlotOptionError, match=r"no scalar matches 'loss'; there are train/lr, train/loss, "):
        picture_of([run], scalars=["val/*", "loss"])


def test_axis_is_the_one_that_all_curves_know() -> None:
    with_both = RunCurves("a", "a.csv", {"loss": placed([1, 2], iters=[10, 20], epochs=[0, 1])})
    epochs_only = RunCurves("b", "b.csv", {"loss": placed([3, 4], epochs=[0, 1])})
    counted = RunCurves("c", "c.pt", {"loss": placed([5, 6])})
    for runs, axis, label, places in (
        ([with_both], "iter", "iteration", [10, 20]),
        ([with_both, epochs_only], "epoch", "epoch", [0, 1]),
        ([epochs_only], "epoch", "epoch", [0, 1]),
        ([counted], None, "number of the value", [0, 1]),
        ([with_both, counted], "iter", "iteration", [10, 20]),
    ):
        picture = picture_of(runs)
        assert (picture.axis, picture.axis_label) == (axis, label)
        assert picture.panels[0].lines[0].positions.tolist() == places


def test_axis_that_a_run_does_not_know_is_a_problem_of_that_run() -> None:
    known = RunCurves("a", "a.csv", {"loss": placed([1, 2], iters=[10, 20], epochs=[0, 1])})
    counted = RunCurves("b", "b.pt", {"loss": placed([3, 4], iters=[1, 2])})
    picture = picture_of([known, counted], axis="epoch")
    (problem,) = picture.problems
    assert str(problem).startswith("b.pt does not know the axis 'epoch' of its values, but iter. Give another axis")
    assert [line.run for line in picture.panels[0].lines] == [0]


@pytest.mark.parametrize(("seconds", "unit", "last"), [(60, "s", 60), (1200, "min", 20), (360_000, "h", 100)])
def test_relative_time_begins_with_the_run(seconds: float, unit: str, last: float) -> None:
    late = RunCurves(
        "a", "a.csv", {"loss": placed([1, 2], times=[1.7e9, 1.7e9 + seconds]), "acc": placed([1], times=[1.7e9 + 1])}
    )
    early = RunCurves("b", "b.csv", {"loss": placed([1, 2], times=[1.6e9, 1.6e9 + 1])})
    picture = picture_of([late, early], axis="relative", scalars=["loss"])
    assert picture.axis_label == f"time since the first point ({unit})"
    assert picture.panels[0].lines[0].positions.tolist() == [0, last]
    assert picture.panels[0].lines[1].positions[0] == 0


def test_clock_that_was_set_back_leaves_the_line_in_order() -> None:
    run = RunCurves("a", "a.csv", {"loss": placed([1, 2, 3], times=[1.7e9, 1.7e9 - 10, 1.7e9 + 5])})
    line = picture_of([run], axis="wall").panels[0].lines[0]
    assert line.values.tolist() == [2, 1, 3]


def test_smoothing_keeps_the_raw_values(curves: Curves) -> None:
    line = picture_of([curves(loss=[1, 2, 4])], smoothing=0.5).panels[0].lines[0]
    assert line.values.round(3).tolist() == [1, 1.667, 3]
    assert line.raw is not None
    assert line.raw.tolist() == [1, 2, 4]
    assert picture_of([curves(loss=[1, 2, 4])]).panels[0].lines[0].raw is None


@pytest.mark.parametrize("weight", [-0.1, 1.0, 2.0, float("nan")])
def test_weight_out_of_range_is_an_error(curves: Curves, weight: float) -> None:
    with pytest.raises(PlotOptionError, match="smoothing must be a number from 0 to below 1"):
        picture_of([curves(loss=[1])], smoothing=weight)


def test_non_finite_values_are_marked_in_place(curves: Curves) -> None:
    nan, inf = float("nan"), float("inf")
    line = picture_of([curves(loss=[1, nan, inf, 2, -inf, nan])]).panels[0].lines[0]
    assert {kind: places.tolist() for kind, places in line.broken.items()} == {"nan": [1, 5], "inf": [2], "-inf": [4]}


def test_logarithmic_scale_counts_what_it_cannot_show(curves: Curves) -> None:
    run = curves(loss=[1, 0, -2, 10], loss_of_zero=[0, -1])
    loss, below = picture_of([run], log=True).panels
    assert (loss.is_log, loss.lines[0].hidden) == (True, 2)
    assert (below.is_log, below.lines[0].hidden) == (False, 0)
    assert not any(panel.is_log for panel in picture_of([run]).panels)


def test_many_points_become_few_and_smoothing_sees_all_of_them(curves: Curves) -> None:
    values: list[Any] = [float(each % 2) for each in range(100_000)]
    line = picture_of([curves(loss=values)], smoothing=0.99, most_points=400).panels[0].lines[0]
    assert len(line.values) <= 400
    assert line.values[len(line.values) // 2 :].max() < 0.51
    assert line.raw is not None
    assert (line.raw.min(), line.raw.max()) == (0, 1)


def test_too_many_scalars_are_named(curves: Curves) -> None:
    picture = picture_of([curves(**{f"s{number:03}": [1] for number in range(MOST_PANELS + 2)})])
    assert len(picture.panels) == MOST_PANELS
    assert picture.left_out == (f"s{MOST_PANELS:03}", f"s{MOST_PANELS + 1:03}")
