"""A report as plain data. `schema.json` says what it looks like."""

from __future__ import annotations

import json
import platform
import traceback
from datetime import UTC, datetime
from importlib import resources
from typing import Any, TypedDict

from runtimeinfo import __version__
from runtimeinfo.spec import CLOSES, OPENS, SPEC_VERSION
from runtimeinfo_conformance._replay import replay_line
from runtimeinfo_conformance._subject import Subject, party_of
from runtimeinfo_conformance._text import fit, shown, shown_beside
from runtimeinfo_conformance._verdict import SUMMARIES, Crash, Failure, Report, Result, Verdict
from runtimeinfo_conformance.observation import Expectation, Leg, Record
from runtimeinfo_conformance.plans import AnyPlan, HubPlan, ReducePlan

SCHEMA_VERSION = 1
"""Grows by one when a reader of the version before could no longer read a report: not when a field is added."""

# Around the event in question. A runner that went wild can emit millions.
_MOST_EVENTS = 400
_MOST_TRACEBACK = 20_000
_MOST_REPLAY = 20_000

# Beyond this a JSON reader may round.
_LARGEST_EXACT = 2**53

Counter = int | str | None
"""A counter; as text if it is no number; None if there is none."""


class SubjectData(TypedDict):
    """What was put to the test."""

    name: str
    version: str
    party: str
    capabilities: list[str]


class EventData(TypedDict):
    """One event: `scopes` are open at it, those that it opens or closes included; `index` is its place in the run."""

    index: int
    event: str
    scopes: list[str]
    stage: str | None
    runner_epoch: Counter
    runner_iter: Counter
    hub_epoch: Counter
    hub_iter: Counter
    objection: str | None


class TimelineData(TypedDict):
    """A run: `events` are those around the offending one, out of `total`; `fault` is where the plan's fault struck.

    If it struck between two events, `moment` names what happened there, and `fault` is the event before.
    """

    resumed: bool
    total: int
    offending: int | None
    fault: int | None
    moment: str | None
    raised: str | None
    events: list[EventData]


class FailureData(TypedDict):
    """How a requirement was broken: `at` is the index of an event of a run, or of an operation on a hub."""

    plan: str
    replay: str | None
    expected: str
    observed: str
    at: int | None
    timeline: TimelineData | None
    operations: list[str] | None


class WaiverData(TypedDict):
    """Why a broken requirement is let pass, and until when."""

    reason: str
    issue: str
    expires: str


class RequirementData(TypedDict):
    """A requirement, and the verdict on it."""

    id: str
    level: str
    party: str
    since: str
    text: str
    intent: str
    example: str
    verdict: str
    occurrences: int
    reason: str
    waiver: WaiverData | None
    failure: FailureData | None


class CrashData(TypedDict):
    """An exception that nobody had planned, or what no subject may do; `printed` is what came before it."""

    plan: str
    error: str
    traceback: str
    printed: str


class ReportData(TypedDict):
    """All that is said of a subject."""

    schema_version: int
    subject: SubjectData
    versions: dict[str, str]
    spec: str
    newest_spec: str
    profile: str
    seed: Counter
    target: str | None
    date: str
    plans: int
    seconds: float
    exit_code: int
    verdict: str
    counts: dict[str, int]
    requirements: list[RequirementData]
    warnings: list[str]
    troubles: list[str]
    survivors: list[str]
    crash: CrashData | None


