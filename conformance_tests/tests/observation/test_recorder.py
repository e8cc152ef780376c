from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from simple_hub import SimpleHub

from runtimeinfo import use_hub
from runtimeinfo_conformance import Fault, Plan
from runtimeinfo_conformance.observation._observation import Leg
from runtimeinfo_conformance.observation._recorder import Probe, Recorder
from runtimeinfo_conformance.observation._user_hooks import make_hook


def runner(**members: Any) -> Any:
    hub = SimpleHub()
    hub.update_info("iter", 4)
    hub.update_scalar("train/loss", 0.5)
    rates = SimpleNamespace(get_lr=lambda: {"lr": [0.25, 0.5]})
    return SimpleNamespace(message_hub=hub, epoch=1, iter=5, optim_wrapper=rates, **members)


def test_a_recorder_notes_what_it_sees() -> None:
    leg = Leg(Plan())
    recorder = Recorder(leg)
    probe, last = make_hook(Probe("first", recorder.sightings).note, "HIGH"), make_hook(recorder.note, "LOWEST")
    shown = runner()
    probe.before_train_iter(shown, batch_idx=0)
    last.before_train_iter(shown, batch_idx=0, data_batch="batch")
    last.after_train_iter(shown, 0, "batch")
    first, second = leg.records
    assert (first.event, first.epoch, first.iter) == ("before_train_iter", 1, 5)
    assert first.arguments == {"batch_idx": 0, "data_batch": "batch"}
    assert second.arguments == {"batch_idx": 0, "data_batch": "batch", "outputs": None}
    assert (first.info, first.scalars, first.rates) == ({"iter": 4}, {"train/loss": (0.5,)}, {"lr": (0.25, 0.5)})
    assert [tuple(getattr(each, name) for name in ("probe", "runner", "hub")) for each in first.seen] == [
        ("first", (1, 5), (None, 4))
    ]
    assert (second.seen, second.rates) == ((), {})


def test_a_record_does_not_change_with_the_hub() -> None:
    leg = Leg(Plan())
    recorder, shown = Recorder(leg), runner()
    recorder.note(
        "before_train",
        SimpleNamespace(
            **vars(shown),
            cfg=SimpleNamespace(pretty_text="a: 1"),
            seed=3,
            experiment_name="digits",
            framework_name="myfw",
            framework_version="2",
        ),
        {},
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
    recorder.note("before_val", shown, {})
    for entered in (shown.message_hub, Wrapper(shown.message_hub), another):
        with use_hub(entered):
            recorder.note("before_val", shown, {})
    assert [record.current for record in leg.records] == [
        {"iter": "nothing published", "train/loss": None},
        {"iter": 4, "train/loss": (0.5,)},
        {"iter": 4, "train/loss": (0.5,)},
        {"iter": 9, "train/loss": None},
    ]


@pytest.mark.parametrize(("kind", "raised"), [("error", ValueError), ("interrupt", KeyboardInterrupt)])
def test_a_recorder_raises_what_is_planned_once(kind: Any, raised: type[BaseException]) -> None:
    leg = Leg(Plan(fault=Fault("after_val", 1, kind)))
    recorder = Recorder(leg)
    recorder.note("after_val", runner(), {})
    with pytest.raises(raised) as caught:
        recorder.note("after_val", runner(), {})
    recorder.note("after_val", runner(), {})
    assert leg.planned is caught.value
    assert leg.fault_at == 1
    assert not leg.ended_well


def test_an_event_at_which_the_first_hook_raises_is_noted_once() -> None:
    leg, shown = Leg(Plan(fault=Fault("before_val", hook="first"))), runner()
    recorder = Recorder(leg)
    first = make_hook(Probe("first", recorder.sightings, recorder.note_first).note, "HIGH")
    with pytest.raises(ValueError) as caught:  # it has the words that a user may write
        first.before_val(shown)
    recorder.note("before_val", shown, {})  # a runner may go on with the hooks that are left
    recorder.note("after_val", shown, {})
    assert leg.planned is caught.value
    assert [(record.event, record.is_cut, len(record.seen)) for record in leg.records] == [
        ("before_val", True, 1),
        ("after_val", False, 0),
    ]


def test_nothing_to_finish_where_nothing_was_seen() -> None:
    leg = Leg(Plan())
    Recorder(leg).finish()
    assert leg.final_info is None
    assert leg.ended_well
