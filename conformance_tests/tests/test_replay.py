from __future__ import annotations

import os
import shlex
from typing import Any

import pytest
from broken_runners import CountsEpochsFromOne, PublishesHalfAValidation
from simple_hub import SimpleHub
from simple_trainer import Trainer, correct, subject_of

from runtimeinfo.board import CHECK_VARIABLE, find_board, read_board
from runtimeinfo_conformance import Fault, HubSubject, Plan, Subject
from runtimeinfo_conformance._replay import ReplayError, replay, replay_line
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.plans import HubOp, HubPlan, parse_plan

HALF = Plan(val_batches=1, metrics=(("acc", "float"),), fault=Fault("before_val_iter"))


class ForgetsInfo(SimpleHub):
    def pop_info(self, key: str, default: Any = None) -> Any:
        return default


def hub(make: Any = SimpleHub) -> HubSubject:
    return HubSubject("simple", "1", make=make)


# -- replay


def test_a_broken_requirement_is_broken_again() -> None:
    replayed = replay(subject_of(PublishesHalfAValidation), "FAIL-05", HALF)
    assert replayed.failure is not None
    assert replayed.failure.plan == replayed.plan == HALF
    assert replayed.failure.leg is not None
    assert (replayed.requirement, replayed.crash, replayed.exit_code) == ("FAIL-05", None, ExitCode.VIOLATED)
    assert replayed.occurrences > 0


def test_kept_rule_passes() -> None:
    replayed = replay(correct(), "FAIL-05", HALF)
    assert (replayed.failure, replayed.crash, replayed.exit_code) == (None, None, ExitCode.CONFORMANT)
    assert replayed.occurrences > 0


def test_board_of_a_replayed_plan_is_marked_as_the_kits(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[bool] = []

    class Looks:
        def after_train(self, runner: Any) -> None:
            path = find_board(os.getpid())
            identity = None if path is None else read_board(path).identity
            marks.append(identity is not None and identity.is_check)

    def run(plan: Any, hooks: Any) -> None:
        Trainer(plan, [*hooks, Looks()]).fit()

    monkeypatch.setenv(CHECK_VARIABLE, "0")
    replay(Subject("looked at", "1", run=run), "LIFE-03", Plan())
    assert marks == [True]
    assert os.environ[CHECK_VARIABLE] == "0"


def test_a_requirement_is_not_broken_by_what_breaks_another() -> None:
    assert replay(subject_of(CountsEpochsFromOne), "LIFE-03", Plan()).failure is None


def test_changes_without_effect() -> None:
    replayed = replay(correct(), "FAIL-05", Plan())
    assert (replayed.failure, replayed.occurrences, replayed.exit_code) == (None, 0, ExitCode.VACUOUS)


def test_a_subject_that_crashes() -> None:
    error = ZeroDivisionError("of its own")

    def run(plan: Plan, hooks: Any) -> None:
        correct().run(plan, hooks)
        raise error

    replayed = replay(Subject("crash", "1", run=run), "LIFE-02", Plan())
    assert replayed.crash is not None
    assert (replayed.crash.error, replayed.exit_code) == (error, ExitCode.SUBJECT_BROKE)


def test_a_hub() -> None:
    plan = HubPlan((HubOp("update_info", value=7), HubOp("pop_info")))
    assert replay(hub(), "HUB-03", plan).exit_code is ExitCode.CONFORMANT
    assert replay(hub(ForgetsInfo), "HUB-03", plan).exit_code is ExitCode.VIOLATED
    assert replay(hub(), "HUB-03", HubPlan()).exit_code is ExitCode.VACUOUS


@pytest.mark.parametrize(
    ("subject", "requirement", "plan", "message"),
    [
        (correct(), "LIFE-99", Plan(), "^there is no requirement 'LIFE-99'; did you mean LIFE-09, "),
        (correct(), "HUB-01", Plan(), "^HUB-01 does not apply to Trainer: it is for a hub; name one$"),
        (hub(), "LIFE-01", HubPlan(), "^LIFE-01 does not apply to simple: it is for a runner; name one$"),
        (
            Subject("bare", "1", run=correct().run),
            "STAGE-02",
            Plan(),
            "^STAGE-02 does not apply to bare: it has not declared val; declare that first$",
        ),
        (correct(), "ORDER-03", Plan(), "^ORDER-03 cannot be tested: How hooks are registered is"),
        (correct(), "LIFE-01", HubPlan(), "^Trainer is a runner and takes a Plan, not a HubPlan; paste one of those$"),
        (hub(), "HUB-01", Plan(), "^simple is a hub and takes a HubPlan, not a Plan; paste one of those$"),
    ],
    ids=lambda value: value if isinstance(value, str) and "-" in value else "",
)
def test_replay_refuses_other_input(subject: Any, requirement: str, plan: Any, message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        replay(subject, requirement, plan)


# -- the line


def test_the_line() -> None:
    line = replay_line("STAGE-03", Plan(val_batches=1), "tests/test_conformance.py")
    assert line == "runtimeinfo replay STAGE-03 'Plan(val_batches=1)' tests/test_conformance.py"
    assert replay_line("STAGE-03", Plan(), None) == "runtimeinfo replay STAGE-03 'Plan()' <file>"


@pytest.mark.parametrize(
    "plan", [HALF, Plan(experiment_name='it\'s $HOME `now` \\ "so"\n'), HubPlan((HubOp("update_info", "here/path"),))]
)
def test_a_shell_gives_the_plan_back(plan: Any) -> None:
    target = "my tests/it's.py:subject"
    command, verb, requirement, text, place = shlex.split(replay_line("FAIL-05", plan, target))
    assert (command, verb, requirement, place) == ("runtimeinfo", "replay", "FAIL-05", target)
    assert parse_plan(text) == plan


def test_a_line_is_readable_in_a_shell() -> None:
    line = replay_line("FAIL-05", HALF, "tests/test_it.py", after=(Plan(outputs=(("loss", "float"),)),))
    assert line == (
        """runtimeinfo replay FAIL-05 'Plan(outputs=(("loss", "float"),))' """
        """'Plan(val_batches=1, metrics=(("acc", "float"),), fault=Fault(event="before_val_iter"))' tests/test_it.py"""
    )


def test_a_line_of_an_older_report_is_read_as_well() -> None:
    assert parse_plan(repr(HALF)) == HALF
