from __future__ import annotations

import random

from runtimeinfo.spec import CLOSES, EVENTS, START, Lifecycle, Position
from runtimeinfo_conformance.observation import RunModel, correct


def model_after(*events: str) -> RunModel:
    model = RunModel()
    for event in events:
        model.advance(event)
        if not model.aborting:
            model.count(event)
    return model


def follow(position: Position, event: str) -> Position:
    return position.after.get(event) or correct(position, event).after


def test_legal_and_illegal_events_lead_to_the_position_of_the_lifecycle() -> None:
    rng = random.Random(0)
    for _ in range(200):
        position, lifecycle, model = START, Lifecycle(), RunModel()
        for _ in range(60):
            legal = [event for event in EVENTS if lifecycle.objection(event) is None]
            event = rng.choice(legal if rng.random() < 0.8 else EVENTS)
            objection = None if event in position.after else correct(position, event).objection
            assert objection == lifecycle.objection(event)
            innermost = {f"after_{scope}" for scope in position.open_scopes[-1:]}
            assert innermost.issuperset(CLOSES.keys() & position.after.keys())
            position = follow(position, event)
            correction = model.advance(event)
            assert (correction is None, model.position) == (objection is None, position)
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
    epoch = model_after("before_run", "before_train", "before_train_epoch", "before_val").position
    correction = correct(epoch, "after_train")
    assert correction.left_open == ("train_epoch", "val")
    assert correction.after.open_scopes == ("run",)
    assert correct(epoch, "after_test").left_open == ()
    assert correct(epoch, "after_test").after is epoch


EPOCH = ("before_run", "before_train", "before_train_epoch")
ITERATION = ("before_train_iter", "after_train_iter")


def test_completed_iterations_and_epochs_are_counted() -> None:
    model = model_after(*EPOCH, *ITERATION, *ITERATION, "after_train_epoch")
    assert (model.iter, model.epoch) == (2, 1)


def test_the_last_close_of_an_abnormal_end_belongs_to_it() -> None:
    model = model_after(*EPOCH, *ITERATION, "on_exception", "after_train_epoch", "after_train", "after_run")
    assert model.aborting
    assert not model.position.aborting
    assert (model.iter, model.epoch) == (1, 0)
    model.advance("before_run")
    assert not model.aborting


def test_a_reset_model_is_before_a_run() -> None:
    model = model_after(*EPOCH, *ITERATION, "on_exception")
    model.reset()
    assert (model.position, model.aborting, model.iter, model.epoch) == (START, False, 0, 0)
