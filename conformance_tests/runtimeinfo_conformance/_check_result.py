"""The check as a Python function, and its result: the public form of ``runtimeinfo check``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from runtimeinfo.authoring import shown
from runtimeinfo.spec import Level
from runtimeinfo_conformance._lookup import did_you_mean
from runtimeinfo_conformance._profile import PROFILES, Progress, silent
from runtimeinfo_conformance._subject import AnySubject, SubjectError
from runtimeinfo_conformance.plans import AnyPlan

if TYPE_CHECKING:
    from runtimeinfo_conformance._verdict import Failure, Report
    from runtimeinfo_conformance.reports import ReportData, RequirementData

VerdictName = Literal["pass", "fail", "warn", "waived", "upcoming", "not applicable", "not executed", "untestable"]
"""The verdict on a requirement, as reports have it."""

SubjectVerdictName = Literal["conformant", "violated", "waiver trouble", "vacuous", "subject broke"]
"""The verdict on a subject, as reports have it."""

_OF_THE_EXTRA = frozenset({"hypothesis", "jinja2", "pytest", "filelock"})


@dataclass(frozen=True)
class CheckFailure:
    """The way in which a requirement is broken.

    Attributes:
        plan: The smallest plan found on which it is broken. Its `repr` is a text that ``runtimeinfo replay`` takes.
        expected: What the requirement demands.
        observed: What was observed.
        replay: The command that runs this plan again, for a POSIX shell. It has ``<file>`` where the check was not
            told the target.
        text: All of this and the run, as the command prints it.
        after: The plans that were run before it in the same process, where the plan alone does not show it.
    """

    plan: AnyPlan
    expected: str
    observed: str
    replay: str
    text: str
    after: tuple[AnyPlan, ...] = ()


@dataclass(frozen=True)
class RequirementResult:
    """The verdict on one requirement.

    Attributes:
        id: The id, as in ``"STAGE-02"``.
        level: How binding the requirement is.
        verdict: The verdict.
        occurrences: How often the requirement mattered.
        reason: Why it was not judged, or why it is waived; otherwise empty.
        failure: How it is broken; None if it is not.
    """

    id: str
    level: Level
    verdict: VerdictName
    occurrences: int
    reason: str
    failure: CheckFailure | None


@dataclass(frozen=True)
class CheckResult:
    """The result of a check. As text it is the verdict and how each broken requirement is broken.

    Attributes:
        verdict: The verdict on the subject.
        exit_code: The exit code that ``runtimeinfo check`` would have: 0 if the subject is conformant.
        requirements: The verdict on each requirement by its id, in the order of the spec.
        plans: How many plans were run.
        seconds: How long the check took.
        seed: The seed of the search; None where the same plans are tried each time.
        error: The exception that the subject broke with; None if it did not break.
        data: All of it as plain data, which follows the schema of ``report.json``: see
            `runtimeinfo_conformance.reports.schema`. `runtimeinfo_conformance.reports.write_reports` takes it.
    """

    verdict: SubjectVerdictName
    exit_code: int
    requirements: Mapping[str, RequirementResult]
    plans: int
    seconds: float
    seed: int | None
    error: BaseException | None
    data: ReportData

    @property
    def failures(self) -> dict[str, CheckFailure]:
        """How each requirement is broken whose verdict is ``"fail"``, by its id."""
        return {
            id: result.failure
            for id, result in self.requirements.items()
            if result.verdict == "fail" and result.failure is not None
        }

    def __str__(self) -> str:
        subject = self.data["subject"]
        lines = [f"{subject['name']} {subject['version']}: {self.verdict}"]
        lines += [f"  {line}" for line in (*self.data["troubles"], *self.data["survivors"], *self.data["warnings"])]
        if self.error is not None:
            lines.append(f"  {type(self.error).__name__}: {self.error}")
        for id, failure in self.failures.items():
            lines += ["", f"{id}", failure.text, failure.replay]
        return "\n".join(lines)


def check(
    subject: AnySubject,
    profile: str = "ci",
    *,
    seed: int | None = None,
    timeout: float | None = None,
    target: str | None = None,
    progress: Progress = silent,
) -> CheckResult:
    """Put a subject to the test: the same as ``runtimeinfo check``, for a script or a notebook.

    What the subject raises is in the result. If several threads call this at once, they take turns: a check needs the
    process to itself.

    Args:
        subject: A `Subject`, a `HubSubject` or a `ReduceSubject`.
        profile: How long to search: ``"quick"``, ``"ci"`` or ``"nightly"``.
        seed: The seed of the search; by default the profile decides.
        timeout: How many seconds one run may take before it counts as hung; 60 by default. It is watched in the main
            thread only.
        target: The name of the subject on a command line, for the commands that replay its failures.
        progress: Called with what is being done, how much of it is done, and how much there is to do.

    Raises:
        SubjectError: If it is not a subject, or there is no such profile.
        ModuleNotFoundError: If the extra ``runtimeinfo[conformance]`` is not installed.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> from runtimeinfo_conformance import HubSubject, check
        >>> result = check(HubSubject("reference", "0.1", make=MessageHub), "quick")
        >>> result.verdict, result.exit_code, result.requirements["HUB-01"].verdict
        ('conformant', 0, 'pass')
    """
    if profile not in PROFILES:
        raise SubjectError(f"there is no profile {profile!r}; {did_you_mean(profile, PROFILES)}")
    if not isinstance(subject, AnySubject):
        raise SubjectError(f"{shown(subject)} is not a subject: make a Subject, a HubSubject or a ReduceSubject of it")
    try:
        from runtimeinfo_conformance import _check, reports
        from runtimeinfo_conformance.guards import HANG_SECONDS
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise ModuleNotFoundError(
            f"a check needs {error.name}, which is not installed: pip install 'runtimeinfo[conformance]'",
            name=error.name,
        ) from None
    report = _check.check(
        subject,
        PROFILES[profile],
        progress,
        seed=seed,
        hang_seconds=HANG_SECONDS if timeout is None else timeout,
        target=target,
    )
    return _result(report, reports.report_data(report))


def _result(report: Report, data: ReportData) -> CheckResult:
    failures = {result.requirement.id: result.failure for result in report.results}
    requirements = {
        entry["id"]: RequirementResult(
            id=entry["id"],
            level=cast("Level", entry["level"]),
            verdict=cast("VerdictName", entry["verdict"]),
            occurrences=entry["occurrences"],
            reason=entry["reason"],
            failure=_failure(entry, failures[entry["id"]]),
        )
        for entry in data["requirements"]
    }
    return CheckResult(
        verdict=cast("SubjectVerdictName", data["verdict"]),
        exit_code=data["exit_code"],
        requirements=MappingProxyType(requirements),
        plans=report.plans,
        seconds=report.seconds,
        seed=report.seed,
        error=None if report.crash is None else report.crash.error,
        data=data,
    )


def _failure(entry: RequirementData, failure: Failure | None) -> CheckFailure | None:
    from runtimeinfo_conformance.reports._text import TOO_LONG, failure_lines

    data = entry["failure"]
    if failure is None or data is None:
        return None
    return CheckFailure(
        plan=failure.plan,
        expected=data["expected"],
        observed=data["observed"],
        replay=data["replay"] or TOO_LONG,
        text="\n".join(failure_lines(data, entry["hint"])),
        after=failure.after,
    )
