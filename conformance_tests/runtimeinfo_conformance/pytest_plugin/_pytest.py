"""Turn a subject into a pytest test with an item for each requirement."""

from __future__ import annotations

import os
import traceback
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType, TracebackType
from typing import Any

import pytest

from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject, HubSubject, Subject, SubjectError, testable
from runtimeinfo_conformance._verdict import Crash, Report, Verdict
from runtimeinfo_conformance.guards import is_of_kit
from runtimeinfo_conformance.plans import plan_text
from runtimeinfo_conformance.pytest_plugin._outcomes import OUTCOMES, ItemData, Outcome, OutcomeData, Outcomes
from runtimeinfo_conformance.reports import ReportData, RequirementData, report_data
from runtimeinfo_conformance.reports._data import SUMMARIES_BY_NAME, same_mistake
from runtimeinfo_conformance.reports._text import counts_line, failure_lines, fit

WHOLE = "verdict"
"""The name of the item for the subject as a whole."""

_MOST_CHARACTERS = 40_000

# Pytest would not take these for a failure if a test raised them.
_MISTAKEN = (unittest.SkipTest, pytest.exit.Exception)


def conformance(subject: AnySubject, *, profile: str = "ci") -> Callable[..., None]:
    """Make a pytest test out of a subject: an item for each requirement that applies to it, and one for the whole.

    The subject is checked once in a session, by the first of its items that runs. Under pytest-run-parallel the items
    run in one thread: a check needs the process to itself. ``--runtimeinfo-profile`` and
    ``--runtimeinfo-report`` are for all subjects of the session.

    Args:
        subject: The subject.
        profile: The name of the profile: ``quick``, ``ci`` or ``nightly``.

    Raises:
        SubjectError: If there is no such profile.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> from runtimeinfo_conformance import HubSubject
        >>> test_conformance = conformance(HubSubject("reference", "0.1", make=MessageHub))
        >>> test_conformance.runtimeinfo_subject.name
        'reference'
    """
    if profile not in PROFILES:
        raise SubjectError(f"there is no profile {profile!r}; there are {', '.join(PROFILES)}")

    @pytest.mark.parametrize("requirement", [*testable(subject), WHOLE])
    def test_conformance(requirement: str, request: pytest.FixtureRequest) -> None:
        __tracebackhide__ = True
        outcome = _outcome(request, subject, profile)
        item = outcome.data["items"][requirement]
        properties = {"requirement": requirement, "level": item["level"]} if requirement != WHOLE else {}
        properties |= {"verdict": item["verdict"], "spec": outcome.data["spec"]}
        # The fixture record_property would do the same, and warn of a format of JUnit that does hold properties.
        request.node.user_properties.extend(properties.items())
        if requirement == WHOLE and outcome.crash is not None and _can_be_raised(outcome.crash):
            outcome.crash.error.add_note(f"The subject broke on {outcome.crash.plan!r}")
            raise outcome.crash.error.with_traceback(outside_of_kit(outcome.crash.error))
        if item["problem"] is not None:
            pytest.fail(item["problem"], pytrace=False)
        if item["verdict"] == Verdict.WAIVED.value:
            pytest.xfail(item["reason"])
        if item["verdict"] == Verdict.UPCOMING.value:
            pytest.skip(item["reason"])

    test_function: Any = test_conformance
    test_function.runtimeinfo_subject = subject  # `runtimeinfo check` and the plugin look for it
    origin = _origin(subject)
    if isinstance(origin, FunctionType):
        test_function.place_as = origin  # pytest shows the test as being there, instead of in the kit
    return test_conformance


def _origin(subject: AnySubject) -> object:
    """Return the function of a subject."""
    if isinstance(subject, Subject):
        return subject.run
    return subject.make if isinstance(subject, HubSubject) else subject.reduce


def _outcome(request: pytest.FixtureRequest, subject: AnySubject, profile: str) -> Outcome:
    config = request.config
    name = config.getoption("runtimeinfo_profile", None) or profile
    with_report = config.getoption("runtimeinfo_report", None) is not None

    def make() -> Outcome:
        from runtimeinfo_conformance._check import check  # with Hypothesis, which only a search needs

        try:
            report = check(subject, PROFILES[name], target=_target(request, subject))
        except Exception as error:  # noqa: BLE001  # each item shows it, and none makes the check again
            return outcome_of_error(subject, error)
        return outcome_of(report, with_report=with_report)

    # Without the plugin (-p no:runtimeinfo) there is nothing in the stash yet.
    return config.stash.setdefault(OUTCOMES, Outcomes()).get(_key(request), make)


def _key(request: pytest.FixtureRequest) -> str:
    """Return the name of the check that an item belongs to: its function, and other parameters that it runs under."""
    node = request.node
    others = sorted((name, index) for name, index in node.callspec.indices.items() if name != "requirement")
    return f"{node.parent.nodeid}::{node.originalname}{others or ''}"


def _target(request: pytest.FixtureRequest, subject: AnySubject) -> str:
    """Return the target of a subject on a command line: its file, seen from where pytest was started."""
    node: Any = request.node
    try:
        file = os.path.relpath(request.path, request.config.invocation_params.dir)
    except ValueError:  # on another drive
        file = str(request.path)
    place = Path(file).as_posix()
    module: ModuleType = node.module
    others = [getattr(value, "runtimeinfo_subject", value) for value in module.__dict__.values()]
    is_alone = all(other is subject for other in others if isinstance(other, AnySubject))
    return place if is_alone else f"{place}:{node.originalname}"


