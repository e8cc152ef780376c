from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtimeinfo import LifecycleError
from runtimeinfo.spec import ABORT, CLOSES, EVENTS, FREE_EVENTS, GRAMMAR, START, Lifecycle, Origin, Position, Step

any_streams = st.lists(st.sampled_from(EVENTS), max_size=30)

IN_AN_ITERATION = ("before_run", "before_train", "before_train_epoch", "before_train_iter")


@st.composite
def legal_streams(draw: st.DrawFn, max_size: int = 40) -> list[str]:
    """Walk at random over what may come next, without on_exception."""
    lifecycle, stream = Lifecycle(), []
    for _ in range(draw(st.integers(0, max_size), label="length")):
        choices = [event for event in EVENTS if event != ABORT and lifecycle.objection(event) is None]
        stream.append(draw(st.sampled_from(choices), label="event"))
        lifecycle.advance(stream[-1])
    return stream


def after_events(events: Iterable[str]) -> Lifecycle:
    lifecycle = Lifecycle()
    for event in events:
        lifecycle.advance(event)
    return lifecycle


def feed_all(lifecycle: Lifecycle, events: Iterable[str]) -> list[Step]:
    return [step for event in events for step in lifecycle.feed(event)]


def events_of(steps: Iterable[Step]) -> list[str]:
    return [step.event for step in steps]


def everything_about(lifecycle: Lifecycle) -> dict[str, Any]:
    return {
        "open_scopes": lifecycle.open_scopes,
        "stage": lifecycle.stage,
        "aborting": lifecycle.aborting,
        "objections": {event: lifecycle.objection(event) for event in EVENTS},
    }


def closes(scopes: Iterable[str]) -> list[str]:
    return [f"after_{scope}" for scope in reversed(tuple(scopes))]


# -- feed


@given(any_streams)
def test_any_input_gives_a_legal_stream(stream: list[str]) -> None:
    lifecycle, strict = Lifecycle(), Lifecycle()
    for event in stream:
        for step in lifecycle.feed(event):
            strict.advance(step.event)
        assert everything_about(strict) == everything_about(lifecycle)


@given(st.lists(st.sampled_from(EVENTS) | st.integers(0, 5), max_size=20))
def test_any_aborted_input_gives_a_legal_stream(stream: list[str | int]) -> None:
    lifecycle, strict = Lifecycle(), Lifecycle()
    for event in stream:
        steps = lifecycle.feed(event) if isinstance(event, str) else lifecycle.abort(keep=event)
        for step in steps:
            strict.advance(step.event)
    assert strict.open_scopes == lifecycle.open_scopes


@given(any_streams)
def test_every_event_that_is_fed_comes_out_last_or_not_at_all(stream: list[str]) -> None:
    lifecycle = Lifecycle()
    for event in stream:
        steps = lifecycle.feed(event)
        raw = [step.event for step in steps if step.origin is Origin.RAW]
        assert raw in ([event], [])
        if event != ABORT and steps:
            assert steps[-1] == Step(event, Origin.RAW)
            assert {step.origin for step in steps[:-1]} <= {Origin.SYNTHESIZED}


@given(legal_streams())
def test_a_legal_stream_is_left_as_it_is(stream: list[str]) -> None:
    assert feed_all(Lifecycle(), stream) == [Step(event, Origin.RAW) for event in stream]


@given(legal_streams())
def test_a_legal_stream_that_crashes_and_closes_is_left_as_it_is(stream: list[str]) -> None:
    open_scopes = after_events(stream).open_scopes
    assume(open_scopes)
    whole = [*stream, ABORT, *closes(open_scopes)]
    after_events(whole)
    steps = feed_all(Lifecycle(), whole)
    assert events_of(steps) == whole
    assert [step.origin for step in steps[len(stream) + 1 :]] == [Origin.ABORT] * len(open_scopes)


