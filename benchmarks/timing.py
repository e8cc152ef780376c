"""How a time is taken on a machine that others use too."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

Window = Callable[[], float]
"""Sets itself up, then returns the seconds that one repetition took."""


def round_robin(windows: Mapping[K, Window], rounds: int) -> dict[K, float]:
    """Take each window once a round, and return the median over the rounds for each.

    All candidates share the rounds, so that a slow minute of the machine hits all of them: the ratios are good
    also where the times are not.
    """
    seconds: dict[K, list[float]] = {key: [] for key in windows}
    for _ in range(rounds):
        for key, window in windows.items():
            seconds[key].append(window())
    return {key: median(taken) for key, taken in seconds.items()}


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
