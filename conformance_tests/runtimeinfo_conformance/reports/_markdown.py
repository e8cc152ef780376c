"""A report as Markdown, for the step summary of a CI run."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from runtimeinfo_conformance.reports._data import SUMMARIES_BY_NAME, ReportData, RequirementData, by_cause, same_mistake
from runtimeinfo_conformance.reports._text import counted, failure_lines, fit

# What Markdown, or a site that shows it, could take for markup, a link or a mention. An underscore within a word
# is not markup.
_MARKUP = re.compile(r"[\\`*{}\[\]<>#+!|&~@:$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=www)\.")

# A step summary may have one megabyte.
_MOST_CHARACTERS = 600
_MOST_FAILURES = 40

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
    failed = [*by_cause(report), *(each for each in failed if each["verdict"] not in _BROKEN)]
    for requirement in failed[:_MOST_FAILURES]:
        yield from _failure(requirement, same_mistake(report, requirement["id"]))
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
    counts = counted(report)
    if not counts:
        return
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


def _failure(requirement: RequirementData, cause: str) -> Iterator[str]:
    failure = requirement["failure"]
    if failure is not None:
        title = f"{_SYMBOLS[requirement['verdict']]} {requirement['id']} ({requirement['level']})"
        reason = _reason(requirement)
        lines = [f"example:  {requirement['example']}"] if requirement["example"] else []
        lines += [f"{requirement['verdict']}: {reason}"] if reason else []
        lines += [cause] if cause else []
        lines += failure_lines(failure, requirement["hint"])
        yield from _folded(f"{title} {requirement['text']}", lines, replay=failure["replay"])


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
