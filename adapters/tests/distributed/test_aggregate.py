from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from mmengine.logging import HistoryBuffer

from runtimeinfo import HubError
from runtimeinfo_adapters import ScalarHistory
from runtimeinfo_adapters.distributed._aggregate import (
    EMPTY,
    Aggregate,
    Offsets,
    UnreducedValuesWarning,
    aggregate_of,
    latest_values,
)


def take(offsets: Offsets, history: Any) -> Aggregate:
    (aggregate,), after = offsets.pending({"loss": history})
    offsets.advance(after)
    return aggregate


@pytest.mark.parametrize("kind", [ScalarHistory, HistoryBuffer])
def test_new_values_are_reduced_once(kind: Any) -> None:
    offsets, history = Offsets(), kind()
    history.update(4.0)
    history.update(6.0, 3)
    assert take(offsets, history) == Aggregate(10.0, 4.0, 4.0, 6.0, 2.0)
    assert take(offsets, history) == EMPTY
    history.update(1.0)
    assert take(offsets, history) == Aggregate(1.0, 1.0, 1.0, 1.0, 1.0)


def test_values_stay_new_without_advance() -> None:
    offsets, history = Offsets(), ScalarHistory()
    history.update(4.0)
    assert offsets.pending({"loss": history})[0] == offsets.pending({"loss": history})[0] != [EMPTY]


def test_values_from_a_checkpoint_are_not_new() -> None:
    offsets, history = Offsets(), ScalarHistory([1.0, 2.0])
    history.update(4.0)
    assert take(offsets, history) == Aggregate(4.0, 1.0, 4.0, 4.0, 1.0)


def test_a_history_that_was_replaced_begins_again() -> None:
    offsets = Offsets()
    for value in (1.0, 2.0):
        history = ScalarHistory()
        history.update(value)
        assert take(offsets, history).total == value


def test_a_value_that_is_taken_back_is_not_reduced_unless_it_was_already() -> None:
    offsets, history = Offsets(), ScalarHistory()
    history.update(1.0)
    history.update(2.0)
    history.drop_latest()
    assert take(offsets, history) == Aggregate(1.0, 1.0, 1.0, 1.0, 1.0)
    history.drop_latest()
    assert take(offsets, history) == EMPTY
    history.update(3.0)
    assert take(offsets, history) == Aggregate(3.0, 1.0, 3.0, 3.0, 1.0)


def test_a_history_of_another_hub_that_counts_its_updates_is_reduced_by_their_number() -> None:
    class Counting(HistoryBuffer):
        update_count = 0

        def update(self, *args: Any, **kwargs: Any) -> None:
            super().update(*args, **kwargs)
            self.update_count += 1

    offsets, history = Offsets(), Counting(max_length=3)
    for value in (1.0, 2.0, 3.0):
        history.update(value)
    assert take(offsets, history).total == 6.0
    assert take(offsets, history) == EMPTY
    history.update(4.0)  # one more, although the length stays
    assert take(offsets, history) == Aggregate(4.0, 1.0, 4.0, 4.0, 1.0)


def test_a_history_is_reduced_without_moving_its_numbers() -> None:
    offsets, history = Offsets(), ScalarHistory()
    for value in (1.0, 2, 3.0):
        history.update(value)
        assert take(offsets, history) == Aggregate(value, 1.0, value, value, 1.0)
    assert history.pending == [1.0, 2, 3.0]


def test_a_full_ring_gives_what_it_has_and_warns() -> None:
    offsets, history = Offsets(), ScalarHistory(max_length=2)
    for value in (1.0, 2.0, 3.0):
        history.update(value)
    with pytest.warns(UnreducedValuesWarning, match=r"'loss' was updated 3 times since it was reduced, and keeps 2"):
        assert take(offsets, history) == Aggregate(5.0, 2.0, 2.0, 3.0, 2.0)
    history.update(4.0)
    assert take(offsets, history) == Aggregate(4.0, 1.0, 4.0, 4.0, 1.0)


def test_a_full_history_that_counts_nothing_is_an_error() -> None:
    offsets, history = Offsets(), HistoryBuffer(max_length=3)
    history.update(1.0)
    assert take(offsets, history).updates == 1
    for value in (2.0, 3.0, 4.0):
        history.update(value)
    with pytest.raises(HubError, match=r"the new values of 'loss' cannot be distinguished.* Pass window=") as caught:
        take(offsets, history)
    assert caught.value.key == "loss"
    assert aggregate_of("loss", *latest_values(history, 2)).total == 7.0


def test_values_that_another_thread_appends_meanwhile_are_taken_once() -> None:
    offsets, history = Offsets(), ScalarHistory()
    count = 50_000

    def write() -> None:
        for _ in range(count):
            history.update(1.0)

    writer = threading.Thread(target=write)
    writer.start()
    total = 0.0
    while writer.is_alive():
        total += take(offsets, history).total
    total += take(offsets, history).total
    assert total == count


def test_aggregate_equals_the_statistics_of_the_history() -> None:
    history = ScalarHistory()
    for value in np.random.default_rng(0).normal(size=1000):
        history.update(value, 3)
    aggregate = take(Offsets(), history)
    assert aggregate.total / aggregate.weight == history.mean()
    assert (aggregate.least, aggregate.greatest) == (history.min(), history.max())


def test_integers_beyond_64_bits_do_not_wrap_around() -> None:
    assert aggregate_of("big", np.array([2**62] * 4), [1] * 4).total == float(2**64)


def test_value_that_is_not_a_number_is_an_error() -> None:
    with pytest.raises(HubError, match=r"^'loss' holds a value that is not a number: "):
        aggregate_of("loss", ["high"], [1])