@given(any_streams)
def test_a_run_after_a_crash_is_like_the_first(stream: list[str]) -> None:
    lifecycle = Lifecycle()
    feed_all(lifecycle, [*stream, ABORT])
    assert everything_about(lifecycle) == everything_about(Lifecycle())


@pytest.mark.parametrize("event", sorted(FREE_EVENTS))
@given(stream=legal_streams())
def test_a_checkpoint_event_may_come_anywhere_and_moves_nothing(event: str, stream: list[str]) -> None:
    lifecycle = after_events(stream)
    before = everything_about(lifecycle)
    assert lifecycle.feed(event) == (Step(event, Origin.RAW),)
    assert everything_about(lifecycle) == before


@pytest.mark.parametrize(
    ("opened", "event", "synthesized"),
    [
        ((), "before_run", []),
        ((), "before_train_iter", ["before_run", "before_train", "before_train_epoch"]),
        ((), "before_val_iter", ["before_run", "before_val", "before_val_epoch"]),
        (IN_AN_ITERATION, "before_train_iter", ["after_train_iter"]),
        (IN_AN_ITERATION, "before_train_epoch", ["after_train_iter", "after_train_epoch"]),
        (IN_AN_ITERATION, "after_run", ["after_train_iter", "after_train_epoch", "after_train"]),
        (IN_AN_ITERATION, "before_val", []),
        ((*IN_AN_ITERATION, "before_val"), "after_val", ["before_val_epoch", "after_val_epoch"]),
        ((*IN_AN_ITERATION, "before_val"), "after_train_iter", ["before_val_epoch", "after_val_epoch", "after_val"]),
        (
            ("before_run", "before_val"),
            "before_test_epoch",
            ["before_val_epoch", "after_val_epoch", "after_val", "before_test"],
        ),
        (("before_run", "before_test"), "after_run", ["before_test_epoch", "after_test_epoch", "after_test"]),
    ],
)
def test_missing_events_are_synthesized(opened: tuple[str, ...], event: str, synthesized: list[str]) -> None:
    steps = after_events(opened).feed(event)
    assert steps == (*(Step(name, Origin.SYNTHESIZED) for name in synthesized), Step(event, Origin.RAW))


def test_a_validation_that_has_held_an_epoch_gets_no_other() -> None:
    lifecycle = after_events(["before_run", "before_val", "before_val_epoch", "after_val_epoch"])
    assert lifecycle.feed("after_val") == (Step("after_val", Origin.RAW),)


def test_a_close_without_an_open_is_dropped() -> None:
    lifecycle = after_events(["before_run"])
    before = everything_about(lifecycle)
    assert [lifecycle.feed(event) for event in CLOSES if event != "after_run"] == [()] * (len(CLOSES) - 1)
    assert everything_about(lifecycle) == before


def test_on_exception_with_nothing_open_emits_nothing() -> None:
    lifecycle = Lifecycle()
    assert lifecycle.feed(ABORT) == ()
    assert lifecycle.abort() == ()
    assert everything_about(lifecycle) == everything_about(Lifecycle())


def test_an_open_after_a_strict_on_exception_closes_the_innermost_scope_first() -> None:
    lifecycle = after_events([*IN_AN_ITERATION, ABORT])
    assert events_of(lifecycle.feed("before_val")) == ["after_train_iter", "before_val"]
    assert not lifecycle.aborting


@pytest.mark.parametrize("method", ["plan", "feed", "advance"])
def test_an_unknown_event_raises_and_changes_nothing(method: str) -> None:
    lifecycle = after_events(IN_AN_ITERATION)
    before = everything_about(lifecycle)
    with pytest.raises(
        LifecycleError, match=r"before_lunch is illegal here: there is no such event. There are before_run, "
    ) as caught:
        getattr(lifecycle, method)("before_lunch")
    assert caught.value.event == "before_lunch"
    assert everything_about(lifecycle) == before


# -- plan


