from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from simple_hub import SimpleHub

from runtimeinfo import ABORT, use_hub
from runtimeinfo_conformance import Fault, Plan, PlannedError
from runtimeinfo_conformance._observation import Expectation, Leg, Probe, Record, Recorder


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


def test_what_failed_is_not_counted() -> None:
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


def runner(**members: Any) -> Any:
    hub = SimpleHub()
    hub.update_info("iter", 4)
    hub.update_scalar("train/loss", 0.5)
    rates = SimpleNamespace(get_lr=lambda: {"lr": [0.25, 0.5]})
    return SimpleNamespace(message_hub=hub, epoch=1, iter=5, optim_wrapper=rates, **members)


def test_a_recorder_notes_what_it_sees() -> None:
    leg = Leg(Plan())
    recorder = Recorder(leg)
    probe = Probe("first", "HIGH", recorder.sightings)
    shown = runner()
    probe.before_train_iter(shown, batch_idx=0)
    recorder.before_train_iter(shown, batch_idx=0, data_batch="batch")
    recorder.after_train_iter(shown, 0, "batch", None)
    first, second = leg.records
    assert (first.event, first.epoch, first.iter) == ("before_train_iter", 1, 5)
    assert first.arguments == {"batch_idx": 0, "data_batch": "batch"}
    assert second.arguments == {"batch_idx": 0, "data_batch": "batch", "outputs": None}
    assert (first.info, first.scalars, first.rates) == ({"iter": 4}, {"train/loss": (0.5,)}, {"lr": 0.25})
    assert [(each.probe, each.runner_iter, each.hub_iter) for each in first.seen] == [("first", 5, 4)]
    assert (second.seen, second.rates) == ((), {})


def test_a_record_does_not_change_with_the_hub() -> None:
    leg = Leg(Plan())
    recorder, shown = Recorder(leg), runner()
    recorder.before_train(
        SimpleNamespace(
            **vars(shown),
            cfg=SimpleNamespace(pretty_text="a: 1"),
            seed=3,
            experiment_name="digits",
            framework_name="myfw",
            framework_version="2",
        )
    )
    shown.message_hub.update_info("iter", 9)
    shown.message_hub.update_scalar("train/loss", 1.5)
    assert leg.records[0].info == {"iter": 4}
    assert leg.records[0].scalars == {"train/loss": (0.5,)}
    assert leg.records[0].identity == {"cfg": "a: 1", "seed": 3, "experiment_name": "digits", "myfw_version": "2"}
    recorder.finish()
    assert leg.final_info == {"iter": 9}


class Wrapper:
    """What a component may depend on, and no more."""

    def __init__(self, hub: SimpleHub) -> None:
        self.get_info = hub.get_info
        self.get_scalar = hub.get_scalar


def test_a_recorder_asks_the_current_hub_what_the_hub_holds() -> None:
    leg, shown = Leg(Plan()), runner()
    recorder, another = Recorder(leg), SimpleHub()
    another.update_info("iter", 9)
    recorder.before_val(shown)
    for entered in (shown.message_hub, Wrapper(shown.message_hub), another):
        with use_hub(entered):
            recorder.before_val(shown)
    assert [record.current for record in leg.records] == [
        {"iter": None, "train/loss": None},
        {"iter": 4, "train/loss": (0.5,)},
        {"iter": 4, "train/loss": (0.5,)},
        {"iter": 9, "train/loss": None},
    ]


@pytest.mark.parametrize(("kind", "raised"), [("error", PlannedError), ("interrupt", KeyboardInterrupt)])
def test_a_recorder_raises_what_is_planned_once(kind: Any, raised: type[BaseException]) -> None:
    leg = Leg(Plan(fault=Fault("after_val", 1, kind)))
    recorder = Recorder(leg)
    recorder.after_val(runner())
    with pytest.raises(raised, match="planned at after_val, occurrence 1") as caught:
        recorder.after_val(runner())
    recorder.after_val(runner())
    assert leg.planned is caught.value
    assert leg.fault_at == 1
    assert not leg.ended_well


def test_nothing_to_finish_where_nothing_was_seen() -> None:
    leg = Leg(Plan())
    Recorder(leg).finish()
    assert leg.final_info is None
    assert leg.ended_well
