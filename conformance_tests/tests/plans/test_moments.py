from __future__ import annotations

import os
import threading

from odd_runners import ReadsAhead
from simple_trainer import correct, subject_of

from runtimeinfo_conformance import Fault, Plan
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.observation._execution import execute
from runtimeinfo_conformance.plans._moments import Item, hearing, notify_read, notify_step

RUN = Plan().experiment_name


class Heard:
    ended_epochs = 0
    begun = 0

    def on_batch_begin(self) -> None:
        self.begun += 1

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.firsts: list[tuple[object, Item]] = []
        self.iterators = 0
        self.steps = 0

    def on_read(self, item: Item) -> None:
        self.items.append(item)

    def on_step(self) -> None:
        self.steps += 1

    def on_iterator(self) -> object:
        self.iterators = self.iterators + 1
        return self.iterators

    def on_first_read(self, seen: object, item: Item) -> None:
        self.firsts.append((seen, item))


def test_last_listener_is_called() -> None:
    item = Item("train", epoch=0, index=0)
    outer, inner = Heard(), Heard()
    with hearing(RUN, outer):
        with hearing(RUN, inner):
            notify_read(RUN, item, os.getpid())
            notify_step(RUN)
        notify_step(RUN)
        Plan().on_batch_begin()
    notify_read(RUN, item, os.getpid())
    assert (outer.items, outer.steps, outer.begun) == ([], 1, 1)
    assert (inner.items, inner.steps, inner.begun) == ([item], 1, 0)


def test_an_iterator_is_told_of_as_it_is_made_and_its_epoch_with_the_first_item() -> None:
    heard, loader = Heard(), Plan(batches=2, max_epochs=3).train_dataloader()
    with hearing(RUN, heard):
        early = [iter(loader), iter(loader)]
        assert (heard.iterators, heard.firsts) == (2, [])
        assert len(list(early[1])) == len(list(early[0])) == 2
        iter(loader)  # one that nothing is read from has no epoch
    assert heard.firsts == [(2, Item("train", 0, 0)), (1, Item("train", 1, 0))]
    assert [item.epoch for item in heard.items] == [0, 0, 1, 1]


def test_each_run_has_its_own_listener() -> None:
    one, other = Plan(experiment_name="one", outputs=(("loss", "float"),)), Plan(experiment_name="other")
    heard, not_meant = Heard(), Heard()
    with hearing("one", heard), hearing("other", not_meant):
        (batch,) = one.train_dataloader()
        assert batch.outputs
        one.on_batch_begin()
        list(other.train_dataloader())
    assert (len(heard.items), heard.steps, heard.begun) == (1, 1, 1)
    assert (len(not_meant.items), not_meant.steps, not_meant.begun) == (1, 0, 0)


def test_a_step_is_told_of_where_a_training_batch_is_asked_what_to_return() -> None:
    plan, heard = Plan(outputs=(("loss", "float"),), val_batches=1), Heard()
    (batch,), (val_batch,) = plan.train_dataloader(), plan.val_dataloader()
    with hearing(RUN, heard):
        assert (batch.outputs, val_batch.outputs) == (plan.outputs_of(0), {})
    assert heard.steps == 1


def test_each_item_of_a_plan_is_told_of() -> None:
    plan, heard = Plan(max_epochs=2, batches=2, val_batches=2, test_batches=1), Heard()
    train, val, test = plan.train_dataloader(), plan.val_dataloader(), plan.test_dataloader()
    with hearing(RUN, heard):
        for loader in (train, val, train, test):
            list(loader)
    assert [(item.stage, item.index) for item in heard.items] == [
        *(("train", 0), ("train", 1), ("val", 0), ("val", 1), ("train", 0), ("train", 1), ("test", 0)),
    ]
    assert [item.epoch for item in heard.items if item.stage == "train"] == [0, 0, 1, 1]


def test_reads_by_the_training_are_judged() -> None:
    (leg,) = execute(correct(), Plan(batches=2, val_batches=1))
    assert [leg.records[glance.at].event for glance in leg.glances] == [
        "before_train_epoch",
        "after_train_iter",
        "before_val_epoch",
    ]
    assert leg.place == (os.getpid(), threading.get_ident())


def test_reads_ahead_are_not_recorded() -> None:
    (leg,) = execute(subject_of(ReadsAhead), Plan(batches=2, val_batches=1))
    assert leg.glances == []
    assert leg.ended_well


def test_read_ahead_raises_nothing_in_its_thread() -> None:
    (leg,) = execute(subject_of(ReadsAhead), Plan(batches=2, fault=Fault("train_data")))
    assert leg.ended_well


def test_to_read_ahead_is_legal() -> None:
    report = check(subject_of(ReadsAhead), PROFILES["quick"])
    assert (report.exit_code, report.survivors) == (ExitCode.CONFORMANT, ())
