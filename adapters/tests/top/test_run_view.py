from __future__ import annotations

import math
from typing import Any

import pytest

from runtimeinfo_adapters.top._run_view import RunView

TRAINS = {"loop_stage": "train", "max_iters": 100}


def watched(at: Any, board: Any, times: range, step: float = 1.0, **about: Any) -> RunView:
    """Return a view of a run that does an iteration a step, and is looked at after each."""
    view = RunView(board(times.start * step, iter=0, **TRAINS), at(times.start * step), **about)
    for number in times[1:]:
        view.see(board(number * step, iter=number, **TRAINS), at(number * step))
    return view


def test_a_run_that_has_said_nothing_yet(at: Any, board: Any) -> None:
    run = RunView(board(), at(0.5)).run(at(0.5))
    assert (run.state, run.is_stalled, run.experiment_name, run.loop_stage) == ("live", False, None, None)
    assert (run.epoch, run.iter, run.max_epochs, run.max_iters, run.rate, run.eta_s) == (None,) * 6
    assert run.age_s == pytest.approx(0.5)


def test_rate_and_what_is_left(at: Any, board: Any) -> None:
    run = watched(at, board, range(11)).run(at(10))
    assert (run.iter, run.rate, run.eta_s) == (10, 1.0, 90.0)


@pytest.mark.parametrize("last", [{"max_iters": None}, {"max_iters": 5}, {"iter": None}])
def test_what_is_left_is_not_known(at: Any, board: Any, last: dict[str, Any]) -> None:
    view = watched(at, board, range(11))
    view.see(board(11, **({"iter": 11} | TRAINS | last)), at(11))
    assert view.run(at(11)).eta_s is None


@pytest.mark.parametrize("odd", [True, 1.5, "7", math.nan, (1,), 10**400])
def test_a_counter_that_is_none_is_not_known(at: Any, board: Any, odd: Any) -> None:
    infos = {"iter": odd, "epoch": odd, "max_iters": odd, "max_epochs": odd, "experiment_name": 5, "loop_stage": ()}
    run = RunView(board(**infos), at(0)).run(at(0))
    assert (run.epoch, run.iter, run.max_epochs, run.max_iters) == (None,) * 4
    assert (run.experiment_name, run.loop_stage) == (None, None)


def test_counters_without_reason(at: Any, board: Any) -> None:
    view = RunView(board(0, iter=-(2**62), **TRAINS), at(0))
    for second in range(1, 4):
        view.see(board(second, iter=2**62 + second, **TRAINS), at(second))
    run = view.run(at(4))
    assert (run.iter, run.eta_s) == (2**62 + 3, None)


# -- the age


def test_the_age_grows_until_the_next_write(at: Any, board: Any) -> None:
    view = RunView(board(0), at(2))
    assert view.run(at(5)).age_s == pytest.approx(5)
    view.see(board(5.5), at(6))
    assert view.run(at(7)).age_s == pytest.approx(1.5)


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0])
def test_a_clock_that_is_set_changes_no_age(at: Any, board: Any, wrong: float) -> None:
    view = RunView(board(0), at(0))
    assert view.run(at(3, wrong)).age_s == pytest.approx(3)
    view.see(board(4 + wrong), at(4.5, wrong))
    assert view.run(at(5, wrong)).age_s == pytest.approx(1)
    view.see(board(6), at(6.5, wrong))  # it was written since the last look, whatever the clocks say
    assert 0 <= view.run(at(6.5, wrong)).age_s <= 2


def test_what_was_written_in_the_future_is_new_and_grows_old(at: Any, board: Any) -> None:
    view = RunView(board(9999), at(0))
    assert view.run(at(0)).age_s == 0
    assert view.run(at(31)).age_s == pytest.approx(31)


# -- stalled


def test_it_stalls_once_it_is_silent_for_long(at: Any, board: Any) -> None:
    view = watched(at, board, range(11))
    assert [view.run(at(second)).is_stalled for second in (10, 39, 41)] == [False, False, True]
    stalled = view.run(at(41))
    assert (stalled.state, stalled.rate, stalled.eta_s) == ("live", None, None)
    view.see(board(42, iter=11, **TRAINS), at(42))
    assert not view.run(at(42)).is_stalled


def test_a_slow_run_is_given_ten_of_its_pauses(at: Any, board: Any) -> None:
    view = watched(at, board, range(11), step=20)
    assert [view.run(at(200 + second)).is_stalled for second in (190, 210)] == [False, True]


def test_at_the_first_look_the_pauses_are_known_from_what_was_written(at: Any, board: Any) -> None:
    slow = board(200, scalars={"train/loss": (0.5, 10)}, **TRAINS)
    fast = board(200, scalars={"train/loss": (0.5, 1000)}, **TRAINS)
    assert not RunView(slow, at(300)).run(at(300)).is_stalled
    assert RunView(fast, at(300)).run(at(300)).is_stalled


@pytest.mark.parametrize("stage", ["val", "test", None])
def test_outside_of_training_it_is_given_more_time(at: Any, board: Any, stage: str | None) -> None:
    view = RunView(board(0, loop_stage=stage), at(0))
    assert [view.run(at(second)).is_stalled for second in (599, 601)] == [False, True]


def test_how_long_it_takes_to_stall_can_be_said(at: Any, board: Any) -> None:
    view = watched(at, board, range(1), stalled_after=2.0)
    assert [view.run(at(second)).is_stalled for second in (1.9, 2.1)] == [False, True]


@pytest.mark.parametrize("state", ["ended", "dead"])
def test_what_is_over_does_not_stall(at: Any, board: Any, state: str) -> None:
    view = watched(at, board, range(11))
    view.see(board(10, state=state, iter=10, **TRAINS), at(11))
    run = view.run(at(999))
    assert (run.state, run.is_stalled, run.rate, run.eta_s) == (state, False, None, None)
    assert not view.wants_rate


# -- scalars


def test_how_scalars_went(at: Any, board: Any) -> None:
    view = RunView(board(0, scalars={"train/loss": (3.0, 1)}), at(0))
    view.see(board(1, scalars={"train/loss": (2.0, 5), "val/acc": (math.nan, 1)}), at(1))
    run = view.run(at(1))
    assert run.courses["train/loss"] == (3.0, 2.0)
    assert repr(run.courses["val/acc"]) == "(nan,)"
    view.see(board(2, scalars={"val/acc": (0.5, 2)}), at(2))  # the hub has forgotten the other
    assert view.run(at(2)).courses.keys() == {"val/acc"}


def test_what_found_no_place_is_counted(at: Any, board: Any) -> None:
    run = RunView(board(0, unshared=frozenset({"picture"}), unshared_numbers=2), at(0)).run(at(0))
    assert run.unshared == 3
