from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from mmengine.logging import HistoryBuffer

from runtimeinfo import HubError
from runtimeinfo_adapters import ScalarHistory
from runtimeinfo_adapters.distributed._aggregate import NOTHING, Marks, Share, UnreducedValuesWarning, last, share_of


def take(marks: Marks, history: Any) -> Share:
    (share,), after = marks.pending({"loss": history})
    marks.advance(after)
    return share


@pytest.mark.parametrize("kind", [ScalarHistory, HistoryBuffer])
def test_what_is_new_is_taken_once(kind: Any) -> None:
    marks, history = Marks(), kind()
    history.update(4.0)
    history.update(6.0, 3)
    assert take(marks, history) == Share(10.0, 4.0, 4.0, 6.0, 2.0)
    assert take(marks, history) == NOTHING
    history.update(1.0)
    assert take(marks, history) == Share(1.0, 1.0, 1.0, 1.0, 1.0)


def test_without_advance_it_stays_new() -> None:
    marks, history = Marks(), ScalarHistory()
    history.update(4.0)
    assert marks.pending({"loss": history})[0] == marks.pending({"loss": history})[0] != [NOTHING]


def test_what_comes_out_of_a_checkpoint_is_not_new() -> None:
    marks, history = Marks(), ScalarHistory([1.0, 2.0])
    history.update(4.0)
    assert take(marks, history) == Share(4.0, 1.0, 4.0, 4.0, 1.0)


def test_a_history_that_was_replaced_begins_again() -> None:
    marks = Marks()
    for value in (1.0, 2.0):
        history = ScalarHistory()
        history.update(value)
        assert take(marks, history).total == value


def test_a_full_ring_gives_what_it_has_and_warns() -> None:
    marks, history = Marks(), ScalarHistory(max_length=2)
    for value in (1.0, 2.0, 3.0):
        history.update(value)
    with pytest.warns(UnreducedValuesWarning, match=r"'loss' was updated 3 times since it was reduced, and keeps 2"):
        assert take(marks, history) == Share(5.0, 2.0, 2.0, 3.0, 2.0)
    history.update(4.0)
    assert take(marks, history) == Share(4.0, 1.0, 4.0, 4.0, 1.0)


def test_a_full_history_that_counts_nothing_is_an_error() -> None:
    marks, history = Marks(), HistoryBuffer(max_length=3)
    history.update(1.0)
    assert take(marks, history).updates == 1
    for value in (2.0, 3.0, 4.0):
        history.update(value)
    with pytest.raises(HubError, match=r"nobody can tell what is new in 'loss'.* Pass window=") as caught:
        take(marks, history)
    assert caught.value.key == "loss"
    assert share_of("loss", *last(history, 2)).total == 7.0


def test_values_that_another_thread_appends_meanwhile_are_taken_once() -> None:
    marks, history = Marks(), ScalarHistory()
    count = 50_000

    def write() -> None:
        for _ in range(count):
            history.update(1.0)

    writer = threading.Thread(target=write)
    writer.start()
    total = 0.0
    while writer.is_alive():
        total += take(marks, history).total
    total += take(marks, history).total
    assert total == count


def test_the_share_of_a_hub_is_what_its_own_statistics_say() -> None:
    history = ScalarHistory()
    for value in np.random.default_rng(0).normal(size=1000):
        history.update(value, 3)
    share = take(Marks(), history)
    assert share.total / share.weight == history.mean()
    assert (share.least, share.greatest) == (history.min(), history.max())


def test_integers_beyond_64_bits_do_not_wrap_around() -> None:
    assert share_of("big", np.array([2**62] * 4), [1] * 4).total == float(2**64)


def test_what_is_no_number_is_an_error() -> None:
    with pytest.raises(HubError, match=r"^'loss' holds what is no number: "):
        share_of("loss", ["high"], [1])
