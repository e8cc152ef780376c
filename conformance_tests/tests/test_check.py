from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from broken_runners import CountsEpochsFromOne, SwallowsInterrupts
from simple_hub import SimpleHub
from simple_trainer import Trainer, subject_of

from runtimeinfo.board import CHECK_VARIABLE, find_board, read_board
from runtimeinfo_conformance import HubSubject, Plan, Subject, SubjectError, _canaries
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode, Report, Tally, Verdict
from runtimeinfo_conformance.guards import HANG_SECONDS
from runtimeinfo_conformance.mutants import Mutant
from runtimeinfo_conformance.plans import HubPlan

QUICK = PROFILES["quick"]


def bare(run: Any) -> Subject:
    return Subject("bare", "1", run=run)


def train(plan: Plan, hooks: Any) -> None:
    Trainer(plan, hooks).fit()


def verdicts(report: Report) -> list[tuple[str, Verdict, int]]:
    return [(result.requirement.id, result.verdict, result.occurrences) for result in report.results]


class Checked(NamedTuple):
    """A check of a runner that does everything right, and declares nothing.

    Attributes:
        report: The report.
        told: How far it was, each time that this was told.
        left: How long each run might have taken.
        marks: Whether the boards of its runs were marked.
    """

    report: Report
    told: list[tuple[str, int, int]]
    left: list[float]
    marks: set[bool | None]


class NotesMark:
    """A hook that notes whether the board of its run is marked as the kit's."""

    def __init__(self, marks: set[bool | None]) -> None:
        self.marks = marks

    def after_train(self, runner: Any) -> None:
        path = find_board(os.getpid())
        identity = None if path is None else read_board(path).identity
        self.marks.add(None if identity is None else identity.is_check)


@pytest.fixture(scope="module")
def checked() -> Checked:
    told: list[tuple[str, int, int]] = []
    left: list[float] = []
    marks: set[bool | None] = set()

    def run(plan: Plan, hooks: Any) -> None:
        left.append(signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "setitimer") else 0.0)
        train(plan, [*hooks, NotesMark(marks)])

    report = check(bare(run), QUICK, lambda *progress: told.append(progress), hang_seconds=1000.0)
    return Checked(report, told, left, marks)


def test_only_what_is_declared_applies(checked: Checked) -> None:
    report = checked.report
    assert report.exit_code is ExitCode.CONFORMANT
    result = next(result for result in report.results if result.requirement.id == "LIFE-06")
    assert (result.verdict, result.reason) == (Verdict.NOT_APPLICABLE, "not declared: val")


def test_boards_of_a_check_are_marked_as_its_own(checked: Checked) -> None:
    assert checked.marks == {True}
    assert CHECK_VARIABLE not in os.environ


def test_a_run_that_does_nothing_is_vacuous() -> None:
    report = check(Subject("idle", "1", run=lambda plan, hooks: None, capabilities={"val"}), QUICK)
    assert report.exit_code is ExitCode.VACUOUS
    assert report.of(Verdict.FAIL, Verdict.PASS) == []
    assert "hand them on" in report.of(Verdict.NOT_EXERCISED)[0].reason


def test_a_run_that_never_trains_is_violated() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        trainer = Trainer(plan, hooks)
        trainer.scope("run", lambda: None)

    report = check(bare(run), QUICK)
    assert report.exit_code is ExitCode.VIOLATED
    assert {"LIFE-03", "LIFE-04"} <= {result.requirement.id for result in report.of(Verdict.FAIL)}
    assert "COUNT-01" in {result.requirement.id for result in report.of(Verdict.NOT_EXERCISED)}


def test_a_declared_capability_that_does_nothing_is_violated() -> None:
    class IgnoresValidation(Trainer):
        def evaluate(self, stage: str, loaders: Any) -> None:
            pass

    report = check(subject_of(IgnoresValidation), QUICK)
    assert report.exit_code is ExitCode.VIOLATED
    assert {result.requirement.id for result in report.of(Verdict.FAIL)} == {"LIFE-06", "LIFE-07", "LIFE-13", "LIFE-16"}


def test_a_fault_that_nobody_notices_is_vacuous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_canaries, "RUNNER_MUTANTS", (Mutant("nothing at all", "LIFE-03"),))
    report = check(bare(train), QUICK)
    assert report.survivors == ("LIFE-03: nothing at all",)
    assert report.exit_code is ExitCode.VACUOUS


def test_a_subject_that_crashes_has_broken() -> None:
    error = ZeroDivisionError("of its own")

    def run(plan: Plan, hooks: Any) -> None:
        raise error

    report = check(bare(run), QUICK)
    assert report.exit_code is ExitCode.SUBJECT_BROKE
    assert report.crash is not None
    assert report.crash.error is error


def test_a_subject_that_exits_has_broken() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        raise SystemExit(0)

    assert check(bare(run), QUICK).exit_code is ExitCode.SUBJECT_BROKE


def test_a_crash_on_one_plan_is_not_hidden_by_the_others() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        if plan.batches == 3:
            raise ZeroDivisionError
        train(plan, hooks)

    report = check(bare(run), QUICK)
    assert report.exit_code is ExitCode.SUBJECT_BROKE
    assert report.crash is not None
    assert isinstance(report.crash.plan, Plan)
    assert report.crash.plan.batches == 3


