from __future__ import annotations

import os
import threading

from broken_runners import correct, subject_of
from odd_runners import ReadsAhead

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._execution import execute
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._reads import hearing_reads, tell_of_read
from runtimeinfo_conformance._verdict import ExitCode


def test_who_listens_last_is_told() -> None:
    heard: list[str] = []
    with hearing_reads(lambda: heard.append("outer")):
        with hearing_reads(lambda: heard.append("inner")):
            tell_of_read()
        tell_of_read()
    tell_of_read()
    assert heard == ["inner", "outer"]


def test_each_item_of_a_plan_is_told_of() -> None:
    plan, heard = Plan(batches=3, val_batches=2, test_batches=1), [0]

    def hear() -> None:
        heard[0] += 1

    with hearing_reads(hear):
        for loader in (plan.train_dataloader(), plan.val_dataloader(), plan.test_dataloader()):
            list(loader)
    assert heard == [6]


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
