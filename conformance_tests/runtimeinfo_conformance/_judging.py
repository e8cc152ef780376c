"""Running one plan, and letting every judge look at the same observation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._subject import (
    AnySubject,
    HubSubject,
    ReduceSubject,
    Subject,
    is_upcoming,
    party_of,
    testable,
)
from runtimeinfo_conformance._verdict import Crash, Failure, Tally
from runtimeinfo_conformance.guards import Exited, Guard, Hung, Watch
from runtimeinfo_conformance.judges import JUDGES, Case, RuleFinding
from runtimeinfo_conformance.judges.hub import judge_hub
from runtimeinfo_conformance.judges.reduce import judge_reduce
from runtimeinfo_conformance.observation import Leg, Watching, execute
from runtimeinfo_conformance.plans import PLAN_KINDS, AnyPlan, HubPlan, Plan, ReducePlan


def judge_plan(
    subject: AnySubject, plan: AnyPlan, tally: Tally, guard: Guard | None = None, *, only: str | None = None
) -> list[Leg]:
    """Run one plan, and let every judge look at the same observation.

    Args:
        subject: The subject.
        plan: The plan.
        tally: Where the findings go. It is stopped if the subject did what no subject may.
        guard: What watches the subject; by default one that waits as long as they do.
        only: The requirement on runners that matters, if the others do not; by default all of them do.

    Returns:
        What was observed of a runner; nothing for another party.

    Raises:
        TypeError: If it is a plan for another party.
    """
    tally.plans += 1
    watches: list[Watch] = []
    guarding = guard or Guard()

    def watching() -> Watch:
        watches.append(guarding.watching())
        return watches[-1]

    party = party_of(subject)
    if not isinstance(plan, PLAN_KINDS[party]):
        raise TypeError(f"a {party} takes a {PLAN_KINDS[party].__name__}, not {plan!r}")
    legs: list[Leg] = []
    findings: list[RuleFinding] = []
    crash: BaseException | None = None
    if isinstance(subject, HubSubject) and isinstance(plan, HubPlan):
        findings, crash = _compare(judge_hub(subject, plan), watching)
    elif isinstance(subject, ReduceSubject) and isinstance(plan, ReducePlan):
        findings, crash = _compare(judge_reduce(subject, plan), watching)
    elif isinstance(subject, Subject) and isinstance(plan, Plan):
        legs = execute(subject, plan, watching)
    tally.events += sum(len(leg.records) for leg in legs)
    problem = next((watch.problem for watch in watches if watch.problem is not None), None)
    if problem is not None:
        # What was observed of such a run means nothing, so it is not judged.
        crash = problem
        tally.stopped = True
    else:
        for requirement, finding in findings:
            tally.add(requirement, finding, plan)
        crash = crash or judge_legs(subject, plan, legs, tally, only=only)
    if crash is not None and tally.crash is None:
        tally.crash = Crash(plan, crash, "".join(watch.printed for watch in watches))
    return legs


def find_killer(
    subject: AnySubject, requirement: str, tried: Iterable[AnyPlan], guard: Guard | None = None
) -> Failure | None:
    """Return how a requirement is broken on the first of some plans that breaks it, or None."""
    guard = guard or Guard()
    for plan in tried:
        tally = Tally()
        judge_plan(subject, plan, tally, guard, only=requirement)
        failure = tally.counts[requirement].failure
        if failure is not None:
            return failure
    return None


def _compare(judged: Iterator[RuleFinding], watching: Watching) -> tuple[list[RuleFinding], BaseException | None]:
    findings: list[RuleFinding] = []
    try:
        with watching():
            for each in judged:
                findings.append(each)  # noqa: PERF402  # those before an error are kept
    except (Exception, SystemExit, Hung, Exited) as error:  # noqa: BLE001  # the report says it
        return findings, error
    return findings, None


def judge_legs(
    subject: AnySubject, plan: AnyPlan, legs: Iterable[Leg], tally: Tally, *, only: str | None = None
) -> BaseException | None:
    """Let every judge look at some runs of a plan; return the first exception that was not planned.

    Args:
        subject: The subject.
        plan: The plan.
        legs: The runs.
        tally: Takes the findings.
        only: The requirement that matters, if the others do not; by default all of them do.
    """
    crash: BaseException | None = None
    ids = [id for id in testable(subject) if id in JUDGES and only in (None, id)]
    for leg in legs:
        case = Case(leg)
        broken = {id for id in ids if not tally.add_all(id, JUDGES[id](case), plan, leg)}
        # A run that raises because it breaks a rule is red already; an upcoming rule makes nothing red yet.
        explained = any(not is_upcoming(subject, REQUIREMENTS[id]) for id in broken)
        # It may demand a name and a seed.
        explained = explained or leg.plan.lacks_identity
        if leg.raised is not None and not leg.is_planned(leg.raised) and not explained:
            crash = crash or leg.raised
    return crash