def _can_be_raised(crash: Crash) -> bool:
    """Tell whether pytest shows an error as an error: not as a skip or as the end of the session, and not hidden."""
    error = crash.error
    return isinstance(error, Exception) and not isinstance(error, _MISTAKEN) and outside_of_kit(error) is not None


# -- the items of a subject as data


def outcome_of(report: Report, *, with_report: bool) -> Outcome:
    """Return the outcome of each item of a subject.

    Args:
        report: The report of the check.
        with_report: Whether the report will be written.
    """
    data = report_data(report)
    requirements = {each["id"]: each for each in data["requirements"]}
    items = {id: _item(requirements[id], data) for id in testable(report.subject)}
    outcome: OutcomeData = {
        "spec": report.spec,
        "items": {**items, WHOLE: _whole(report, data)},
        "summary": [fit(line) for line in _summary(data)],
        "report": data if with_report else None,
    }
    return Outcome(outcome, report.crash)


def outcome_of_error(subject: AnySubject, error: Exception) -> Outcome:
    """Return the outcome where the check itself ended in an error: the same for each item."""
    what = f"the check of {subject.name} itself ended in an error"
    text = f"{what}\n\n{''.join(traceback.format_exception(error))}"
    item: ItemData = {"level": "", "verdict": "error", "problem": fit(text, _MOST_CHARACTERS), "reason": ""}
    summary = [fit(f"{what}: {type(error).__name__}: {error}")]
    items = dict.fromkeys([*testable(subject), WHOLE], item)
    return Outcome({"spec": subject.spec, "items": items, "summary": summary, "report": None})


def outside_of_kit(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error from its first frame outside of the kit on; None if there is none."""
    found = error.__traceback__
    while found is not None and is_of_kit(found.tb_frame):
        found = found.tb_next
    return found


def _item(requirement: RequirementData, report: ReportData) -> ItemData:
    problem = _problem(requirement, report)
    return {
        "level": requirement["level"],
        "verdict": requirement["verdict"],
        "problem": None if problem is None else fit(problem, _MOST_CHARACTERS),
        "reason": fit(_reason(requirement)),
    }


def _reason(requirement: RequirementData) -> str:
    waiver = requirement["waiver"]
    if waiver is None:
        return requirement["reason"]
    return f"{waiver['reason']} ({waiver['issue']}, waived until {waiver['expires']})"


def _problem(requirement: RequirementData, report: ReportData) -> str | None:
    """Return why an item fails; None if it does not."""
    title, failure = f"{requirement['id']} ({requirement['level']})", requirement["failure"]
    if requirement["verdict"] == Verdict.FAIL.value and failure is not None:
        cause = same_mistake(report, requirement["id"])
        lines = [f"{title} {requirement['text']}", *([cause] if cause else [])]
        return "\n".join([*lines, *failure_lines(failure, requirement["hint"]), "", str(failure["replay"])])
    if _is_vacuous(requirement):
        return f"{title} was never exercised: {requirement['text']}\n{requirement['reason']}"
    return None


def _is_vacuous(requirement: RequirementData) -> bool:
    return requirement["verdict"] == Verdict.NOT_EXERCISED.value and requirement["level"] == "MUST"


def _whole(report: Report, data: ReportData) -> ItemData:
    summary = SUMMARIES_BY_NAME[data["verdict"]]
    problems: list[str] = []
    if report.crash is not None:
        problems.append(_describe_crash(report.crash))
    problems += [f"waivers: {trouble}" for trouble in data["troubles"]]
    problems += [f"a fault put in on purpose was not noticed: {survivor}" for survivor in data["survivors"]]
    has_other_item = any(each["verdict"] == Verdict.FAIL.value or _is_vacuous(each) for each in data["requirements"])
    if data["exit_code"] and not problems and not has_other_item:
        problems.append(summary)
    return {
        "level": "",
        "verdict": data["verdict"],
        "problem": fit("\n".join(problems), _MOST_CHARACTERS) if problems else None,
        "reason": summary,
    }


def _describe_crash(crash: Crash) -> str:
    shown = traceback.TracebackException(type(crash.error), crash.error, outside_of_kit(crash.error))
    return f"the subject broke on {plan_text(crash.plan)}\n\n{''.join(shown.format())}"


def _summary(report: ReportData) -> Iterator[str]:
    subject, counts = report["subject"], counts_line(report)
    seed = "" if report["seed"] is None else f", seed {report['seed']}"
    yield f"{subject['name']} {subject['version']}: {SUMMARIES_BY_NAME[report['verdict']]}"
    yield (
        f"  {f'{counts}; ' if counts else ''}spec {report['spec']}, profile {report['profile']}, "
        f"{report['plans']} plans in {report['seconds']:.1f} s{seed}"
    )
    for each in report["requirements"]:
        if each["verdict"] == Verdict.WARN.value:
            yield f"  does not hold: {each['id']} ({each['level']}) {each['text']}"
    for warning in report["warnings"]:
        yield f"  warning: {warning}"
    for trouble in report["troubles"]:
        yield f"  waivers: {trouble}"
