from __future__ import annotations

import random

from runtimeinfo.spec import CLOSES, EVENTS, START, Lifecycle, Position
from runtimeinfo_conformance.traces._follower import correct, find_hidden


def position_after(*events: str) -> Position:
    position = START
    for event in events:
        position = position.after[event]
    return position


def follow(position: Position, event: str) -> Position:
    return position.after.get(event) or correct(position, event).after


def test_legal_and_illegal_events_lead_where_the_lifecycle_goes() -> None:
    rng = random.Random(0)
    for _ in range(200):
        position, lifecycle = START, Lifecycle()
        for _ in range(60):
            legal = [event for event in EVENTS if lifecycle.objection(event) is None]
            event = rng.choice(legal if rng.random() < 0.8 else EVENTS)
            objection = None if event in position.after else correct(position, event).objection
            assert objection == lifecycle.objection(event)
            innermost = {f"after_{scope}" for scope in position.open_scopes[-1:]}
            assert innermost.issuperset(CLOSES.keys() & position.after.keys())
            position = follow(position, event)
            if objection is None:
                lifecycle.advance(event)
            else:
                lifecycle.feed(event)
            assert position is lifecycle.position
            assert (position.open_scopes, position.aborting) == (lifecycle.open_scopes, lifecycle.aborting)
            assert position.stage == lifecycle.stage


def test_there_are_finitely_many_positions() -> None:
    known: set[Position] = set()
    new = [START]
    while new:
        position = new.pop()
        if position not in known:
            known.add(position)
            new += [follow(position, event) for event in EVENTS]
    assert 20 < len(known) < 500


def test_a_correction_names_the_scopes_that_an_event_leaves_open() -> None:
    epoch = position_after("before_run", "before_train", "before_train_epoch", "before_val")
    correction = correct(epoch, "after_train")
    assert correction.left_open == ("train_epoch", "val")
    assert correction.after.open_scopes == ("run",)
    assert correct(epoch, "after_test").left_open == ()
    assert correct(epoch, "after_test").after is epoch


def test_an_event_that_is_not_in_the_trace_is_found() -> None:
    epoch = position_after("before_run", "before_train", "before_train_epoch")
    found = find_hidden(epoch, "after_train_iter")
    assert found is not None
    assert (found[0], found[1].open_scopes) == ("before_train_iter", ("run", "train", "train_epoch"))
    found = find_hidden(epoch, "after_train")
    assert found is not None
    assert (found[0], found[1].open_scopes) == ("after_train_epoch", ("run",))
    assert find_hidden(epoch, "after_run") is None
    assert "before_train" not in epoch.after
