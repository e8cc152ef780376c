"""Each kind of history: the reference hub's, mmengine's, and one of which nothing is known."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtimeinfo_adapters import ScalarHistory
from runtimeinfo_adapters.sinks._mark import Mark, counts_updates, updates_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    from mmengine.logging import HistoryBuffer


class Plain:
    """Keeps its values in one list, of a bounded length."""

    def __init__(self, values: Any = (), max_length: int = 100) -> None:
        self.values, self.max_length = list(values), max_length

    @property
    def data(self) -> tuple[Any, Any]:
        return np.array(self.values), np.ones(len(self.values))

    def update(self, value: float) -> None:
        self.values = [*self.values, value][-self.max_length :]

    def current(self) -> float:
        if not self.values:
            raise ValueError("it is empty")
        return self.values[-1]

    min = max = mean = statistics = current


class Buffer(HistoryBuffer):  # type: ignore[misc]
    def __init__(self, values: Any = (), max_length: int = 1_000_000) -> None:
        super().__init__(values, [1] * len(values), max_length)


KINDS: list[Callable[..., Any]] = [ScalarHistory, Buffer, Plain]
EACH = pytest.mark.parametrize("kind", KINDS)


@EACH
def test_updates_are_counted_from_the_mark(kind: Callable[..., Any]) -> None:
    history = kind()
    assert updates_of(history) == 0
    empty = Mark(history)
    history.update(1.0)
    mark = Mark(history)
    assert (empty.updates_of(history), mark.updates_of(history)) == (1, 0)
    for number in range(1, 4):
        history.update(1.0)  # the same value is an update too
        assert (empty.updates_of(history), mark.updates_of(history)) == (number + 1, number)


@EACH
def test_nan_is_no_news_of_itself(kind: Callable[..., Any]) -> None:
    history = kind()
    history.update(math.nan)
    assert Mark(history).updates_of(history) == 0


@EACH
def test_a_full_history_has_news_all_the_same(kind: Callable[..., Any]) -> None:
    history = kind([1.0, 2.0], max_length=2)
    mark = Mark(history)
    history.update(3.0)
    assert mark.updates_of(history) == 1


@pytest.mark.parametrize(("kind", "updates"), [(ScalarHistory, 1), (Buffer, 1), (Plain, 0)])
def test_only_an_unknown_history_misses_the_same_value_in_a_full_one(kind: Callable[..., Any], updates: int) -> None:
    history = kind([1.0, 2.0], max_length=2)
    history.update(2.0)
    mark = Mark(history)
    history.update(2.0)
    history.update(2.0)
    assert mark.updates_of(history) == (2 if kind is ScalarHistory else updates)


@pytest.mark.parametrize(("kind", "updates"), [(ScalarHistory, 1), (Buffer, 3), (Plain, 3)])
def test_what_came_out_of_a_checkpoint_is_told_where_updates_are_counted(
    kind: Callable[..., Any], updates: int
) -> None:
    mark = Mark(kind([1.0]))
    loaded = kind([1.0, 2.0])
    loaded.update(3.0)
    assert not mark.is_of(loaded)
    assert mark.updates_of(loaded) == updates_of(loaded) == updates
    assert counts_updates(loaded) is (kind is ScalarHistory)


@pytest.mark.parametrize("kind", [ScalarHistory, Buffer])
def test_looking_does_not_copy_the_values(kind: Callable[..., Any]) -> None:
    import tracemalloc

    history = kind(np.zeros(200_000))
    history.update(1.0)
    history.current()
    tracemalloc.start()
    try:
        Mark(history).updates_of(history)
        assert tracemalloc.get_traced_memory()[1] < 10_000  # the values take 1,600,000
    finally:
        tracemalloc.stop()
