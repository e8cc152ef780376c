from __future__ import annotations

import traceback
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from broken_runners import CountsEpochsFromOne
from simple_trainer import correct, subject_of

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import Plan, Subject, _subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode, Report, Result, Verdict, Waiver
from runtimeinfo_conformance.pytest_plugin._pytest import WHOLE, outcome_of, outcome_of_error, outside_of_kit
from runtimeinfo_conformance.reports import report_data

QUICK = PROFILES["quick"]


def report_of(*results: Result, **given: Any) -> Report:
    """Make a report in which everything else has passed."""
    told = {result.requirement.id: result for result in results}
    subject = correct()
    all_results = [
        told.get(rule.id) or Result(rule, Verdict.PASS if subject.applies(rule) else Verdict.NOT_APPLICABLE, 1)
        for rule in REQUIREMENTS.values()
    ]
    return Report(subject, "quick", 60, 1.25, tuple(all_results), **given)


def items_of(report: Report) -> Any:
    return outcome_of(report, with_report=False).data["items"]


@pytest.fixture(scope="module")
def broken() -> Report:
    return check(subject_of(CountsEpochsFromOne), QUICK, target="tests/test_it.py")


@pytest.fixture(scope="module")
def crashed() -> Report:
    def run(plan: object, hooks: object) -> None:
        raise ZeroDivisionError("in \x1b[31m \ud800")

    return check(Subject("crash", "1", run=run), QUICK)


def test_an_item_for_each_requirement_and_one_for_the_whole() -> None:
    items = items_of(report_of())
    assert list(items) == [*_subject.testable(correct()), WHOLE]
    assert all(item["problem"] is None for item in items.values())
    assert items["LIFE-01"] == {"level": "MUST", "verdict": "pass", "problem": None, "reason": ""}
    assert items[WHOLE] == {"level": "", "verdict": "conformant", "problem": None, "reason": "Conformant"}


def test_a_broken_one_shows_rule_run_and_replay(broken: Report) -> None:
    items = items_of(broken)
    lines = items["COUNT-03"]["problem"].splitlines()
    assert lines[0].startswith("COUNT-03 (MUST) At before_train_epoch")
    assert "plan:     Plan()" in lines
    assert any(line.startswith("  -> ") for line in lines)
    assert lines[-1] == "runtimeinfo replay COUNT-03 'Plan()' tests/test_it.py"
    # Its own item says it.
    assert items[WHOLE]["verdict"] == "violated"
    assert items[WHOLE]["problem"] is None


def test_unexercised_must_is_a_problem() -> None:
    must = Result(REQUIREMENTS["LIFE-01"], Verdict.NOT_EXERCISED, reason="no plan made it matter")
    items = items_of(report_of(must))
    assert items["LIFE-01"]["problem"].endswith("\nno plan made it matter")
    assert items[WHOLE]["problem"] is None
    should = next(rule for rule in REQUIREMENTS.values() if rule.level == "SHOULD" and correct().applies(rule))
    assert items_of(report_of(Result(should, Verdict.NOT_EXERCISED)))[should.id]["problem"] is None


def test_a_waived_one_says_why_where_and_until_when() -> None:
    waiver = Waiver("LIFE-01", "not yet", "https://example.org/1", date(2999, 12, 31), Plan())
    result = Result(REQUIREMENTS["LIFE-01"], Verdict.WAIVED, 3, reason="not yet", waiver=waiver)
    item = items_of(report_of(result))["LIFE-01"]
    assert item["problem"] is None
    assert item["reason"] == "not yet (https://example.org/1, waived until 2999-12-31)"


def test_the_whole_tells_what_no_other_item_does(crashed: Report) -> None:
    whole = items_of(report_of(survivors=("LIFE-03: one is left out",)))[WHOLE]
    assert whole["problem"] == "a fault put in on purpose was not noticed: LIFE-03: one is left out"
    whole = items_of(report_of(troubles=("the waiver of LIFE-03 expired",)))[WHOLE]
    assert (whole["verdict"], whole["problem"]) == ("waiver trouble", "waivers: the waiver of LIFE-03 expired")
    whole = items_of(crashed)[WHOLE]
    assert whole["verdict"] == "subject broke"
    assert whole["problem"].startswith("the subject broke on Plan(")
    assert "raise ZeroDivisionError" in whole["problem"]
    assert "_execution.py" not in whole["problem"]


def test_a_verdict_that_nothing_explains_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Report, "exit_code", property(lambda self: ExitCode.VACUOUS))
    problem = items_of(report_of())[WHOLE]["problem"]
    assert problem == "Not decided: something that applies was never exercised"


def test_the_summary() -> None:
    should = next(rule for rule in REQUIREMENTS.values() if rule.level == "SHOULD" and correct().applies(rule))
    report = report_of(
        Result(should, Verdict.WARN, 1), warnings=("'val' is not declared",), troubles=("it expired",), seed=7
    )
    lines = outcome_of(report, with_report=False).data["summary"]
    assert lines[0] == "Trainer 3.2.1: Not decided: a waiver is wrong"
    assert lines[1].endswith("; spec 0.3, profile quick, 60 plans in 1.2 s, seed 7")
    assert lines[2:] == [
        f"  does not hold: {should.id} (SHOULD) {should.text}",
        "  warning: 'val' is not declared",
        "  waivers: it expired",
    ]


def test_no_text_can_break_a_channel(crashed: Report) -> None:
    outcome = outcome_of(replace(crashed, warnings=("\ud800",)), with_report=True)
    texts = [str(item["problem"]) for item in outcome.data["items"].values()] + outcome.data["summary"]
    for text in texts:
        assert "\x1b" not in text
        text.encode("utf-8")
    assert outcome.crash is crashed.crash


def test_the_report_is_in_it_for_who_wants_it(broken: Report) -> None:
    assert outcome_of(broken, with_report=False).data["report"] is None
    data = outcome_of(broken, with_report=True).data["report"]
    assert data is not None
    assert {**data, "date": ""} == {**report_data(broken), "date": ""}


def test_an_error_of_the_check_is_on_all_items() -> None:
    data = outcome_of_error(correct(), OSError("disk full")).data
    assert list(data["items"]) == [*_subject.testable(correct()), WHOLE]
    assert {item["verdict"] for item in data["items"].values()} == {"error"}
    assert all("OSError: disk full" in str(item["problem"]) for item in data["items"].values())
    assert data["summary"] == ["the check of Trainer itself ended in an error: OSError: disk full"]


def test_a_traceback_begins_outside_of_the_kit(crashed: Report) -> None:
    assert crashed.crash is not None
    (frame,) = traceback.extract_tb(outside_of_kit(crashed.crash.error))
    assert frame.filename == __file__
    assert outside_of_kit(ValueError("never raised")) is None
