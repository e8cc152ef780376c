from __future__ import annotations

from runtimeinfo.spec import ABORT
from runtimeinfo_conformance import Plan
from runtimeinfo_conformance.observation._observation import Expectation, Leg, Record


def record(event: str) -> Record:
    return Record(event, {}, 0, 0, {}, {}, {}, {}, (), {})


def leg_of(*events: str, plan: Plan | None = None, fault_at: int | None = None) -> Leg:
    return Leg(plan or Plan(), records=[record(event) for event in events], fault_at=fault_at)


def last(leg: Leg) -> Expectation:
    return leg.expectations()[-1]


EPOCH = ("before_run", "before_train", "before_train_epoch")
ITERATION = ("before_train_iter", "after_train_iter")
VALIDATION = ("before_val", "before_val_epoch", "after_val_epoch", "after_val")


def test_counters_count_what_is_completed() -> None:
    model = leg_of(*EPOCH, *ITERATION, *ITERATION, "after_train_epoch", "after_train").expectations()
    assert [each.iter for each in model] == [0, 0, 0, 0, 0, 1, 1, 2, 2]
    assert [each.epoch for each in model] == [0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_counters_of_a_resumed_training_go_on() -> None:
    model = last(leg_of("before_run", plan=Plan(max_epochs=3, batches=2, start_epoch=2)))
    assert (model.epoch, model.iter) == (2, 4)


def test_stages() -> None:
    model = leg_of(*EPOCH, *VALIDATION, "after_train_epoch", "after_train").expectations()
    assert [each.stage for each in model] == [None, "train", "train", "val", "val", "val", "train", "train", None]


def test_failures_are_not_counted() -> None:
    events = (*EPOCH, *ITERATION, ABORT, "after_train_epoch", "after_train", "after_run")
    model = leg_of(*events, fault_at=4).expectations()
    assert [each.aborting for each in model] == [False] * 5 + [True] * 4
    assert (model[-1].epoch, model[-1].iter) == (0, 0)


def test_the_closes_of_an_abnormal_end_are_not_counted() -> None:
    events = (*EPOCH, "before_train_iter", ABORT, "after_train_iter", "after_train_epoch", "after_train", "after_run")
    assert (last(leg_of(*events, fault_at=3)).epoch, last(leg_of(*events, fault_at=3)).iter) == (0, 0)


def test_an_illegal_event_is_objected_to_and_the_model_goes_on() -> None:
    model = leg_of("before_run", "before_train_iter", "after_train_iter").expectations()
    assert [each.objection is None for each in model] == [True, False, True]
    assert model[1].inside == ("run", "train", "train_epoch", "train_iter")
    assert model[2].outside == model[1].inside