@given(any_streams, st.sampled_from(EVENTS))
def test_plan_tells_what_feed_will_do_and_changes_nothing(stream: list[str], event: str) -> None:
    lifecycle = Lifecycle()
    feed_all(lifecycle, stream)
    before = everything_about(lifecycle)
    planned = lifecycle.plan(event)
    assert everything_about(lifecycle) == before
    assert lifecycle.feed(event) == planned


@given(legal_streams(), st.sampled_from(EVENTS))
def test_plan_changes_nothing_during_an_abnormal_end(stream: list[str], event: str) -> None:
    assume(after_events(stream).open_scopes)
    lifecycle = after_events([*stream, ABORT])
    before = everything_about(lifecycle)
    planned = lifecycle.plan(event)
    assert everything_about(lifecycle) == before
    for step in planned:
        lifecycle.advance(step.event)


# -- advance


@given(legal_streams(), st.booleans(), st.sampled_from(EVENTS))
def test_an_illegal_event_raises_and_changes_nothing(stream: list[str], crash: bool, event: str) -> None:
    lifecycle = after_events(stream)
    if crash and lifecycle.open_scopes:
        lifecycle.advance(ABORT)
    objection = lifecycle.objection(event)
    assume(objection is not None)
    before = everything_about(lifecycle)
    with pytest.raises(LifecycleError) as caught:
        lifecycle.advance(event)
    assert caught.value.event == event
    assert caught.value.open_scopes == before["open_scopes"]
    assert caught.value.requirement == "LIFE-01"
    remedy = "Emit what belongs before it, or feed() it, which puts that in"
    assert str(caught.value) == f"{event} is illegal here: {objection}. {remedy} [LIFE-01]"
    assert everything_about(lifecycle) == before


@pytest.mark.parametrize(
    ("opened", "event", "objection"),
    [
        ([], "before_train", "it must come directly inside 'run', but no scope is open"),
        (["before_run"], "before_run", "it must come directly inside no scope, but the innermost open scope is 'run'"),
        ([], "after_run", "it closes 'run', but no scope is open"),
        (["before_run", "before_train"], "after_run", "it closes 'run', but the innermost open scope is 'train'"),
        (["before_run", "before_val"], "after_val", "'val' must have held at least one 'val_epoch'"),
        ([], ABORT, "no scope is open"),
        (["before_run", ABORT], "before_train", "after on_exception the innermost scope must close first"),
        ([], "before_lunch", "there is no such event"),
    ],
)
def test_the_objection_says_why(opened: list[str], event: str, objection: str) -> None:
    assert after_events(opened).objection(event) == objection
    if "before_val" in opened:
        assert after_events([*opened, "before_val_epoch", "after_val_epoch"]).objection(event) is None


# -- stage


@given(any_streams)
def test_the_stage_is_that_of_the_innermost_scope_that_has_one(stream: list[str]) -> None:
    lifecycle = Lifecycle()
    feed_all(lifecycle, stream)
    stages = [scope.split("_")[0] for scope in lifecycle.open_scopes if scope != "run"]
    assert lifecycle.stage == (stages[-1] if stages else None)


def test_the_stage_goes_back_to_what_it_was() -> None:
    lifecycle = Lifecycle()
    stages = []
    for event in ("before_run", "before_train", "before_val", "after_val", "before_test", "after_test", "after_train"):
        lifecycle.feed(event)
        stages.append(lifecycle.stage)
    assert stages == [None, "train", "val", "train", "test", "train", None]


# -- abort


@given(legal_streams(), st.integers(0, 6))
def test_abort_closes_all_but_the_outermost_scopes(stream: list[str], keep: int) -> None:
    lifecycle = after_events(stream)
    opened = lifecycle.open_scopes
    steps = lifecycle.abort(keep)
    assert lifecycle.open_scopes == opened[:keep]
    if len(opened) <= keep:
        assert steps == ()
        assert not lifecycle.aborting
        return
    assert steps == (
        Step(ABORT, Origin.RAW),
        *(Step(event, Origin.ABORT) for event in closes(opened[keep:])),
    )
    assert lifecycle.aborting is (keep > 0)


