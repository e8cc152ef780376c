from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from broken_runners import CountsEpochsFromOne
from simple_hub import SimpleHub
from simple_trainer import Trainer, correct, subject_of

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import CheckResult, HubSubject, Plan, Subject, SubjectError, check
from runtimeinfo_conformance._check_result import SubjectVerdictName, VerdictName
from runtimeinfo_conformance._verdict import ExitCode, Verdict
from runtimeinfo_conformance.plans import parse_plan
from runtimeinfo_conformance.reports import schema, write_reports


def train(plan: Plan, hooks: Any) -> None:
    Trainer(plan, hooks).fit()


@pytest.fixture(scope="module")
def broken() -> CheckResult:
    return check(subject_of(CountsEpochsFromOne), "quick", target="tests/test_it.py")


def test_conformant_subject() -> None:
    result = check(HubSubject("hub", "1", make=SimpleHub), "quick")
    assert (result.verdict, result.exit_code, result.failures, result.error) == ("conformant", 0, {}, None)
    assert list(result.requirements) == list(REQUIREMENTS)
    hub = result.requirements["HUB-01"]
    assert (hub.id, hub.level, hub.verdict, hub.failure) == ("HUB-01", "MUST", "pass", None)
    assert hub.occurrences > 0
    assert result.requirements["LIFE-01"].verdict == "not applicable"
    assert str(result) == "hub 1: conformant"


def test_failure_has_its_plan_and_replays(broken: CheckResult) -> None:
    assert (broken.verdict, broken.exit_code) == ("violated", 1)
    failure = broken.failures["COUNT-03"]
    assert broken.requirements["COUNT-03"].failure is failure
    assert failure.plan == Plan() == parse_plan(repr(failure.plan))
    assert failure.expected != failure.observed
    assert failure.replay == "runtimeinfo replay COUNT-03 'Plan()' tests/test_it.py"
    assert "before_train_epoch" in failure.text
    assert failure.expected in failure.text


def test_text_of_a_result_has_each_failure(broken: CheckResult) -> None:
    lines = str(broken).splitlines()
    assert lines[0] == f"{broken.data['subject']['name']} {broken.data['subject']['version']}: violated"
    for id, failure in broken.failures.items():
        assert id in lines
        assert failure.replay in lines


def test_data_of_a_result_is_a_report(broken: CheckResult, tmp_path: Path) -> None:
    jsonschema.validate(broken.data, schema())
    assert "report.html" in {path.name for path in write_reports([broken.data], tmp_path)}


def test_subject_that_breaks_is_told_with_its_error() -> None:
    error = ZeroDivisionError("of its own")

    def run(plan: Plan, hooks: Any) -> None:
        raise error

    result = check(Subject("crash", "1", run=run), "quick")
    assert (result.verdict, result.exit_code, result.error) == ("subject broke", 4, error)
    assert str(result).startswith("crash 1: subject broke\n")
    assert "ZeroDivisionError: of its own" in str(result)


def test_target_is_left_to_be_filled_in_where_none_is_given() -> None:
    result = check(subject_of(CountsEpochsFromOne), "quick")
    assert result.failures["COUNT-03"].replay.endswith(" <file>")


def test_arguments_are_those_of_the_command() -> None:
    told: list[tuple[str, int, int]] = []
    result = check(
        Subject("idle", "1", run=print), "quick", seed=7, timeout=5.0, progress=lambda *each: told.append(each)
    )
    assert (result.seed, result.data["seed"], result.data["profile"]) == (7, 7, "quick")
    assert result.plans == result.data["plans"] == told[-1][1]
    with pytest.raises(ValueError, match="hang_seconds must be positive"):
        check(correct(), "quick", timeout=-1.0)


@pytest.mark.parametrize(
    ("subject", "profile", "message"),
    [
        (correct(), "quik", "there is no profile 'quik'; did you mean 'quick'?"),
        (train, "quick", "train.* is not a subject: make a Subject, a HubSubject or a ReduceSubject of it"),
    ],
)
def test_wrong_argument_is_refused(subject: Any, profile: str, message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        check(subject, profile)


def test_missing_extra_is_named(in_process: Any) -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from runtimeinfo_conformance import Subject, check\n"
        "check(Subject('myfw', '1', run=print))"
    )
    last = in_process("-c", code).stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: a check needs hypothesis, which is not installed")
    assert last.endswith("pip install 'runtimeinfo[conformance]'")


def test_names_of_verdicts_are_those_of_reports() -> None:
    assert get_args(VerdictName) == tuple(verdict.value for verdict in Verdict)
    assert get_args(SubjectVerdictName) == tuple(code.label for code in ExitCode)


def test_checks_in_two_threads_take_turns() -> None:
    """Each comes out as it does alone, and at no time are both of them at it."""
    inside = 0
    met: list[int] = []

    def run(plan: Plan, hooks: Any) -> None:
        nonlocal inside
        inside += 1
        met.append(inside)
        try:
            train(plan, hooks)
        finally:
            inside -= 1

    alone = check(Subject("alone", "1", run=run), "quick")
    results: list[CheckResult] = []
    met.clear()

    def work(name: str) -> None:
        results.append(check(Subject(name, "1", run=run), "quick"))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "other")]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert {result.data["subject"]["name"] for result in results} == {"one", "other"}
    for result in results:
        assert {each.id: each.verdict for each in result.requirements.values()} == {
            each.id: each.verdict for each in alone.requirements.values()
        }
        assert (result.verdict, result.plans) == ("conformant", alone.plans)
    assert max(met) == 1
