from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest
from simple_hub import SimpleHub
from simple_trainer import Trainer, correct

import runtimeinfo
from runtimeinfo_conformance import HubSubject, Plan, Subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._judging import find_killer, judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode, Report, Tally, Verdict
from runtimeinfo_conformance.guards import Guard, SubjectMisbehaved
from runtimeinfo_conformance.plans import HubOp, HubPlan

PATIENCE = 0.3


def train(plan: Plan, hooks: Any) -> None:
    Trainer(plan, hooks).fit()


def judged(run: Any, plan: Plan | None = None) -> Tally:
    tally = Tally()
    judge_plan(Subject("any", "1", run=run), plan or Plan(), tally, Guard(PATIENCE))
    return tally


@pytest.fixture
def release() -> Generator[threading.Event]:
    """Lets the threads that a test has left behind go, and waits for them."""
    before, event = set(threading.enumerate()), threading.Event()
    yield event
    event.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()


# -- one plan


def test_all_judges_look_at_the_same_run() -> None:
    ran: list[Plan] = []

    def run(plan: Plan, hooks: Any) -> None:
        ran.append(plan)
        train(plan, hooks)

    tally = judged(run)
    assert len(ran) == tally.plans == 1
    assert tally.events > 0
    assert sum(count.occurrences > 0 for count in tally.counts.values()) > 10
    assert (tally.crash, tally.stopped) == (None, False)


def test_the_first_crash_is_kept_with_what_was_printed() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        print("epoch", plan.seed)
        print("and a warning", file=sys.stderr)
        raise ZeroDivisionError(plan.seed)

    subject, tally = Subject("any", "1", run=run), Tally()
    for seed in (1, 2):
        judge_plan(subject, Plan(seed=seed), tally)
    assert tally.crash is not None
    assert isinstance(tally.crash.error, ZeroDivisionError)
    assert tally.crash.error.args == (1,)
    assert tally.crash.plan == Plan(seed=1)
    assert tally.crash.printed == "epoch 1\nand a warning\n"
    assert (tally.stopped, tally.plans) == (False, 2)


def test_output_of_all_runs_of_a_plan_is_kept() -> None:
    calls: list[int] = []

    def run(plan: Plan, hooks: Any) -> None:
        calls.append(1)
        print("run", len(calls))
        train(plan, hooks)
        if len(calls) == 2:
            raise ZeroDivisionError

    tally = judged(run, Plan(repeat=True))
    assert tally.crash is not None
    assert tally.crash.printed == "run 1\nrun 2\n"


def test_a_run_that_raises_since_it_breaks_a_rule_did_not_crash() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        train(plan, hooks)
        raise RuntimeError("of its own")

    assert judged(run).crash is not None

    def run_without_optimizer(plan: Plan, hooks: Any) -> None:
        trainer = Trainer(plan, hooks)
        del trainer.optim_wrapper
        trainer.fit()

    tally = judged(run_without_optimizer)
    assert tally.crash is None
    assert tally.counts["COUNT-09"].failure is not None


def test_an_upcoming_rule_explains_no_crash() -> None:
    calls: list[int] = []

    def run(plan: Plan, hooks: Any) -> None:
        calls.append(1)
        if len(calls) == 2:  # as who trains but once in a process
            raise RuntimeError("once only")
        train(plan, hooks)

    def crash_of(spec: str) -> Any:
        calls.clear()
        tally = Tally()
        judge_plan(Subject("once", "1", run=run, spec=spec), Plan(repeat=True), tally)
        return tally.crash

    assert crash_of("0.1") is not None
    assert crash_of("0.2") is None  # it is LIFE-10's


def test_a_killer_is_the_first_plan_that_shows_it() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        Trainer(plan, hooks if plan.seed < 3 else []).fit()

    subject = Subject("any", "1", run=run)
    plans = [Plan(seed=seed) for seed in range(6)]
    failure = find_killer(subject, "LIFE-03", plans)
    assert failure is not None
    assert failure.plan == Plan(seed=3)
    assert find_killer(subject, "LIFE-03", plans[:3]) is None
    assert find_killer(correct(), "LIFE-03", plans) is None


def test_a_hub_that_raises_where_it_must_not_is_no_crash() -> None:
    class Raises(SimpleHub):
        def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
            raise OSError("full")

    tally = Tally()
    judge_plan(HubSubject("hub", "1", make=Raises), HubPlan((HubOp("update_info"),)), tally)
    assert tally.crash is None
    assert tally.counts["HUB-01"].failure is not None


# -- what no run may do: each ends the check at once