def test_a_hub_that_cannot_be_listed_breaks_the_subject_and_not_the_kit() -> None:
    class Hub(SimpleHub):
        def __getattribute__(self, name: str) -> Any:
            if name == "log_scalars" and super().__getattribute__("runtime_info"):
                raise AttributeError(name)
            return super().__getattribute__(name)

    class Runner(Trainer):
        def __init__(self, plan: Plan, hooks: Any) -> None:
            super().__init__(plan, hooks)
            self.message_hub = Hub()

    report = check(bare(lambda plan, hooks: Runner(plan, hooks).fit()), QUICK)
    assert report.crash is not None
    assert "log_scalars" in str(report.crash.error)


def test_a_hub_that_crashes_has_broken() -> None:
    def make(name: str) -> Any:
        raise ZeroDivisionError

    assert check(HubSubject("hub", "1", make=make), QUICK).exit_code is ExitCode.SUBJECT_BROKE


def test_the_same_plans_each_time(checked: Checked) -> None:
    once, again = checked.report, check(bare(train), QUICK)
    assert verdicts(once) == verdicts(again)
    assert (once.plans, once.exit_code) == (again.plans, again.exit_code) == (QUICK.plans, ExitCode.CONFORMANT)
    assert once.seed is None


def test_a_broken_requirement_comes_with_a_small_plan() -> None:
    report = check(subject_of(CountsEpochsFromOne), QUICK)
    failure = next(result.failure for result in report.results if result.requirement.id == "COUNT-03")
    assert failure is not None
    assert failure.plan == Plan()
    assert failure.leg is not None
    assert failure.finding.at is not None
    assert failure.leg.records[failure.finding.at].event == "before_train_epoch"
    assert (failure.finding.expected, failure.finding.observed) == ({"epoch": 0}, {"epoch": 1})


@pytest.mark.parametrize("answer", ["swallows", "raises another"])
def test_the_planned_exception_has_to_come_out(answer: str) -> None:
    def run(plan: Plan, hooks: Any) -> None:
        try:
            train(plan, hooks)
        except Exception:
            if answer == "raises another":
                raise ValueError("another") from None

    report = check(bare(run), QUICK)
    (result,) = report.of(Verdict.FAIL)
    assert result.requirement.id == "FAIL-01"
    assert result.failure is not None
    assert repr(result.failure.finding.observed) == {"swallows": "'no exception'"}.get(answer, "ValueError('another')")


def test_an_interrupt_of_the_users_own_comes_out() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        raise KeyboardInterrupt("the user's")

    with pytest.raises(KeyboardInterrupt, match="the user's"):
        check(bare(run), QUICK)


def test_an_interrupt_of_the_plan_does_not() -> None:
    assert check(subject_of(SwallowsInterrupts), QUICK).exit_code is ExitCode.VIOLATED


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no alarm here")
def test_each_run_may_take_as_long_as_was_said(checked: Checked) -> None:
    """Also those with a fault put in: a slow runner would let them all survive."""
    assert len(checked.left) > checked.report.plans
    assert min(checked.left) > HANG_SECONDS


def test_progress_is_told(checked: Checked) -> None:
    assert ("plans", 1, QUICK.plans) in checked.told
    assert ("plans", QUICK.plans, QUICK.plans) in checked.told
    what, done, total = checked.told[-1]
    assert what == "faults put in on purpose"
    assert done == total > 0


def test_a_plan_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="a hub takes a HubPlan"):
        judge_plan(HubSubject("hub", "1", make=SimpleHub), Plan(), Tally())
    with pytest.raises(TypeError, match="a runner takes a Plan"):
        judge_plan(bare(train), HubPlan(), Tally())


def test_a_seed_is_kept_in_the_report() -> None:
    report = check(bare(train), QUICK, seed=7, target="tests/test_it.py")
    assert (report.seed, report.target, report.exit_code) == (7, "tests/test_it.py", ExitCode.CONFORMANT)


def test_a_search_with_new_plans_each_time_says_its_seed() -> None:
    free = replace(QUICK, derandomize=False)
    seeds = {check(bare(lambda plan, hooks: None), free).seed for _ in range(2)}
    assert len(seeds) == 2
    assert all(seed is not None for seed in seeds)
    assert check(bare(lambda plan, hooks: None), free, seed=5).seed == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Subject("myfw", "1", run="run"), "myfw: run must be callable as run(plan, hooks), but is 'run'"),
        (lambda: HubSubject("hub", "1", make=None), "hub: make must be callable as make(name), but is None"),
        (lambda: Subject("f", "1", run=print, capabilities={"resum"}), "no capability 'resum'; did you mean 'resume'?"),
        (lambda: Subject("f", "1", run=print, capabilities={"zzz"}), "no capability 'zzz'; there are val, val_before"),
        (
            lambda: Subject("f", "1", run=print, spec="0.4"),
            "f: there is no spec version '0.4'; there are 0.1, 0.2, 0.3",
        ),
        (
            lambda: HubSubject("h", "1", make=print, spec="1"),
            "h: there is no spec version '1'; there are 0.1, 0.2, 0.3",
        ),
    ],
    ids=["run", "make", "misspelt", "unknown", "spec", "hub's spec"],
)
def test_a_wrong_declaration_is_refused(make: Any, message: str) -> None:
    with pytest.raises(SubjectError, match=re.escape(message)):
        make()
