from __future__ import annotations

import pytest

from runtimeinfo_adapters.top._pace import Pace


def test_it_takes_two_moves_since_the_first_one_was_not_seen_to_begin() -> None:
    pace = Pace()
    rates = []
    for second, iter in enumerate([5, 5, 7, 7, 9]):
        pace.see(float(second), iter)
        rates.append(pace.rate(float(second)))
    assert rates == [None, None, None, None, 1.0]
    assert pace.span == 2.0


def test_slow_iterations_are_timed_from_move_to_move() -> None:
    pace = Pace()
    for tick in range(4 * 60):  # four looks a second, an iteration every 20 seconds
        pace.see(tick / 4, tick // 80)
    assert pace.rate(239 / 4) == pytest.approx(1 / 20)


def test_it_is_that_of_the_last_15_seconds() -> None:
    pace = Pace()
    iter = 0
    for second in range(100):
        iter += 10 if second < 50 else 2
        pace.see(float(second), iter)
    assert pace.rate(99.0) == pytest.approx(2.0)


def test_an_iteration_that_hangs_makes_itself_felt() -> None:
    pace = Pace()
    for second in range(5):
        pace.see(float(second), second)
    assert pace.rate(4.0) == 1.0
    assert pace.rate(99.0) == pytest.approx(4 / 98)


def test_a_validation_does_not_count() -> None:
    pace = Pace()
    for second in range(4):
        pace.see(float(second), 10 * second)
    for second in range(4, 100):
        pace.see(float(second), None)
        assert pace.rate(float(second)) == 10.0
    for second in range(100, 103):
        pace.see(float(second), 10 * (second - 96))
        assert pace.rate(float(second)) == 10.0


def test_a_counter_that_begins_anew_is_another_training() -> None:
    pace = Pace()
    for second in range(4):
        pace.see(float(second), 10 * second)
    pace.see(4.0, 0)
    assert pace.rate(4.0) is None
    pace.see(5.0, 1)
    pace.see(6.0, 2)
    assert pace.rate(6.0) == 1.0


def test_looks_at_the_same_moment_are_no_division_by_zero() -> None:
    pace = Pace()
    for iter in range(4):
        pace.see(1.0, iter)
    assert pace.rate(1.0) is None
