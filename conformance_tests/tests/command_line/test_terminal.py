from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from broken_runners import CountsEpochsFromOne, StopsByAnException
from rich.console import Console
from simple_trainer import correct, subject_of

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSION
from runtimeinfo_conformance import Plan, Subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._hints import HINTS
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import Report, Result, Verdict, Waiver
from runtimeinfo_conformance.command_line import _terminal as terminal
from runtimeinfo_conformance.command_line._terminal import make_console, print_report, showing_progress
from runtimeinfo_conformance.mutants import HUB_MUTANTS
from runtimeinfo_conformance.reports import report_data

QUICK = PROFILES["quick"]
ESCAPE = "\x1b"


def printed(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(make_console(), report)
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def broken() -> Report:
    return check(subject_of(CountsEpochsFromOne), QUICK)


@pytest.fixture(scope="module")
def green() -> Report:
    return check(correct(), QUICK)


def test_verbosely_there_is_a_line_for_each_requirement(green: Report, capsys: pytest.CaptureFixture[str]) -> None:
    report = green
    print_report(make_console(), report, verbose=True)
    text = capsys.readouterr().out
    assert ESCAPE not in text
    lines = text.splitlines()
    for result in report.results:
        if result.requirement.party == "runner":
            (line,) = [line for line in lines if line.startswith(f"{result.requirement.id} ")]
            assert result.verdict.value in line
            assert (result.requirement.text if result.occurrences else result.reason) in line
    assert not any(line.startswith("HUB-") for line in lines)
    assert f"Trainer: conformant · {len(report.of(Verdict.PASS))} pass · {report.plans} plans in" in lines[-1]


def test_shortly_there_is_a_line_for_each_group(green: Report, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(green, capsys).splitlines()
    assert lines[1] == f"Trainer 3.2.1 · spec {SPEC_VERSION} · profile quick"
    groups = dict.fromkeys(id.partition("-")[0] for id, rule in REQUIREMENTS.items() if rule.party == "runner")
    assert [line.split()[0] for line in lines[2 : 2 + len(groups)]] == list(groups)
    assert re.fullmatch(r"STAGE +6 pass", lines[3])
    assert re.fullmatch(r"SHARE +6 pass, 1 untestable", lines[len(groups)])
    assert re.fullmatch(r"SCOPE +7 pass", lines[1 + len(groups)])
    assert lines[2 + len(groups)] == ""
    assert lines[-1].startswith("Trainer: conformant · ")
    assert len(lines) == len(groups) + 4


def test_a_failure_is_shown_with_its_plan_and_the_event_marked(
    broken: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(replace(broken, target="tests/x.py:subject"), capsys).splitlines()
    assert any(re.match("COUNT-03 +MUST +fail +[0-9]+x  At before_train_epoch", line) for line in lines)
    first = report_data(broken)["groups"][0]["first"]
    at = next(index for index, line in enumerate(lines) if line.startswith(f"{first} (MUST) "))
    shown = lines[at + 1 :]
    assert shown[:3] == ["  plan:     Plan()", "  expected: epoch 0", "  observed: epoch 1"]
    assert shown[3] == f"  hint:     {HINTS[first]}"
    end = shown.index(f"  more:     runtimeinfo explain {first}")
    assert shown[end - 1] == f"  replay:   runtimeinfo replay {first} 'Plan()' tests/x.py:subject"
    (marked,) = [line for line in shown[:end] if "->" in line]
    assert "runner 1/0, hub 1/0" in marked
    assert any(line.endswith("  batch_idx=0, outputs={}") for line in shown[:end])
    assert "not conformant" in lines[-1]


def test_failures_of_the_same_cause_follow_in_short(broken: Report, capsys: pytest.CaptureFixture[str]) -> None:
    (group, *_) = report_data(broken)["groups"]
    lines = printed(replace(broken, target="tests/x.py:subject"), capsys).splitlines()
    assert {"COUNT-03"} <= {group["first"], *group["others"]}
    end = lines.index(f"  more:     runtimeinfo explain {group['first']}")
    assert lines[end + 1] == "  Broken with it, probably by the same mistake:"
    for place, id in enumerate(group["others"]):
        title, expected, observed, replay = lines[end + 2 + 4 * place :][:4]
        assert title == f"    {id} (MUST) {REQUIREMENTS[id].text}"
        assert expected.startswith("      expected: ")
        assert observed.startswith("      observed: ")
        assert replay == f"      replay:   runtimeinfo replay {id} 'Plan()' tests/x.py:subject"


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
        for number in range(50):
            tell(f"faults put in on purpose: LIFE-{number:02}", number, 50)
    text = out.getvalue()
    assert "my[fw]: " in text
    assert "my[fw]: faults put in on purpose: LIFE-49" in text
    assert "49/50" in text
    assert "0:00:00" in text
    assert "━" in text
    assert ESCAPE in text
    # One line, however many things were done.
    assert text.count("\n") == 1


def test_in_a_log_there_is_a_line_at_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with showing_progress(Console(file=out), "myfw") as tell:
        for done in range(1, 13):
            now[0] += 1.0
            tell("plans", done, 12)
        for done in range(30):
            now[0] += 0.25
            tell(f"faults put in on purpose: LIFE-{done:02}", done, 30)
    assert out.getvalue().splitlines() == [
        "myfw: plans 1/12 (1 s)",
        "myfw: plans 6/12 (6 s)",
        "myfw: plans 11/12 (11 s)",
        "myfw: faults put in on purpose: LIFE-00 0/30 (12 s)",
        "myfw: faults put in on purpose: LIFE-20 20/30 (17 s)",
    ]


def test_a_crash_is_shown_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def run(plan: object, hooks: object) -> None:
        raise ZeroDivisionError("in [bold] brackets")

    text = printed(check(Subject("my[fw]", "1[0]", run=run), QUICK), capsys)
    assert "ZeroDivisionError: in [bold] brackets" in text
    assert re.search(r"^The subject broke on Plan\(.*\): fix this first, ", text, flags=re.MULTILINE)
    assert "no hook was ever called" not in text
    assert "the subject broke (ZeroDivisionError): fix that first" in text
    assert "my[fw]: not decided: the subject itself broke" in text
    assert "my[fw] 1[0]" in text


def test_unexercised_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(check(Subject("idle", "1", run=lambda plan, hooks: None), QUICK), capsys)
    assert "not decided: something that applies was never exercised" in text
    assert "never exercised: LIFE-01, LIFE-02" in text


def test_unnoticed_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(correct(), "quick", 1, 0.5, (), survivors=("LIFE-03: [nothing]",))
    assert "A fault put in on purpose was not noticed: LIFE-03: [nothing]" in printed(report, capsys)


def test_a_hub_is_shown_with_its_own_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    mutant = next(mutant for mutant in HUB_MUTANTS if mutant.requirement == "HUB-09")
    text = printed(check(mutant.subject(), QUICK), capsys)
    assert "after operation 0" in text
    assert "HubOp(name='update_info_dict'" in text
    assert not any(line.startswith("LIFE-") for line in text.splitlines())


def test_a_few_that_were_never_exercised_have_a_line_each(green: Report, capsys: pytest.CaptureFixture[str]) -> None:
    results = (
        replace(green.results[0], verdict=Verdict.NOT_EXERCISED, occurrences=0, reason="no plan made it matter"),
    )
    lines = printed(replace(green, results=(*results, *green.results[1:])), capsys).splitlines()
    (line,) = [line for line in lines if line.startswith("LIFE-01 ")]
    assert re.fullmatch(r"LIFE-01 +MUST +not executed +\(no plan made it matter\) An event MUST .*", line)
    assert "1 not executed" in lines[-1]


def test_a_waiver_is_told_with_its_reason_its_issue_and_its_end(
    broken: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    waiver = Waiver("COUNT-03", "counted\nfrom one", "#12", date(2031, 5, 17), Plan())
    results = [
        replace(result, verdict=Verdict.WAIVED, waiver=waiver) if result.verdict is Verdict.FAIL else result
        for result in broken.results
    ]
    lines = printed(replace(broken, results=tuple(results)), capsys).splitlines()
    (line,) = [line for line in lines if line.startswith("COUNT-03")]
    assert re.fullmatch(r"COUNT-03 +MUST +waived +[0-9]+x  until 2031-05-17: counted from one \(#12\)", line)
    assert re.search(r"conformant · \d+ pass, \d+ waived · ", lines[-1])
    assert not any("expected:" in line for line in lines)


def test_upcoming_rules_take_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = check(replace(subject_of(StopsByAnException), spec="0.1"), QUICK)
    lines = printed(report, capsys).splitlines()
    assert lines[1].startswith(f"StopsByAnException 3.2.1 · spec 0.1 (the newest is {SPEC_VERSION}) · ")
    (line,) = [line for line in lines if line.startswith("upcoming")]
    # A training that is stopped cannot be resumed either.
    broken = "LIFE-12, LIFE-13, COUNT-15, RESUME-03, RESUME-04, SHARE-07"
    assert re.fullmatch(rf"upcoming in spec 0\.2, 0\.3: \d+ hold already; not yet: {broken}", line)
    assert not any(line.startswith("LIFE-12") for line in lines)


def test_warnings_and_troubles_and_the_seed_are_told(green: Report, capsys: pytest.CaptureFixture[str]) -> None:
    report = replace(green, warnings=("look [here]",), troubles=("waivers.toml: [wrong]",), seed=7)
    lines = printed(report, capsys).splitlines()
    assert lines[1].endswith(" · seed 7")
    assert "warning: look [here]" in lines
    assert "waiver: waivers.toml: [wrong]" in lines
    assert "not decided: a waiver is wrong" in lines[-1]


def test_texts_of_others_are_only_texts(green: Report, capsys: pytest.CaptureFixture[str]) -> None:
    subject = Subject("\x1b[31m[bold] :bug:", "1", run=lambda plan, hooks: None)
    text = printed(replace(green, subject=subject, warnings=("\x1b]0;title\x07",)), capsys)
    assert ESCAPE not in text
    assert "\\x1b[31m[bold] :bug: 1" in text
    assert "\\x1b]0;title\\x07" in text


def test_a_console_keeps_the_output_that_it_was_made_for(green: Report, capsys: pytest.CaptureFixture[str]) -> None:
    console = make_console()
    taken = io.StringIO()
    with redirect_stdout(taken), showing_progress(console, "myfw") as tell:
        tell("plans", 1, 2)
        print_report(console, green)
    assert taken.getvalue() == ""
    assert "myfw: plans 1/2" in (text := capsys.readouterr().out)
    assert "Trainer: conformant" in text


def test_on_a_terminal_a_requirement_takes_one_line(broken: Report) -> None:
    out = io.StringIO()
    results: tuple[Result, ...] = broken.results
    print_report(Console(file=out, force_terminal=True, color_system=None, width=60), broken, verbose=True)
    lines = [line for line in out.getvalue().splitlines() if re.match(r"[A-Z]+-\d\d +(MUST|SHOULD) ", line)]
    assert len(lines) == sum(result.requirement.party == "runner" for result in results)
    assert max(len(line) for line in lines) == 60
    assert any(line.endswith("…") for line in lines)


# Checks a runner, and prints a mark between the progress and the report.
PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from dataclasses import replace
from simple_trainer import correct
from runtimeinfo_conformance import Subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.command_line._terminal import make_console, print_report, showing_progress

console = make_console()
subject = replace(correct(), name="κ") if sys.argv[1] == "green" else Subject("κ", "1", run=lambda plan, hooks: None)
with showing_progress(console, subject.name) as progress:
    report = check(subject, PROFILES["quick"], progress)
print("MARK", flush=True)
print_report(console, report)
"""

COLOUR = re.compile(ESCAPE + r"\[(\d+;)*3\dm")


def environment(**given: str) -> dict[str, str]:
    plain = {
        key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}
    }
    return {**plain, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **given}


def in_a_log(kind: str, **given: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], env=environment(**given), stdout=subprocess.PIPE, timeout=120, check=True
    )
    return ran.stdout.decode()


def in_a_terminal(kind: str, **given: str) -> tuple[str, str]:
    """Run the program in a terminal of 24 lines of 80 columns; return what it wrote before and after the mark."""
    fcntl = pytest.importorskip("fcntl", reason="there are no pseudo-terminals here")
    pty = pytest.importorskip("pty")
    struct, termios = pytest.importorskip("struct"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen([sys.executable, "-c", PROGRAM, kind], env=environment(**given), stdout=theirs) as program:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 4096):
                written += part
        except OSError:  # so ends a terminal that nobody writes to any more
            pass
        finally:
            os.close(ours)
        assert program.wait(timeout=120) == 0
    before, _, after = written.decode().replace("\r\n", "\n").partition("MARK\n")
    return before, after


def test_in_a_terminal_a_green_run_fits_on_the_screen_and_has_colours() -> None:
    before, after = in_a_terminal("green")
    assert "κ: plans" in before
    assert "κ: faults put in on purpose: " in before
    assert re.search(r"plans .*\d+/\d+", before)
    assert re.search(r"0:00:\d\d", before)
    assert COLOUR.search(after)
    lines = re.sub(ESCAPE + r"\[[0-9;?]*[A-Za-z]", "", after).splitlines()
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= 80
    assert "κ: conformant" in lines[-1]


def test_in_a_terminal_colours_can_be_turned_off() -> None:
    _, after = in_a_terminal("idle", NO_COLOR="1")
    assert "κ: not decided" in after
    assert not COLOUR.search(after)


def test_in_a_log_there_are_no_codes() -> None:
    text = in_a_log("green")
    assert ESCAPE not in text
    assert "\r" not in text
    assert re.match(r"κ: [a-z ]+ \d+/\d+ \(\d+ s\)\n", text)
    assert "κ: conformant" in text.splitlines()[-1]


def test_in_a_log_colours_can_be_asked_for_and_nothing_moves() -> None:
    text = in_a_log("idle", FORCE_COLOR="1")
    assert COLOUR.search(text)
    assert re.sub(ESCAPE + r"\[[0-9;]*m", "", text).count(ESCAPE) == 0


def test_a_log_that_cannot_hold_a_letter_gets_an_escape() -> None:
    text = in_a_log("idle", PYTHONIOENCODING="ascii")
    assert text.isascii()
    assert "\\u03ba 1, spec " in text
    assert "\\u03ba: not decided: something that applies was never exercised, " in text.splitlines()[-1]
