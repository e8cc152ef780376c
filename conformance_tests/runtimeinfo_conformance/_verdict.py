"""Verdicts on each requirement and on a subject as a whole, and the data that they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, IntEnum

from runtimeinfo.spec import REQUIREMENTS, Requirement
from runtimeinfo_conformance._subject import AnySubject, Subject, is_upcoming, missing_capabilities
from runtimeinfo_conformance.judges import Finding
from runtimeinfo_conformance.observation import Leg
from runtimeinfo_conformance.plans import AnyPlan


class Verdict(Enum):
    """The verdict on one requirement."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    WARN = "warn"
    """A SHOULD that does not hold."""

    WAIVED = "waived"
    """It does not hold, a waiver says so, and the waiver's witness shows it."""

    UPCOMING = "upcoming"
    """A later version of the spec than the one claimed demands it. The reason says whether it would hold."""

    NOT_APPLICABLE = "not applicable"
    NOT_EXERCISED = "not executed"
    """It applies, and no plan made it matter."""

    UNTESTABLE = "untestable"


class ExitCode(IntEnum):
    """The verdict on a subject as a whole."""

    CONFORMANT = 0
    VIOLATED = 1
    WAIVER_TROUBLE = 2
    VACUOUS = 3
    SUBJECT_BROKE = 4

    @property
    def label(self) -> str:
        """The name as reports have it.

        Example:
            >>> ExitCode.SUBJECT_BROKE.label
            'subject broke'
        """
        return self.name.lower().replace("_", " ")


EX_USAGE = 64
"""The exit code for a command line that asks for what cannot be: no verdict. Name and number are of sysexits.h."""

SUMMARIES = {
    ExitCode.CONFORMANT: "Conformant",
    ExitCode.VIOLATED: "Not conformant",
    ExitCode.WAIVER_TROUBLE: "Not decided: a waiver is wrong",
    ExitCode.VACUOUS: "Not decided: something that applies was never exercised",
    ExitCode.SUBJECT_BROKE: "Not decided: the subject itself broke",
}
"""Each verdict on a subject in words."""


@dataclass(frozen=True)
class Failure:
    """A broken requirement, with the run that shows it.

    Attributes:
        plan: The plan, as small as was found.
        finding: The expected and the observed value.
        leg: The run that it was observed in; None where there is no runner.
        after: The plans that have to be run before it in the same process, in this order, because it holds without.
    """

    plan: AnyPlan
    finding: Finding
    leg: Leg | None = None
    after: tuple[AnyPlan, ...] = ()


@dataclass(frozen=True)
class Waiver:
    """A requirement that does not hold, and why that is accepted for now.

    Attributes:
        requirement: Its id.
        reason: Why.
        issue: The place of the discussion on its repair.
        expires: The last day on which this is accepted.
        witness: A plan on which the requirement is broken.
    """

    requirement: str
    reason: str
    issue: str
    expires: date
    witness: AnyPlan


@dataclass(frozen=True)
class WaivedFailure:
    """A waiver, and what its witness showed.

    Attributes:
        waiver: The waiver.
        failure: The failure of its requirement on its witness.
    """

    waiver: Waiver
    failure: Failure


@dataclass(frozen=True)
class Result:
    """The verdict on one requirement.

    Attributes:
        requirement: The requirement.
        verdict: The verdict.
        occurrences: How often it mattered.
        failure: The failure, if it was broken.
        reason: The reason why it was not judged, if it was not.
        waiver: The waiver that allows it to be broken, if there is one.
    """

    requirement: Requirement
    verdict: Verdict
    occurrences: int = 0
    failure: Failure | None = None
    reason: str = ""
    waiver: Waiver | None = None


@dataclass(frozen=True)
class Crash:
    """An exception that was not planned, in a run that broke no requirement by it; or a deed that no run may do.

    Attributes:
        plan: The plan.
        error: The exception, or a `SubjectMisbehaved`.
        printed: The last of what the run had printed.
    """

    plan: AnyPlan
    error: BaseException
    printed: str = ""


@dataclass(frozen=True)
class Report:
    """All that is said of a subject.

    Attributes:
        subject: The subject.
        profile: The name of the profile.
        plans: How many plans were run.
        seconds: How long it took.
        results: A result for each requirement, in the order of the spec.
        crash: The first crash, if there was one.
        survivors: The faults put into the subject on purpose which the kit did not notice.
        troubles: The mistakes in its waivers, a sentence each.
        warnings: Advice for its author, a sentence each; they do not change the verdict.
        seed: The seed of the search; None where the same plans are tried each time.
        target: The name of the subject on a command line, if it is known.
    """

    subject: AnySubject
    profile: str
    plans: int
    seconds: float
    results: tuple[Result, ...]
    crash: Crash | None = None
    survivors: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seed: int | None = None
    target: str | None = None

    @property
    def spec(self) -> str:
        """The version of the spec that the subject claims, and is judged by."""
        return self.subject.spec

    def of(self, *verdicts: Verdict) -> list[Result]:
        """Return the results with one of these verdicts."""
        return [result for result in self.results if result.verdict in verdicts]

    @property
    def exit_code(self) -> ExitCode:
        """The verdict as a whole."""
        # What a wrong waiver was meant to accept may be among the broken requirements.
        if self.troubles and self.crash is None:
            return ExitCode.WAIVER_TROUBLE
        if self.of(Verdict.FAIL):
            return ExitCode.VIOLATED
        if self.crash is not None:
            return ExitCode.SUBJECT_BROKE
        if self.survivors or any(result.requirement.level == "MUST" for result in self.of(Verdict.NOT_EXERCISED)):
            return ExitCode.VACUOUS
        return ExitCode.CONFORMANT


