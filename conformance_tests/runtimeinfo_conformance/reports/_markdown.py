"""A report as Markdown, for the step summary of a CI run."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from runtimeinfo_conformance._text import fit
from runtimeinfo_conformance.reports._data import (
    SUMMARIES_BY_NAME,
    EventData,
    FailureData,
    ReportData,
    RequirementData,
    TimelineData,
)

# What Markdown, or a site that shows it, could take for markup, a link or a mention. An underscore within a word
# is none.
_MARKUP = re.compile(r"[\\`*{}\[\]<>#+!|&~@:$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=www)\.")

# A step summary may have one megabyte.
_MOST_CHARACTERS = 600
_MOST_FAILURES = 40
_CONTEXT = 6  # events shown on either side of the marked one

_SYMBOLS = {"pass": "✅", "fail": "❌", "warn": "⚠️", "waived": "📝", "not executed": "❓", "upcoming": "🔜"}
_BROKEN = ("fail", "warn")
_LISTED = (*_BROKEN, "waived", "not executed", "upcoming")
_SHOWN = (*_BROKEN, "waived", "upcoming")


def markdown(report: ReportData) -> str:
    """Return a report as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: ReportData) -> Iterator[str]:
    subject = report["subject"]
    symbol = "✅" if report["verdict"] == "conformant" else "❌"
    summary = SUMMARIES_BY_NAME[report["verdict"]]
    yield f"## {symbol} {_text(subject['name'])} {_text(subject['version'])}: {_text(summary)}"
    yield ""
    yield " · ".join(_facts(report))
    yield ""
    yield from _counts(report)
    yield from _sentences("What is wrong with the waivers:", report["troubles"])
    yield from _sentences("Warnings:", report["warnings"])
    yield from _listed([each for each in report["requirements"] if each["verdict"] in _LISTED])
    failed = [each for each in report["requirements"] if each["verdict"] in _SHOWN and each["failure"] is not None]
    failed.sort(key=lambda each: _SHOWN.index(each["verdict"]))
    for requirement in failed[:_MOST_FAILURES]:
        yield from _failure(requirement)
    if len(failed) > _MOST_FAILURES:
        yield f"... and {len(failed) - _MOST_FAILURES} more: see the JSON or HTML report."
        yield ""
    yield from _sentences("Faults put in on purpose that were not noticed:", report["survivors"])
    if report["crash"] is not None:
        trace = report["crash"]["traceback"][-10 * _MOST_CHARACTERS :]
        printed = report["crash"]["printed"]
        said = ["", "it had printed:", *printed.splitlines()] if printed else []
        yield from _folded("The subject broke", [f"plan: {report['crash']['plan']}", "", *trace.splitlines(), *said])


def _facts(report: ReportData) -> Iterator[str]:
    newest = "" if report["spec"] == report["newest_spec"] else f" (the newest is {_text(report['newest_spec'])})"
    yield f"spec {_text(report['spec'])}{newest}"
    yield f"profile {_text(report['profile'])}"
    if report["seed"] is not None:
        yield f"seed {_text(str(report['seed']))}"
    yield f"{report['plans']} plans in {report['seconds']:.1f} s"
    yield f"runtimeinfo {_text(report['versions']['runtimeinfo'])}"


def _sentences(title: str, sentences: list[str]) -> Iterator[str]:
    if sentences:
        yield f"**{title}**"
        yield ""
        yield from (f"- {_text(sentence)}" for sentence in sentences)
        yield ""


def _counts(report: ReportData) -> Iterator[str]:
    counts = report["counts"]
    yield f"| {' | '.join(_text(verdict) for verdict in counts)} |"
    yield f"|{' ---: |' * len(counts)}"
    yield f"| {' | '.join(str(count) for count in counts.values())} |"
    yield ""


def _listed(requirements: list[RequirementData]) -> Iterator[str]:
    if not requirements:
        return
    yield "| Requirement | Level | Verdict | What it says |"
    yield "| --- | --- | --- | --- |"
    for each in sorted(requirements, key=lambda each: _LISTED.index(each["verdict"])):
        verdict = f"{_SYMBOLS[each['verdict']]} {each['verdict']}"
        reason = _reason(each)
        told = f" ({_text(reason)})" if reason else ""
        yield f"| {each['id']} | {each['level']} | {verdict} | {_text(each['text'])}{told} |"
    yield ""


def _reason(requirement: RequirementData) -> str:
    waiver = requirement["waiver"]
    if waiver is None:
        return requirement["reason"]
    return f"{waiver['reason']}; issue: {waiver['issue']}; expires: {waiver['expires']}"


def _failure(requirement: RequirementData) -> Iterator[str]:
    failure = requirement["failure"]
    if failure is not None:
        title = f"{_SYMBOLS[requirement['verdict']]} {requirement['id']} ({requirement['level']})"
        reason = _reason(requirement)
        lines = [*([f"{requirement['verdict']}: {reason}"] if reason else []), *_failure_lines(failure)]
        if requirement["example"]:
            lines.insert(0, f"example:  {requirement['example']}")
        yield from _folded(f"{title} {requirement['text']}", lines, replay=failure["replay"])


def _failure_lines(failure: FailureData) -> Iterator[str]:
    yield f"plan:     {failure['plan']}"
    yield f"expected: {failure['expected']}"
    yield f"observed: {failure['observed']}"
    if failure["timeline"] is not None:
        yield ""
        yield from _timeline(failure["timeline"])
    for index, operation in enumerate(failure["operations"] or ()):
        yield f"{'  -> ' if index == failure['at'] else '     '}{operation}"


def _timeline(timeline: TimelineData) -> Iterator[str]:
    at = timeline["offending"]
    middle = timeline["total"] if at is None else at
    shown = [event for event in timeline["events"] if abs(event["index"] - middle) <= _CONTEXT]
    if shown and shown[0]["index"]:
        yield f"     ... {shown[0]['index']} events before"
    for event in shown:
        mark = "  -> " if event["index"] == at else "     "
        yield f"{mark}{_event(event)}"
    after = timeline["total"] - 1 - shown[-1]["index"] if shown else timeline["total"]
    if after:
        yield f"     ... {after} events after"
    if timeline["raised"] is not None:
        yield f"     raised {timeline['raised']}"


def _event(event: EventData) -> str:
    stage = event["stage"] or "-"
    runner = f"{_counter(event['runner_epoch'])}/{_counter(event['runner_iter'])}"
    hub = f"{_counter(event['hub_epoch'])}/{_counter(event['hub_iter'])}"
    name = "  " * (len(event["scopes"]) - 1) + event["event"]
    return f"{name:<26} stage {stage:<6} epoch/iter: runner {runner}, hub {hub}"


def _counter(value: object) -> str:
    return "-" if value is None else str(value)


def _folded(title: str, lines: list[str], replay: str | None = None) -> Iterator[str]:
    # Not a fenced block: a text with backticks in it could leave that. The blank line makes the <pre> a block of
    # its own, which blank lines do not end.
    yield f"<details><summary>{html.escape(title)}</summary>"
    yield ""
    yield "<pre>"
    for line in lines:
        yield from html.escape(fit(line, _MOST_CHARACTERS)).splitlines() or [""]
    if replay is not None:
        # In full: it is there to be pasted.
        yield from ("", html.escape(replay))
    yield "</pre>"
    yield ""
    yield "</details>"
    yield ""


def _text(text: str) -> str:
    """Return a text on one line, without any markup."""
    line = " ".join(fit(text, _MOST_CHARACTERS).split())
    return _MARKUP.sub(lambda found: f"&#{ord(found.group())};", line)
