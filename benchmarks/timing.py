"""Take times on a machine that others use too."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, quantiles
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

Window = Callable[[], float]
"""Sets itself up, then returns the seconds that one repetition took."""


class Clock:
    """The times of the training steps of one window. The first tenth warms up and does not count."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self._times: list[float] = []

    def tick(self) -> None:
        self._times.append(time.perf_counter())

    def durations(self) -> list[float]:
        """Return the seconds from each step to the next."""
        times = self._times[len(self._times) // 10 :]
        return [after - before for before, after in pairwise(times)]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that an iteration takes, or that an adapter adds to one: a low percentile and a median.

    Attributes:
        low: The 10th percentile of the single iterations of all windows. On a loaded machine it repeats several times
            better than the median. It leaves out what comes once in many iterations, such as a garbage collection,
            and what grows with their number.
        median: The median over the windows of the mean iteration of each. It leaves out nothing, neither the noise.
    """

    low: float
    median: float

    @classmethod
    def of(cls, windows: Sequence[Sequence[float]]) -> Cost:
        """Return the cost of an iteration from the durations in each window."""
        pooled = [duration for window in windows for duration in window]
        return cls(quantiles(pooled, n=10, method="inclusive")[0], median(map(fmean, windows)))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.low - other.low, self.median - other.median)


def in_turns(windows: Mapping[K, Callable[[], T]], rounds: int) -> dict[K, list[T]]:
    """Take each window once a round, and return the results of each.

    All candidates share the rounds, so that a slow minute of the machine hits all of them: the ratios are good
    also where the times are not. Every second round runs backwards, so that no candidate always follows the same one.
    """
    results: dict[K, list[T]] = {key: [] for key in windows}
    order = list(windows)
    for number in range(rounds):
        for key in reversed(order) if number % 2 else order:
            results[key].append(windows[key]())
    return results


def round_robin(windows: Mapping[K, Window], rounds: int) -> dict[K, float]:
    """Return the median over the rounds for each window; the rounds are those of `in_turns`."""
    return {key: median(taken) for key, taken in in_turns(windows, rounds).items()}


def stopwatch(drive: Callable[[int], None], repetitions: int) -> float:
    """Return the seconds that one of the repetitions takes, as `timeit` does it: without garbage collection."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        drive(repetitions)
        return (time.perf_counter() - start) / repetitions
    finally:
        gc.enable()
