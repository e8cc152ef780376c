"""The kit as a test function."""

from __future__ import annotations

import os
import unittest
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject, HubSubject, Subject, SubjectError, testable
from runtimeinfo_conformance._verdict import Crash, Verdict
from runtimeinfo_conformance.pytest_plugin._outcome import WHOLE, Outcome, outcome_of, outcome_of_error, outside_of_kit
from runtimeinfo_conformance.pytest_plugin._outcomes import OUTCOMES, Outcomes

# What pytest would not take for a failure, if a test raised it.
_MISTAKEN = (unittest.SkipTest, pytest.exit.Exception)


def conformance(subject: AnySubject, *, profile: str = "ci") -> Callable[..., None]:
    """Make a pytest test out of a subject: an item for each requirement that applies to it, and one for the whole.

    The subject is checked once in a session, by the first of its items that runs. ``--runtimeinfo-profile`` and
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
    """Return the function that a subject is made of."""
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
        except Exception as error:  # noqa: BLE001  # each of its items says it; none shall make the check again
            return outcome_of_error(subject, error)
        return outcome_of(report, with_report=with_report)

    # Without the plugin (-p no:runtimeinfo) there is nothing in the stash yet.
    return config.stash.setdefault(OUTCOMES, Outcomes()).get(_key(request), make)


def _key(request: pytest.FixtureRequest) -> str:
    """Return what names the check that an item belongs to: its function, and other parameters that it runs under."""
    node = request.node
    others = sorted((name, index) for name, index in node.callspec.indices.items() if name != "requirement")
    return f"{node.parent.nodeid}::{node.originalname}{others or ''}"


def _target(request: pytest.FixtureRequest, subject: AnySubject) -> str:
    """Return what to name on a command line to get at a subject: its file, seen from where pytest was started."""
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
    """Tell whether pytest shows an error as what it is: neither a skip, nor an end of the session, nor hidden."""
    error = crash.error
    return isinstance(error, Exception) and not isinstance(error, _MISTAKEN) and outside_of_kit(error) is not None
