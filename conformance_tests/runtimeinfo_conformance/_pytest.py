"""The kit as a test function."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from runtimeinfo import REQUIREMENTS
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject, SubjectError, testable
from runtimeinfo_conformance._timeline import describe_failure
from runtimeinfo_conformance._verdict import Report, Verdict


def conformance(subject: AnySubject, *, profile: str = "ci") -> Callable[[str], None]:
    """Make a pytest test out of a subject: an item for each requirement that applies to it, and one for the whole.

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

    @functools.cache
    def report() -> Report:
        return check(subject, PROFILES[profile])

    @pytest.mark.parametrize("requirement", [*testable(subject), "verdict"])
    def test_conformance(requirement: str) -> None:
        __tracebackhide__ = True
        problem = _problem(report(), requirement)
        if problem is not None:
            pytest.fail(problem, pytrace=False)

    test_conformance.runtimeinfo_subject = subject  # type: ignore[attr-defined]  # `runtimeinfo check` looks for it
    return test_conformance


def _problem(report: Report, requirement: str) -> str | None:
    """Say why an item fails; None if it does not."""
    if requirement == "verdict":
        if report.crash is not None:
            raise report.crash.error
        return f"faults put in on purpose were not noticed: {report.survivors}" if report.survivors else None
    result = next(result for result in report.results if result.requirement.id == requirement)
    rule = REQUIREMENTS[requirement]
    if result.verdict is Verdict.FAIL and result.failure is not None:
        return "\n".join([f"{rule.id} ({rule.level}) {rule.text}", *describe_failure(result.failure)])
    if result.verdict is Verdict.NOT_EXECUTED and rule.level == "MUST":
        return f"{rule.id} was never exercised: {rule.text}"
    return None
