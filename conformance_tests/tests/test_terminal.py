from __future__ import annotations

import io

import pytest
from broken_runners import CountsEpochsFromOne, LeavesScopesOpen, correct, subject_of
from rich.console import Console

from runtimeinfo_conformance import Subject
from runtimeinfo_conformance import _terminal as terminal
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._hub_mutants import HUB_MUTANTS
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._terminal import make_console, print_report, showing_progress
from runtimeinfo_conformance._timeline import describe_failure
from runtimeinfo_conformance._verdict import Report, Verdict

QUICK = PROFILES["quick"]
ESCAPE = "\x1b"


def printed(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(make_console(), report)
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def broken() -> Report:
    return check(subject_of(CountsEpochsFromOne), QUICK)


def test_a_log_has_a_line_for_each_requirement_and_no_codes(capsys: pytest.CaptureFixture[str]) -> None:
    report = check(correct(), QUICK)
    text = printed(report, capsys)
    assert ESCAPE not in text
    lines = text.splitlines()
    for result in report.results:
        if result.requirement.party == "runner":
            (line,) = [line for line in lines if line.startswith(f"{result.requirement.id} ")]
            assert result.verdict.value in line
            assert (result.requirement.text if result.occurrences else result.reason) in line
    assert not any(line.startswith("HUB-") for line in lines)
    assert "Trainer: conformant" in lines[-1]
    assert "52 pass  ·  60 plans in" in lines[-1]


def test_a_failure_is_shown_with_its_plan_and_the_event_marked(
    broken: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(broken, capsys).splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("COUNT-03 (MUST) At before_train_epoch"))
    shown = lines[at + 1 :]
    assert shown[:3] == ["  plan:     Plan()", "  expected: epoch 0", "  observed: epoch 1"]
    (marked,) = [line for line in shown[: shown.index("  more: runtimeinfo explain COUNT-03")] if "->" in line]
    assert "before_train_epoch" in marked
    assert "runner 1/0, hub 1/0" in marked
    assert "not conformant" in lines[-1]


def test_on_a_terminal_there_are_colours(broken: Report) -> None:
    out = io.StringIO()
    print_report(Console(file=out, force_terminal=True, color_system="standard", width=100), broken)
    assert ESCAPE in out.getvalue()


def test_on_a_terminal_there_is_a_bar() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=100)
    with showing_progress(console, "my[fw]") as tell:
        for done in range(4):
            tell("plans", done, 3)
        tell("faults put in on purpose", 1, 2)
    text = out.getvalue()
    assert "my[fw]: plans" in text
    assert "3/3" in text
    assert "━" in text
    assert ESCAPE in text


def test_in_a_log_there_is_a_line_at_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with showing_progress(Console(file=out), "myfw") as tell:
        for done in range(1, 13):
            now[0] += 1.0
            tell("plans", done, 12)
        tell("faults put in on purpose", 0, 2)
    assert out.getvalue().splitlines() == [
        "myfw: plans 1/12",
        "myfw: plans 7/12",
        "myfw: faults put in on purpose 0/2",
    ]


def test_a_crash_is_shown_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def run(plan: object, hooks: object) -> None:
        raise ZeroDivisionError("in [bold] brackets")

    text = printed(check(Subject("my[fw]", "1[0]", run=run), QUICK), capsys)
    assert "ZeroDivisionError: in [bold] brackets" in text
    assert "The subject broke on Plan(" in text
    assert "my[fw]: not decided: the subject itself broke" in text
    assert "my[fw] 1[0]" in text


def test_what_was_never_exercised_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(check(Subject("idle", "1", run=lambda plan, hooks: None), QUICK), capsys)
    assert "not decided: something that applies was never exercised" in text
    assert "never exercised: LIFE-01, LIFE-02" in text


def test_what_was_not_noticed_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(correct(), "quick", 1, 0.5, (), survivors=("LIFE-03: [nothing]",))
    assert "A fault put in on purpose was not noticed: LIFE-03: [nothing]" in printed(report, capsys)


def test_a_hub_is_shown_with_its_own_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    mutant = next(mutant for mutant in HUB_MUTANTS if mutant.requirement == "HUB-09")
    text = printed(check(mutant.subject(), QUICK), capsys)
    assert "after operation 0" in text
    assert "HubOp(name='update_info_dict'" in text
    assert not any(line.startswith("LIFE-") for line in text.splitlines())


def test_a_timeline_is_indented_and_cut() -> None:
    report = check(subject_of(LeavesScopesOpen), QUICK)
    failure = next(result.failure for result in report.of(Verdict.FAIL) if result.requirement.id == "FAIL-06")
    assert failure is not None
    lines = describe_failure(failure)
    assert lines[-1].startswith("     raised ")
    assert any(line.startswith("     before_run ") for line in lines)
    assert any(line.startswith("       before_train ") for line in lines)
