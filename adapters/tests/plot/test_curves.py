"""Positions on an axis, resumed parts, smoothing and decimation."""

from __future__ import annotations

import numpy as np
import pytest

from runtimeinfo_adapters.plot import Curve
from runtimeinfo_adapters.plot._curves import decimated, resumed_rows, smoothed


def curve_at(*iters: float) -> Curve:
    return Curve(np.arange(len(iters), dtype=np.float64), iters=np.array(iters, dtype=np.float64))


@pytest.mark.parametrize(
    ("iters", "kept"),
    [
        ([0, 10, 20], [0, 1, 2]),
        ([0, 10, 20, 10, 20, 30], [0, 3, 4, 5]),
        ([0, 10, 20, 30, 25, 35], [0, 1, 2, 4, 5]),
        ([5, 5], [1]),
        ([30, 20, 10], [2]),
        ([0, 10, 20, 30, 10, 20, 15], [0, 4, 6]),
        ([], []),
    ],
)
def test_later_values_win_where_the_iter_goes_back(iters: list[float], kept: list[float]) -> None:
    assert curve_at(*iters).without_repeated().values.tolist() == kept


def test_epochs_may_repeat_and_go_back() -> None:
    epochs = np.array([0.0, 0.0, 1.0, 1.0, 2.0, 1.0, 1.0, 2.0])
    kept = Curve(np.arange(8.0), epochs=epochs).without_repeated()
    assert kept.values.tolist() == [0, 1, 5, 6, 7]
    assert kept.epochs is not None
    assert kept.epochs.tolist() == [0, 0, 1, 1, 2]


def test_row_of_training_after_the_last_validation_goes_not_back() -> None:
    # As with interval 7 of 20 iterations in two epochs: the rest comes after the validation at 20 and at 40.
    iters = np.array([6, 13, 20, 20, 27, 34, 40, 39], dtype=np.float64)
    stages = np.array([0, 0, 1, 0, 0, 0, 1, 0])
    assert resumed_rows(iters, stages).all()


def test_resumed_training_takes_back_the_validations_after_it() -> None:
    iters = np.array([9, 19, 20, 29, 39, 40, 9, 19, 20], dtype=np.float64)
    stages = np.array([0, 0, 1, 0, 0, 1, 0, 0, 1])
    kept = resumed_rows(iters, stages)
    assert iters[kept].tolist() == [9, 9, 19, 20]


def test_points_of_an_epoch_are_spread_over_it() -> None:
    epochs = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    places, _ = Curve(np.arange(10.0), epochs=epochs).on("epoch")
    assert places.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25]


def test_value_without_a_place_is_left_out() -> None:
    places, values = Curve(np.array([1.0, 2.0, 3.0]), epochs=np.array([0.0, np.nan, 1.0])).on("epoch")
    assert (places.tolist(), values.tolist()) == ([0, 1], [1, 3])


def smoothed_as_tensorboard(values: list[float], weight: float) -> list[float]:
    """TensorBoard's `classicSmoothing`, statement by statement."""
    last, accumulated = 0.0, 0
    result: list[float] = []
    for value in values:
        if not np.isfinite(value):
            result.append(value)
            continue
        last = last * weight + (1 - weight) * value
        accumulated += 1
        result.append(last / (1 - weight**accumulated))
    return result


@pytest.mark.parametrize("weight", [0.1, 0.6, 0.99, 0.9999])
def test_smoothing_is_that_of_tensorboard(weight: float) -> None:
    values = np.random.default_rng(0).normal(size=500)
    values[[3, 50, 51]] = [np.nan, np.inf, -np.inf]
    np.testing.assert_allclose(
        smoothed(values, weight), smoothed_as_tensorboard(values.tolist(), weight), rtol=1e-9, atol=1e-12
    )


def test_constant_curve_and_weight_0_are_not_changed() -> None:
    assert smoothed(np.full(50, 0.1), 0.9).tolist() == [0.1] * 50
    assert smoothed(np.array([1.0, 5.0]), 0.0).tolist() == [1, 5]
    assert smoothed(np.array([]), 0.9).tolist() == []
    assert np.isnan(smoothed(np.array([np.nan]), 0.9)).all()


def test_decimation_keeps_ends_and_each_extreme() -> None:
    values = np.sin(np.arange(100_000) / 5000)
    values[[12_345, 77_777]] = [9.0, -9.0]
    places, fewer = decimated(np.arange(100_000.0), values, 400)
    assert len(fewer) <= 400
    assert places[[0, -1]].tolist() == [0, 99_999]
    assert {12_345.0, 77_777.0} <= set(places)
    assert (fewer.max(), fewer.min()) == (9, -9)
    assert (np.diff(places) > 0).all()
    assert np.array_equal(fewer, values[places.astype(int)])


def test_decimation_keeps_a_gap_and_loses_no_value_to_nan() -> None:
    values = np.ones(100_000)
    values[30_000:60_000] = np.nan
    values[10] = np.inf
    values[99_990] = 5.0
    places, fewer = decimated(np.arange(100_000.0), values, 400)
    assert np.isnan(fewer[(places > 30_500) & (places < 59_500)]).all()
    assert np.isfinite(fewer[(places < 29_000) | (places > 61_000)]).all()
    assert np.nanmax(fewer) == 5


def test_few_points_are_all_kept() -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert decimated(np.arange(3.0), values, 4)[1] is values


def test_ten_million_points_become_few() -> None:
    values = np.zeros(10_000_000)
    values[7_654_321] = 1.0
    places, fewer = decimated(np.arange(1e7), values, 4000)
    assert len(fewer) <= 4000
    assert places[fewer.argmax()] == 7_654_321