@dataclass
class _Count:
    occurrences: int = 0
    failure: Failure | None = None
    broken_on: list[AnyPlan] = field(default_factory=list[AnyPlan])

    def note(self, failure: Failure) -> None:
        """Keep the first failure, and each plan that has one."""
        if self.failure is None:
            self.failure = failure
        if not self.broken_on or self.broken_on[-1] is not failure.plan:
            self.broken_on.append(failure.plan)


@dataclass
class Tally:
    """Collects findings while plans are run."""

    counts: dict[str, _Count] = field(default_factory=lambda: {id: _Count() for id in REQUIREMENTS})
    plans: int = 0
    events: int = 0
    crash: Crash | None = None
    stopped: bool = False
    """Whether the subject did what makes it pointless to go on, for example hung."""

    leaks: bool = False
    """Whether some requirements were judged on first runs only, because a run leaks into the next one."""

    @property
    def broken(self) -> frozenset[str]:
        """The requirements that came out broken."""
        return frozenset(id for id, count in self.counts.items() if count.failure is not None)

    def add(self, requirement: str, finding: Finding, plan: AnyPlan, leg: Leg | None = None) -> bool:
        """Count a finding; return whether the requirement holds in it."""
        count = self.counts[requirement]
        count.occurrences += 1
        if finding.holds:
            return True
        count.note(Failure(plan, finding, leg))
        return False

    def add_all(self, requirement: str, findings: Iterable[Finding], plan: AnyPlan, leg: Leg | None = None) -> bool:
        """Count findings; return whether the requirement holds in all of them."""
        count = self.counts[requirement]
        occurrences = 0
        broken: list[Finding] = []
        for finding in findings:  # hundreds of thousands of times in a check
            occurrences += 1
            if not finding.holds:
                broken.append(finding)
        count.occurrences += occurrences
        if broken:
            count.note(Failure(plan, broken[0], leg))
        return not broken

    def is_idle(self, subject: AnySubject) -> bool:
        """Tell whether a runner was run and never called a hook: then nothing was put to the test."""
        return isinstance(subject, Subject) and self.plans > 0 and not self.events

    def results(self, subject: AnySubject, waived: Mapping[str, WaivedFailure] | None = None) -> tuple[Result, ...]:
        """Return the results for a subject, of which some may be waived."""
        waivers = waived or {}
        return tuple(self._result(rule, subject, waivers.get(rule.id)) for rule in REQUIREMENTS.values())

    def _result(self, rule: Requirement, subject: AnySubject, waived: WaivedFailure | None) -> Result:
        count = self.counts[rule.id]
        if not subject.applies(rule):
            missing = missing_capabilities(subject, rule)
            reason = f"not declared: {', '.join(missing)}" if missing else f"it is for a {rule.party}"
            return Result(rule, Verdict.NOT_APPLICABLE, reason=reason)
        if rule.untestable is not None:
            return Result(rule, Verdict.UNTESTABLE, reason=rule.untestable)
        if is_upcoming(subject, rule):
            return Result(rule, Verdict.UPCOMING, count.occurrences, count.failure, _upcoming_reason(rule, count))
        if waived is not None:
            reason, waiver = waived.waiver.reason, waived.waiver
            return Result(rule, Verdict.WAIVED, count.occurrences, waived.failure, reason, waiver)
        if self.is_idle(subject):
            reason = self._broke or "no hook was ever called: does run hand them on?"
            return Result(rule, Verdict.NOT_EXERCISED, reason=reason)
        if count.failure is not None:
            verdict = Verdict.FAIL if rule.level == "MUST" else Verdict.WARN
            return Result(rule, verdict, count.occurrences, count.failure)
        if not count.occurrences:
            return Result(rule, Verdict.NOT_EXERCISED, reason=self._obstacle or "no plan made it matter")
        return Result(rule, Verdict.PASS, count.occurrences)

    @property
    def _obstacle(self) -> str | None:
        """The reason why a requirement was never exercised, where it is another one's fault."""
        return "a run leaks into the next one (LIFE-10): fix that first" if self.leaks else self._broke

    @property
    def _broke(self) -> str | None:
        """The reason why a requirement was never exercised, where the subject broke."""
        return None if self.crash is None else f"the subject broke ({type(self.crash.error).__name__}): fix that first"


def _upcoming_reason(rule: Requirement, count: _Count) -> str:
    holds = "does not hold yet" if count.failure else "holds already" if count.occurrences else "was not exercised"
    return f"demanded from spec {rule.since} on; it {holds}"
