from __future__ import annotations

import os
import threading

from odd_runners import ReadsAhead
from simple_trainer import correct, subject_of

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._execution import execute
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.plans._reads import Item, hearing_reads, tell_of_read


def test_who_listens_last_is_told() -> None:
    heard: list[str] = []
    item = Item("train", epoch=0, index=0)
    with hearing_reads(lambda _: heard.append("outer")):
        with hearing_reads(lambda _: heard.append("inner")):
            tell_of_read(item)
        tell_of_read(item)
    tell_of_read(item)
    assert heard == ["inner", "outer"]


def test_each_item_of_a_plan_is_told_of() -> None:
    plan, heard = Plan(max_epochs=2, batches=2, val_batches=2, test_batches=1), list[Item]()
    train, val, test = plan.train_dataloader(), plan.val_dataloader(), plan.test_dataloader()
    with hearing_reads(heard.append):
        for loader in (train, val, train, test):
            list(loader)
    assert [(item.stage, item.index) for item in heard] == [
        *(("train", 0), ("train", 1), ("val", 0), ("val", 1), ("train", 0), ("train", 1), ("test", 0)),
    ]
    assert [item.epoch for item in heard if item.stage == "train"] == [0, 0, 1, 1]


def test_what_is_read_by_the_training_is_looked_at() -> None:
    (leg,) = execute(correct(), Plan(batches=2, val_batches=1))
    assert [leg.records[glance.at].event for glance in leg.glances] == [
        "before_train_epoch",
        "after_train_iter",
        "before_val_epoch",
    ]
    assert leg.place == (os.getpid(), threading.get_ident())


def test_what_is_read_ahead_is_not() -> None:
    (leg,) = execute(subject_of(ReadsAhead), Plan(batches=2, val_batches=1))
    assert leg.glances == []
    assert leg.ended_well


def test_to_read_ahead_is_legal() -> None:
    report = check(subject_of(ReadsAhead), PROFILES["quick"])
    assert (report.exit_code, report.survivors) == (ExitCode.CONFORMANT, ())