def hangs(plan: Plan, hooks: Any) -> None:
    print("waiting for a lock")
    while True:
        time.sleep(0.01)


def exits(plan: Plan, hooks: Any) -> None:
    print("bye")
    os._exit(0)


def leaves(plan: Plan, hooks: Any) -> None:
    raise SystemExit(0)


def tampers(plan: Plan, hooks: Any) -> None:
    runtimeinfo.RuntimeInfoHook.before_run = lambda self, runner: None
    train(plan, hooks)


def adds_a_judge(plan: Plan, hooks: Any) -> None:
    from runtimeinfo_conformance.judges import JUDGES

    JUDGES["LIFE-03"] = lambda case: iter(())
    train(plan, hooks)


@pytest.mark.parametrize(
    ("run", "kind", "said", "printed"),
    [
        (hangs, "hang", "it did not come back within 0.3 s, and was interrupted here:", "waiting for a lock\n"),
        (exits, "exit", "it called os._exit(0) at", "bye\n"),
        (leaves, "exit", "it called sys.exit(0) at", ""),
        (tampers, "tampering", "it replaced runtimeinfo.RuntimeInfoHook.before_run while it ran", ""),
        (adds_a_judge, "tampering", "it replaced runtimeinfo_conformance.judges.JUDGES['LIFE-03'] while it ran", ""),
    ],
)
def test_forbidden_act_of_a_run_ends_the_check(run: Any, kind: str, said: str, printed: str) -> None:
    ran: list[Plan] = []

    def noted(plan: Plan, hooks: Any) -> None:
        ran.append(plan)
        run(plan, hooks)

    before = runtimeinfo.RuntimeInfoHook.before_run
    report = check(Subject("any", "1", run=noted), PROFILES["quick"], hang_seconds=PATIENCE)
    assert len(ran) == report.plans == 1
    assert runtimeinfo.RuntimeInfoHook.before_run is before
    has_broken(report, kind, said)
    assert report.crash is not None
    assert report.crash.printed == printed


def has_broken(report: Report, kind: str, said: str) -> None:
    assert report.exit_code is ExitCode.SUBJECT_BROKE
    assert report.of(Verdict.FAIL) == []
    assert report.crash is not None
    error = report.crash.error
    assert isinstance(error, SubjectMisbehaved)
    assert error.kind == kind
    assert str(error).startswith(said)
    assert (report.survivors, report.warnings, report.troubles) == ((), (), ())


def test_a_thread_left_behind_ends_the_check(release: threading.Event) -> None:
    def run(plan: Plan, hooks: Any) -> None:
        train(plan, hooks)
        threading.Thread(target=release.wait, name=f"poller of {plan.seed}").start()

    report = check(Subject("any", "1", run=run), PROFILES["quick"])
    has_broken(report, "threads", "it left behind, still alive 1 s after the run: the thread 'poller of")
    # A framework may build a pool in its first runs, and keep it.
    assert report.plans <= 3


def test_a_hang_on_a_later_plan_ends_the_check_there() -> None:
    ran: list[Plan] = []

    def run(plan: Plan, hooks: Any) -> None:
        ran.append(plan)
        if plan.batches == 0:
            hangs(plan, hooks)
        train(plan, hooks)

    report = check(Subject("any", "1", run=run), PROFILES["quick"], hang_seconds=PATIENCE)
    has_broken(report, "hang", "it did not come back within 0.3 s")
    assert ran[-1].batches == 0
    assert 1 < report.plans < PROFILES["quick"].plans


def test_a_hub_that_hangs_ends_the_check() -> None:
    class Hangs(SimpleHub):
        def get_info(self, key: str, default: Any = None) -> Any:
            hangs(Plan(), ())

    report = check(HubSubject("hub", "1", make=Hangs), PROFILES["quick"], hang_seconds=PATIENCE)
    assert report.exit_code is ExitCode.SUBJECT_BROKE
    assert report.crash is not None
    assert "did not come back within 0.3 s" in str(report.crash.error)
    assert report.plans == 1


def test_broken_rule_stays_broken() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        if plan.max_epochs == 2:  # not the first plan
            hangs(plan, hooks)
        Trainer(plan, hooks).scope("run", lambda: None)

    report = check(Subject("any", "1", run=run), PROFILES["quick"], hang_seconds=PATIENCE)
    assert report.crash is not None
    assert "LIFE-03" in {result.requirement.id for result in report.of(Verdict.FAIL)}
    assert report.exit_code is ExitCode.VIOLATED


def test_a_subject_is_asked_for_patience() -> None:
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="hang_seconds must be positive and finite"):
            check(correct(), PROFILES["quick"], hang_seconds=seconds)