def report_data(report: Report, now: datetime | None = None) -> ReportData:
    """Return a report as plain data.

    Args:
        report: The report.
        now: The date to put on it; the present one by default.
    """
    requirements = [_requirement(result, report.target) for result in report.results]
    return {
        "schema_version": SCHEMA_VERSION,
        "subject": _subject(report),
        "versions": {"runtimeinfo": __version__, "python": platform.python_version()},
        "spec": report.spec,
        "newest_spec": SPEC_VERSION,
        "profile": fit(report.profile),
        "seed": _counter(report.seed),
        "target": None if report.target is None else fit(report.target),
        "date": (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        "plans": report.plans,
        "seconds": round(report.seconds, 3),
        "exit_code": int(report.exit_code),
        "verdict": report.exit_code.label,
        "counts": {verdict.value: len(report.of(verdict)) for verdict in Verdict if report.of(verdict)},
        "requirements": requirements,
        "warnings": [fit(warning) for warning in report.warnings],
        "troubles": [fit(trouble) for trouble in report.troubles],
        "survivors": [fit(survivor) for survivor in report.survivors],
        "crash": None if report.crash is None else _crash(report.crash),
    }


SUMMARIES_BY_NAME = {code.label: summary for code, summary in SUMMARIES.items()}
"""What each verdict on a subject means, by its name in the data."""


def schema() -> dict[str, Any]:
    """Return the published JSON Schema (draft 2020-12) of a report."""
    text = resources.files("runtimeinfo_conformance.reports").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _subject(report: Report) -> SubjectData:
    subject = report.subject
    return {
        "name": fit(str(subject.name)),
        "version": fit(str(subject.version)),
        "party": party_of(subject),
        "capabilities": sorted(subject.capabilities) if isinstance(subject, Subject) else [],
    }


def _requirement(result: Result, target: str | None) -> RequirementData:
    rule, failure = result.requirement, result.failure
    return {
        "id": rule.id,
        "level": rule.level,
        "party": rule.party,
        "since": rule.since,
        "text": rule.text,
        "intent": rule.intent,
        "example": rule.example,
        "verdict": result.verdict.value,
        "occurrences": result.occurrences,
        "reason": fit(result.reason),
        "waiver": _waiver(result),
        "failure": None if failure is None else _failure(failure, replay=_replay(rule.id, failure, target)),
    }


def _waiver(result: Result) -> WaiverData | None:
    waiver = result.waiver
    if waiver is None:
        return None
    return {"reason": fit(waiver.reason), "issue": fit(waiver.issue), "expires": waiver.expires.isoformat()}


def _replay(requirement: str, failure: Failure, target: str | None) -> str | None:
    line = replay_line(requirement, failure.plan, target)
    # A line to be pasted is of no use if it was cut, or if something in it had to be escaped.
    return line if fit(line, _MOST_REPLAY) == line else None


def _failure(failure: Failure, replay: str | None = None) -> FailureData:
    finding, plan = failure.finding, failure.plan
    expected, observed = shown_beside(finding.expected, finding.observed)
    return {
        "plan": shown(plan),
        "replay": replay,
        "expected": expected,
        "observed": observed,
        "at": finding.at,
        "timeline": None if failure.leg is None else _timeline(failure.leg, finding.at),
        "operations": _operations(plan),
    }


def _operations(plan: AnyPlan) -> list[str] | None:
    if isinstance(plan, HubPlan):
        return [shown(op) for op in plan.ops]
    return [shown(turn) for turn in plan.turns] if isinstance(plan, ReducePlan) else None


def _crash(crash: Crash) -> CrashData:
    trace = "".join(traceback.format_exception(crash.error))
    # The end of a traceback says most.
    return {
        "plan": shown(crash.plan),
        "error": shown(crash.error),
        "traceback": fit(trace[-_MOST_TRACEBACK:], _MOST_TRACEBACK),
        "printed": fit(crash.printed, _MOST_TRACEBACK),
    }


def _timeline(leg: Leg, at: int | None) -> TimelineData:
    total = len(leg.records)
    middle = total if at is None else at
    first = max(0, min(middle - _MOST_EVENTS // 2, total - _MOST_EVENTS))
    expectations = leg.expectations()
    return {
        "resumed": leg.previous is not None,
        "total": total,
        "offending": at,
        "fault": leg.fault_at,
        "moment": leg.moment,
        "raised": None if leg.raised is None else shown(leg.raised),
        "events": [
            _event(index, leg.records[index], expectations[index])
            for index in range(first, min(first + _MOST_EVENTS, total))
        ],
    }


def _event(index: int, record: Record, expectation: Expectation) -> EventData:
    stage = record.info.get("loop_stage")
    return {
        "index": index,
        "event": record.event,
        "scopes": _scopes_at(record.event, expectation),
        "stage": stage if stage is None else fit(str(stage), 40),
        "runner_epoch": _counter(record.epoch),
        "runner_iter": _counter(record.iter),
        "hub_epoch": _counter(record.info.get("epoch")),
        "hub_iter": _counter(record.info.get("iter")),
        "objection": expectation.objection,
    }


def _scopes_at(event: str, expectation: Expectation) -> list[str]:
    if event in OPENS:
        return list(expectation.inside)
    outside = list(expectation.outside)
    closed = CLOSES.get(event)
    return outside[: outside.index(closed) + 1] if closed in outside else outside


def _counter(value: object) -> Counter:
    if value is None or (type(value) is int and abs(value) <= _LARGEST_EXACT):
        return value
    return fit(shown(value), 40)
