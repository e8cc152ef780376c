"""A report as plain data, from which every rendering is made. `schema.json` describes it."""

from __future__ import annotations

import json
import math
import platform
import traceback
from datetime import UTC, datetime
from importlib import resources
from typing import Any, TypedDict

from runtimeinfo import __version__
from runtimeinfo.spec import CLOSES, OPENS, SPEC_VERSION
from runtimeinfo_conformance._hints import HINTS
from runtimeinfo_conformance._replay import replay_line
from runtimeinfo_conformance._subject import Subject, party_of
from runtimeinfo_conformance._verdict import SUMMARIES, Crash, Failure, Report, Result, Verdict
from runtimeinfo_conformance.observation import Expectation, Leg, Record
from runtimeinfo_conformance.plans import AnyPlan, HubPlan, ReducePlan, plan_text
from runtimeinfo_conformance.reports._text import fit, shown, shown_beside

SCHEMA_VERSION = 1
"""Grows by one when a reader of the version before could no longer read a report: not when a field is added."""

# Around the event in question. A runner that went wild can emit millions.
_MOST_EVENTS = 400
_MOST_TRACEBACK = 20_000
_MOST_REPLAY = 20_000
_MOST_ARGUMENT = 80

# The arguments of an event that are judged and can be read. Where they are None, they say something only at the event
# that is marked.
_ARGUMENTS = ("batch_idx", "outputs", "metrics", "exception")

# Beyond this a JSON reader may round.
_LARGEST_EXACT = 2**53

Counter = int | str | None
"""A counter; as text if it is not a number; None if there is none."""


class SubjectData(TypedDict):
    """The subject of a check."""

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
    arguments: dict[str, str]
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
    """A broken requirement: `at` is the index of an event of a run, or of an operation on a hub.

    `after` has the plans that were run before, where the plan alone does not show it.
    """

    after: list[str]
    plan: str
    replay: str | None
    expected: str
    observed: str
    at: int | None
    timeline: TimelineData | None
    operations: list[str] | None


class WaiverData(TypedDict):
    """The reason for letting a broken requirement pass, and the last day."""

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
    hint: str
    verdict: str
    occurrences: int
    reason: str
    waiver: WaiverData | None
    failure: FailureData | None


class GroupData(TypedDict):
    """Requirements that are probably broken by one mistake: the one to look at first, and the others."""

    first: str
    others: list[str]


class CrashData(TypedDict):
    """An exception that was not planned, or what no subject may do; `printed` is what came before it."""

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
    groups: list[GroupData]
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
        "groups": _groups(report.of(Verdict.FAIL, Verdict.WARN)),
        "warnings": [fit(warning) for warning in report.warnings],
        "troubles": [fit(trouble) for trouble in report.troubles],
        "survivors": [fit(survivor) for survivor in report.survivors],
        "crash": None if report.crash is None else _crash(report.crash),
    }


SUMMARIES_BY_NAME = {code.label: summary for code, summary in SUMMARIES.items()}
"""Each verdict on a subject in words, by its name in the data."""


def schema() -> dict[str, Any]:
    """Return the published JSON Schema (draft 2020-12) of a report."""
    text = resources.files("runtimeinfo_conformance.reports").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def by_cause(report: ReportData) -> list[RequirementData]:
    """Return the requirements that are broken and not waived, each cause followed by what it has probably broken."""
    known = {each["id"]: each for each in report["requirements"]}
    return [known[id] for group in report["groups"] for id in (group["first"], *group["others"])]


def same_mistake(report: ReportData, requirement: str) -> str:
    """Return the requirements probably broken by the same mistake, or nothing for a requirement on its own."""
    for group in report["groups"]:
        if requirement == group["first"] and group["others"]:
            return f"broken with it, probably by the same mistake: {', '.join(group['others'])}"
        if requirement in group["others"]:
            return f"probably broken by the same mistake as {group['first']}: look at that first"
    return ""


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
        "hint": HINTS.get(rule.id, ""),
        "verdict": result.verdict.value,
        "occurrences": result.occurrences,
        "reason": fit(result.reason),
        "waiver": _waiver(result),
        "failure": None if failure is None else failure_data(rule.id, failure, target),
    }


