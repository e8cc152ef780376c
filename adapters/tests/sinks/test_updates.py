"""Each kind of history: the reference hub's, mmengine's, and one of an unknown kind."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtimeinfo_adapters import MessageHub, ScalarHistory
from runtimeinfo_adapters.hub._scalar_history import update_count
from runtimeinfo_adapters.sinks._updates import HistoryPosition, UpdateTracker, total_updates

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    from mmengine.logging import HistoryBuffer


class Plain:
    """A history that keeps its values in one list, of a bounded length."""

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
def test_updates_are_counted_from_the_position(kind: Callable[..., Any]) -> None:
    history = kind()
    assert total_updates(history) == 0
    empty = HistoryPosition(history)
    history.update(1.0)
    position = HistoryPosition(history)
    assert (empty.updates_since(history), position.updates_since(history)) == (1, 0)
    for number in range(1, 4):
        history.update(1.0)  # the same value is an update too
        assert (empty.updates_since(history), position.updates_since(history)) == (number + 1, number)


@EACH
def test_nan_is_not_an_update_of_itself(kind: Callable[..., Any]) -> None:
    history = kind()
    history.update(math.nan)
    assert HistoryPosition(history).updates_since(history) == 0


@EACH
def test_an_update_of_a_full_history_is_noticed(kind: Callable[..., Any]) -> None:
    history = kind([1.0, 2.0], max_length=2)
    position = HistoryPosition(history)
    history.update(3.0)
    assert position.updates_since(history) == 1


@pytest.mark.parametrize(("kind", "updates"), [(ScalarHistory, 1), (Buffer, 1), (Plain, 0)])
def test_only_an_unknown_history_misses_the_same_value_in_a_full_one(kind: Callable[..., Any], updates: int) -> None:
    history = kind([1.0, 2.0], max_length=2)
    history.update(2.0)
    position = HistoryPosition(history)
    history.update(2.0)
    history.update(2.0)
    assert position.updates_since(history) == (2 if kind is ScalarHistory else updates)


@pytest.mark.parametrize(("kind", "updates"), [(ScalarHistory, 1), (Buffer, 3), (Plain, 3)])
def test_loaded_updates_are_left_out_where_updates_are_counted(kind: Callable[..., Any], updates: int) -> None:
    position = HistoryPosition(kind([1.0]))
    loaded = kind([1.0, 2.0])
    loaded.update(3.0)
    assert not position.is_in(loaded)
    assert position.updates_since(loaded) == total_updates(loaded) == updates
    assert (update_count(loaded) is not None) is (kind is ScalarHistory)


@pytest.mark.parametrize("kind", [ScalarHistory, Buffer])
def test_a_position_does_not_copy_the_values(kind: Callable[..., Any]) -> None:
    import tracemalloc

    history = kind(np.zeros(200_000))
    history.update(1.0)
    history.current()
    tracemalloc.start()
    try:
        HistoryPosition(history).updates_since(history)
        assert tracemalloc.get_traced_memory()[1] < 10_000  # the values take 1,600,000
    finally:
        tracemalloc.stop()


def updates(tracker: UpdateTracker, *, only_since_hold: bool = False) -> dict[str, int]:
    return {key: number for key, _, number in tracker.take(only_since_hold=only_since_hold)}


def test_values_at_the_beginning_are_not_taken() -> None:
    hub = MessageHub("tracked")
    hub.update_scalar("old", 1.0)
    tracker = UpdateTracker(hub)
    assert updates(tracker) == {}
    hub.update_scalars({"old": 2.0, "new": 1.0})
    hub.update_scalar("new", 2.0)
    assert updates(tracker) == {"old": 1, "new": 2}
    assert updates(tracker) == {}


def test_held_scalars_are_taken_later_unless_updated_again() -> None:
    hub = MessageHub("tracked")
    tracker = UpdateTracker(hub)
    hub.update_scalars({"loss": 1.0, "grad": 1.0})
    tracker.hold()
    assert updates(tracker, only_since_hold=True) == {}
    hub.update_scalars({"acc": 1.0, "grad": 2.0})
    assert updates(tracker, only_since_hold=True) == {"acc": 1, "grad": 1}
    hub.update_scalar("loss", 2.0)
    assert updates(tracker) == {"loss": 2}


def test_a_scalar_that_was_removed_and_came_back_is_taken() -> None:
    hub = MessageHub("tracked")
    hub.update_scalar("acc", 1.0)
    tracker = UpdateTracker(hub)
    hub.pop_scalar("acc")
    assert updates(tracker) == {}
    hub.update_scalar("acc", 1.0)
    assert updates(tracker) == {"acc": 1}


def test_a_checkpoint_is_not_taken_but_updates_before_it_are() -> None:
    saved = MessageHub("saved")
    saved.update_scalars({"loss": 1.0, "other": 1.0})
    hub = MessageHub("tracked")
    tracker = UpdateTracker(hub)
    hub.update_scalar("mine", 1.0)
    hub.load_state_dict(saved.state_dict())
    tracker.skip_loaded()
    hub.update_scalar("loss", 2.0)
    assert updates(tracker) == {"mine": 1, "loss": 1}


def test_values_that_were_taken_back_are_not_updates_and_hide_no_later_one() -> None:
    hub = MessageHub("retracting")
    tracker = UpdateTracker(hub)
    hub.update_scalar("train/lr", 0.1)
    assert [(key, updates) for key, _, updates in tracker.take()] == [("train/lr", 1)]
    hub.drop_latest("train/lr")
    assert tracker.take() == []
    hub.update_scalar("train/lr", 0.2)
    assert [(key, updates) for key, _, updates in tracker.take()] == [("train/lr", 1)]
