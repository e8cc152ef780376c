from __future__ import annotations

import math

import pytest

from runtimeinfo_adapters.top._course import Course


def test_a_value_that_is_published_twice_counts_twice() -> None:
    course = Course()
    for updates in (1, 2, 2, 3):
        course.see(0.5, updates)
    assert course.values == (0.5, 0.5, 0.5)


def test_a_hub_that_does_not_count_shows_another_value() -> None:
    course = Course()
    for value in (0.5, math.nan, math.nan, 0.25):
        course.see(value, 0)
    assert repr(course.values) == "(0.5, nan, 0.25)"


def test_a_long_time_is_kept_in_little_memory_from_its_beginning_to_its_end() -> None:
    course = Course()
    longest = 0
    for updates in range(10_000):
        course.see(float(updates), updates)
        longest = max(longest, len(course.values))
    assert longest <= 128
    assert course.values[0] < 200
    assert course.values[-1] > 9_800
    assert list(course.values) == sorted(course.values)


def test_the_largest_numbers_do_not_overflow() -> None:
    course = Course()
    for updates in range(1_000):
        course.see(1.7e308, updates)
    assert course.values[0] == pytest.approx(1.7e308)