def _waiver(result: Result) -> WaiverData | None:
    waiver = result.waiver
    if waiver is None:
        return None
    return {"reason": fit(waiver.reason), "issue": fit(waiver.issue), "expires": waiver.expires.isoformat()}


def failure_data(requirement: str, failure: Failure, target: str | None) -> FailureData:
    """Return how a requirement was broken as plain data.

    Args:
        requirement: Its id.
        failure: The failure.
        target: The name of the subject on a command line; None if it has none.
    """
    finding, plan = failure.finding, failure.plan
    expected, observed = shown_beside(finding.expected, finding.observed)
    return {
        "after": [_plan(each) for each in failure.after],
        "plan": _plan(plan),
        "replay": _replay(requirement, failure, target),
        "expected": expected,
        "observed": observed,
        "at": finding.at,
        "timeline": None if failure.leg is None else _timeline(failure.leg, finding.at),
        "operations": _operations(plan),
    }


def _plan(plan: AnyPlan) -> str:
    return fit(plan_text(plan))


def _replay(requirement: str, failure: Failure, target: str | None) -> str | None:
    line = replay_line(requirement, failure.plan, target, after=failure.after)
    # A line to be pasted is of no use if it was cut, or if something in it had to be escaped.
    return line if fit(line, _MOST_REPLAY) == line else None


def _groups(broken: list[Result]) -> list[GroupData]:
    """Return the broken requirements by cause, the smallest plan first.

    One mistake often breaks several rules in the same run: those that speak of one event, and those of one kind. The
    one whose matter comes first in the run is the first of its group.
    """
    groups: list[list[Result]] = []
    for result in sorted(broken, key=_place):
        group = next((group for group in groups if any(_is_related(result, other) for other in group)), None)
        if group is None:
            groups.append([result])
        else:
            group.append(result)
    groups.sort(key=_urgency)
    ids = [[result.requirement.id for result in group] for group in groups]
    return [{"first": first, "others": others} for first, *others in ids]


def _place(result: Result) -> float:
    """Return where in its run a requirement is broken; what is wrong with the run as a whole shows at its end."""
    at = None if result.failure is None else result.failure.finding.at
    return math.inf if at is None else at


def _is_related(one: Result, other: Result) -> bool:
    return _run(one) == _run(other) is not None and (
        _place(one) == _place(other) or one.requirement.id.partition("-")[0] == other.requirement.id.partition("-")[0]
    )


def _run(result: Result) -> str | None:
    """Return the name of the run in which a requirement is broken: the plan, and the run within it."""
    failure = result.failure
    if failure is None:
        return None
    return repr((failure.after, failure.plan, failure.leg is not None and failure.leg.previous is not None))


def _urgency(group: list[Result]) -> tuple[bool, int]:
    failure = group[0].failure
    is_harmless = all(result.verdict is Verdict.WARN for result in group)
    return is_harmless, 0 if failure is None else len(repr((failure.after, failure.plan)))


def _operations(plan: AnyPlan) -> list[str] | None:
    if isinstance(plan, HubPlan):
        return [shown(op) for op in plan.ops]
    return [shown(turn) for turn in plan.turns] if isinstance(plan, ReducePlan) else None


def _crash(crash: Crash) -> CrashData:
    trace = "".join(traceback.format_exception(crash.error))
    # The end of a traceback says most.
    return {
        "plan": _plan(crash.plan),
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
            _event(index, leg.records[index], expectations[index], is_offending=index == at)
            for index in range(first, min(first + _MOST_EVENTS, total))
        ],
    }


def _event(index: int, record: Record, expectation: Expectation, *, is_offending: bool) -> EventData:
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
        "arguments": {
            name: shown(record.arguments[name], _MOST_ARGUMENT)
            for name in _ARGUMENTS
            if name in record.arguments and (is_offending or record.arguments[name] is not None)
        },
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
