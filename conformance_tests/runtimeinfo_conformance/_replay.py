"""Running one plan again, for one requirement."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from runtimeinfo_conformance._fresh import LEAK_RULE, FreshProcess, FreshProcessError, find_difference
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._lookup import UnknownRequirementError, find_requirement
from runtimeinfo_conformance._mark import marked_runs
from runtimeinfo_conformance._subject import AnySubject, missing_capabilities, party_of
from runtimeinfo_conformance._verdict import Crash, ExitCode, Failure, Tally
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.plans import PLAN_KINDS, AnyPlan, plan_text


@dataclass(frozen=True)
class Replay:
    """The outcome of one plan for one requirement.

    Attributes:
        requirement: Its id.
        plan: The plan.
        failure: The failure; None if it was not broken.
        occurrences: How often it mattered.
        crash: An exception that was not planned, if there was one.
    """

    requirement: str
    plan: AnyPlan
    failure: Failure | None
    occurrences: int
    crash: Crash | None

    @property
    def exit_code(self) -> ExitCode:
        """The verdict: the one that `check` would give, were there only this plan and this requirement."""
        if self.failure is not None:
            return ExitCode.VIOLATED
        if self.crash is not None:
            return ExitCode.SUBJECT_BROKE
        return ExitCode.CONFORMANT if self.occurrences else ExitCode.VACUOUS


class ReplayError(Exception):
    """A requirement cannot be replayed: there is none of that name, or none for this subject or this plan."""


def replay(
    subject: AnySubject,
    requirement: str,
    plan: AnyPlan,
    *,
    after: tuple[AnyPlan, ...] = (),
    target: str | None = None,
    guard: Guard | None = None,
) -> Replay:
    """Run one plan on a subject, and tell whether a requirement is broken on it.

    Args:
        subject: The subject.
        requirement: The id of a requirement.
        plan: The plan, of the party that the subject is of.
        after: The plans that are run before it. For LIFE-10 the plan is then compared with itself without them.
        target: The name of the subject on a command line, by which such a plan finds a fresh process.
        guard: What watches the subject: see `judge_plan`.

    Raises:
        ReplayError: If there is no such requirement, if it cannot be judged on this subject, if a plan is for another
            party, or if there is no fresh process where one is needed.

    Example:
        >>> from runtimeinfo_conformance.plans import HubPlan
        >>> from runtimeinfo_conformance.subjects.reference_hub import subject
        >>> replay(subject(), "HUB-02", HubPlan()).failure is None
        True
    """
    for each in (*after, plan):
        reason = _unfit(subject, requirement, each)
        if reason is not None:
            raise ReplayError(reason)
    with marked_runs():
        return _replay(subject, requirement, plan, after, target, guard)


def _replay(
    subject: AnySubject,
    requirement: str,
    plan: AnyPlan,
    after: tuple[AnyPlan, ...],
    target: str | None,
    guard: Guard | None,
) -> Replay:
    if after and requirement == LEAK_RULE:
        return _replay_leak(subject, plan, after, target)
    for each in after:
        judge_plan(subject, each, Tally(), guard)
    tally = Tally()
    judge_plan(subject, plan, tally, guard)
    count = tally.counts[requirement]
    failure = count.failure if count.failure is None else replace(count.failure, after=after)
    return Replay(requirement, plan, failure, count.occurrences, tally.crash)


def _replay_leak(subject: AnySubject, plan: AnyPlan, after: tuple[AnyPlan, ...], target: str | None) -> Replay:
    if target is None:
        raise ReplayError("a leak shows in a fresh process only, which needs the target of the subject; give it")
    try:
        with FreshProcess(target, subject) as fresh:
            alone, spoiled = fresh.judge(plan), fresh.judge(*after, plan)
    except FreshProcessError as error:
        raise ReplayError(
            f"a leak shows in a fresh process only, and there is none: {error}; give a target that can be loaded alone"
        ) from None
    found = find_difference(alone, spoiled)
    return Replay(LEAK_RULE, plan, None if found is None else Failure(plan, *found, after), 1, None)


def replay_line(requirement: str, plan: AnyPlan, target: str | None, *, after: tuple[AnyPlan, ...] = ()) -> str:
    r"""Return the command that replays a plan, quoted for a POSIX shell.

    Args:
        requirement: The id of a requirement.
        plan: The plan.
        target: The name of the subject on a command line; None where it is not known, and is left to be filled in.
        after: The plans that are run before it.

    Example:
        >>> from runtimeinfo_conformance import Fault, Plan
        >>> replay_line("FAIL-04", Plan(fault=Fault("before_train_iter")), "tests/test_conformance.py")
        'runtimeinfo replay FAIL-04 \'Plan(fault=Fault(event="before_train_iter"))\' tests/test_conformance.py'
    """
    place = "<file>" if target is None else shlex.quote(target)
    plans = " ".join(shlex.quote(plan_text(each)) for each in (*after, plan))
    return f"runtimeinfo replay {requirement} {plans} {place}"


def _unfit(subject: AnySubject, requirement: str, plan: AnyPlan) -> str | None:
    """Return why a requirement cannot be judged on a subject by a plan; None if it can."""
    try:
        rule = find_requirement(requirement)
    except UnknownRequirementError as error:
        return str(error)
    if not subject.applies(rule):
        missing = ", ".join(missing_capabilities(subject, rule))
        reason = (
            f"it has not declared {missing}; declare that first" if missing else f"it is for a {rule.party}; name one"
        )
        return f"{rule.id} does not apply to {subject.name}: {reason}"
    if rule.untestable is not None:
        return f"{rule.id} cannot be tested: {rule.untestable}; replay another one"
    party = party_of(subject)
    kind = PLAN_KINDS[party]
    if not isinstance(plan, kind):
        return (
            f"{subject.name} is a {party} and takes a {kind.__name__}, not a {type(plan).__name__}; paste one of those"
        )
    return None
