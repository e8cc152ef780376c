"""x"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters.sinks._updates import Mark, News, counts_updates, updates_of

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


def updates(news: News, *, only_since_hold: bool = False) -> dict[str, int]:
    return {key: number for key, _, number in news.take(only_since_hold=only_since_hold)}


def test_what_was_there_at_the_beginning_is_no_news() -> None:
    hub = MessageHub("news")
    hub.update_scalar("old", 1.0)
    news = News(hub)
    assert updates(news) == {}
    hub.update_scalars({"old": 2.0, "new": 1.0})
    hub.update_scalar("new", 2.0)
    assert updates(news) == {"old": 1, "new": 2}
    assert updates(news) == {}


def test_what_is_held_stays_news_unless_it_comes_again() -> None:
    hub = MessageHub("news")
    news = News(hub)
    hub.update_scalars({"loss": 1.0, "grad": 1.0})
    news.hold()
    assert updates(news, only_since_hold=True) == {}
    hub.update_scalars({"acc": 1.0, "grad": 2.0})
    assert updates(news, only_since_hold=True) == {"acc": 1, "grad": 1}
    hub.update_scalar("loss", 2.0)
    assert updates(news) == {"loss": 2}


def test_a_scalar_that_was_taken_away_and_came_back_is_news() -> None:
    hub = MessageHub("news")
    hub.update_scalar("acc", 1.0)
    news = News(hub)
    hub.pop_scalar("acc")
    assert updates(news) == {}
    hub.update_scalar("acc", 1.0)
    assert updates(news) == {"acc": 1}


def test_a_checkpoint_is_no_news_and_what_was_published_before_it_is() -> None:
    saved = MessageHub("saved")
    saved.update_scalars({"loss": 1.0, "other": 1.0})
    hub = MessageHub("news")
    news = News(hub)
    hub.update_scalar("mine", 1.0)
    hub.load_state_dict(saved.state_dict())
    news.skip_loaded()
    hub.update_scalar("loss", 2.0)
    assert updates(news) == {"mine": 1, "loss": 1}
