"""What the tests of a subject say, as plain data: it crosses from one process to another."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TypedDict

from runtimeinfo_conformance._replay import replay_line
from runtimeinfo_conformance._subject import AnySubject, testable
from runtimeinfo_conformance._text import fit
from runtimeinfo_conformance._timeline import describe_failure
from runtimeinfo_conformance._verdict import SUMMARIES, Crash, ExitCode, Report, Result, Verdict
from runtimeinfo_conformance.guards import is_of_kit

if TYPE_CHECKING:
    from runtimeinfo_conformance.reports import ReportData

WHOLE = "verdict"
"""The name of the item that speaks of the subject as a whole."""

_MOST_CHARACTERS = 40_000


class ItemData(TypedDict):
    """What one item says: `problem` is why it fails, if it does; `reason` why its requirement was not judged."""

    level: str
    verdict: str
    problem: str | None
    reason: str


class OutcomeData(TypedDict):
    """What all items of a subject say; `summary` are the lines for the end of the session."""

    spec: str
    items: dict[str, ItemData]
    summary: list[str]
    report: ReportData | None


@dataclass(frozen=True)
class Outcome:
    """What came out of the check of a subject.

    Attributes:
        data: What crosses from one process to another.
        crash: What the subject broke with, if it did; in the process that made the check.
    """

    data: OutcomeData
    crash: Crash | None = None


def outcome_of(report: Report, *, with_report: bool) -> Outcome:
    """Return what the tests of a subject say.

    Args:
        report: The report of the check.
        with_report: Whether somebody will want to write the report.
    """
    results = {result.requirement.id: result for result in report.results}
    items = {id: _item(results[id], report.target) for id in testable(report.subject)}
    data: OutcomeData = {
        "spec": report.spec,
        "items": {**items, WHOLE: _whole(report)},
        "summary": [fit(line) for line in _summary(report)],
        "report": _report_data(report) if with_report else None,
    }
    return Outcome(data, report.crash)


def outcome_of_error(subject: AnySubject, error: Exception) -> Outcome:
    """Return what the tests of a subject say where the check itself ended in an error: all of them the same."""
    what = f"the check of {subject.name} itself ended in an error"
    text = f"{what}\n\n{''.join(traceback.format_exception(error))}"
    item: ItemData = {"level": "", "verdict": "error", "problem": fit(text, _MOST_CHARACTERS), "reason": ""}
    summary = [fit(f"{what}: {type(error).__name__}: {error}")]
    items = dict.fromkeys([*testable(subject), WHOLE], item)
    return Outcome({"spec": subject.spec, "items": items, "summary": summary, "report": None})


def outside_of_kit(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error from the first frame on that is not the kit's; None if all of them are."""
    found = error.__traceback__
    while found is not None and is_of_kit(found.tb_frame):
        found = found.tb_next
    return found


def _item(result: Result, target: str | None) -> ItemData:
    problem = _problem(result, target)
    return {
        "level": result.requirement.level,
        "verdict": result.verdict.value,
        "problem": None if problem is None else fit(problem, _MOST_CHARACTERS),
        "reason": fit(_reason(result)),
    }


def _reason(result: Result) -> str:
    waiver = result.waiver
    if waiver is None:
        return result.reason
    return f"{waiver.reason} ({waiver.issue}, waived until {waiver.expires})"


def _problem(result: Result, target: str | None) -> str | None:
    """Say why an item fails; None if it does not."""
    rule = result.requirement
    if result.verdict is Verdict.FAIL and result.failure is not None:
        lines = [f"{rule.id} ({rule.level}) {rule.text}", *describe_failure(result.failure)]
        return "\n".join([*lines, "", replay_line(rule.id, result.failure.plan, target)])
    if _is_vacuous(result):
        return f"{rule.id} ({rule.level}) was never exercised: {rule.text}\n{result.reason}"
    return None


def _is_vacuous(result: Result) -> bool:
    return result.verdict is Verdict.NOT_EXERCISED and result.requirement.level == "MUST"


def _whole(report: Report) -> ItemData:
    summary = SUMMARIES[report.exit_code]
    problems: list[str] = []
    if report.crash is not None:
        problems.append(_describe_crash(report.crash))
    problems += [f"waivers: {trouble}" for trouble in report.troubles]
    problems += [f"a fault put in on purpose was not noticed: {survivor}" for survivor in report.survivors]
    has_other_item = any(result.verdict is Verdict.FAIL or _is_vacuous(result) for result in report.results)
    if report.exit_code is not ExitCode.CONFORMANT and not problems and not has_other_item:
        problems.append(summary)
    return {
        "level": "",
        "verdict": report.exit_code.label,
        "problem": fit("\n".join(problems), _MOST_CHARACTERS) if problems else None,
        "reason": summary,
    }


def _describe_crash(crash: Crash) -> str:
    shown = traceback.TracebackException(type(crash.error), crash.error, outside_of_kit(crash.error))
    return f"the subject broke on {crash.plan!r}\n\n{''.join(shown.format())}"


def _summary(report: Report) -> Iterator[str]:
    subject = report.subject
    counts = ", ".join(f"{len(report.of(verdict))} {verdict.value}" for verdict in Verdict if report.of(verdict))
    yield f"{subject.name} {subject.version}: {SUMMARIES[report.exit_code]}"
    yield (
        f"  {counts}; spec {report.spec}, profile {report.profile}, {report.plans} plans in {report.seconds:.1f} s"
        f"{'' if report.seed is None else f', seed {report.seed}'}"
    )
    for result in report.of(Verdict.WARN):
        yield f"  does not hold: {result.requirement.id} ({result.requirement.level}) {result.requirement.text}"
    for warning in report.warnings:
        yield f"  warning: {warning}"
    for trouble in report.troubles:
        yield f"  waivers: {trouble}"


def _report_data(report: Report) -> ReportData:
    from runtimeinfo_conformance.reports import report_data  # with Jinja, which only a report needs

    return report_data(report)