@given(legal_streams())
def test_an_exception_that_is_known_already_is_not_announced_again(stream: list[str]) -> None:
    lifecycle, strict = after_events(stream), after_events(stream)
    depth = len(lifecycle.open_scopes)
    steps = [step for keep in reversed(range(depth)) for step in lifecycle.abort(keep, announce=keep == depth - 1)]
    assert events_of(steps) == events_of(after_events(stream).abort())
    for event in events_of(steps):
        strict.advance(event)
    assert everything_about(lifecycle) == everything_about(strict) == everything_about(Lifecycle())


def test_abort_without_an_announcement_only_closes() -> None:
    steps = after_events(IN_AN_ITERATION).abort(keep=2, announce=False)
    assert steps == (Step("after_train_iter", Origin.ABORT), Step("after_train_epoch", Origin.ABORT))


def test_a_scope_that_ends_abnormally_needs_no_child() -> None:
    lifecycle = after_events(["before_run", "before_train", "before_val", "before_val_epoch", "before_val_iter"])
    lifecycle.abort(keep=2)
    assert events_of(lifecycle.feed("before_val")) == ["before_val"]
    assert events_of(lifecycle.abort(keep=2)) == [ABORT, "after_val"]


def test_a_scope_that_the_exception_did_not_leave_goes_on() -> None:
    lifecycle = after_events(IN_AN_ITERATION)
    lifecycle.abort(keep=3)
    assert lifecycle.aborting
    lifecycle.advance("before_train_iter")
    assert not lifecycle.aborting


def test_closes_go_on_as_far_out_as_the_exception_does() -> None:
    lifecycle = after_events([*IN_AN_ITERATION, "before_val", ABORT])
    aborting = []
    for event in closes(["run", "train", "train_epoch", "train_iter", "val"]):
        lifecycle.advance(event)
        aborting.append(lifecycle.aborting)
    assert aborting == [True, True, True, True, False]


def test_every_scope_is_reached_by_the_random_walks() -> None:
    seen: set[str] = set()

    @given(legal_streams())
    def walk(stream: list[str]) -> None:
        seen.update(after_events(stream).open_scopes)

    walk()
    assert seen == set(GRAMMAR)


def every_position() -> list[Position]:
    found = {START: None}
    queue = [START]
    while queue:
        for after in queue.pop().after.values():
            if after not in found:
                found[after] = None
                queue.append(after)
    return list(found)


def test_a_position_is_one_object_however_it_is_reached() -> None:
    first, second = Lifecycle(), Lifecycle()
    for event in ("before_run", "before_train", "before_train_epoch", "before_val"):
        first.feed(event)
    second.feed("before_train_epoch")
    second.feed("before_train_iter")
    second.feed("before_val")
    second.feed("after_val")
    second.feed("after_train_iter")
    second.feed("before_val")
    assert first.position is second.position


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda position: pickle.loads(pickle.dumps(position))])
def test_a_copy_of_a_position_is_the_position(clone: Callable[[Position], Position]) -> None:
    assert all(clone(position) is position for position in every_position())


def test_the_table_says_of_each_event_what_the_objection_says() -> None:
    lifecycle = Lifecycle()
    for position in every_position():
        for event in EVENTS:
            lifecycle.position = position
            assert (lifecycle.objection(event) is None) == (event in position.after) == lifecycle.try_advance(event)
            assert lifecycle.position is position.after.get(event, position)


def test_a_position_knows_its_stage() -> None:
    stages = {position.open_scopes: position.stage for position in every_position()}
    assert stages[()] is None
    assert stages[("run",)] is None
    assert stages["run", "train", "train_epoch", "train_iter"] == "train"
    assert stages["run", "train", "val", "val_epoch"] == "val"
    assert stages["run", "test"] == "test"
