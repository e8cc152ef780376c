"""Running one plan, and letting every judge look at the same observation."""

from __future__ import annotations

from collections.abc import Iterable

from runtimeinfo import REQUIREMENTS
from runtimeinfo_conformance._execution import Watching, execute
from runtimeinfo_conformance._hub_plan import HubPlan
from runtimeinfo_conformance._observation import Leg
from runtimeinfo_conformance._plan import Plan
from runtimeinfo_conformance._subject import AnySubject, HubSubject, is_upcoming, testable
from runtimeinfo_conformance._verdict import Crash, Failure, Tally
from runtimeinfo_conformance.guards import Exited, Guard, Hung, Watch
from runtimeinfo_conformance.judges import JUDGES, Case
from runtimeinfo_conformance.judges.hub import HubFinding, judge_hub


def judge_plan(subject: AnySubject, plan: Plan | HubPlan, tally: Tally, guard: Guard | None = None) -> None:
    """Run one plan, and let every judge look at the same observation.

    Args:
        subject: The subject.
        plan: The plan.
        tally: Where the findings go. It is stopped if the subject did what no subject may.
        guard: What watches the subject; one that gives it a minute by default.

    Raises:
        TypeError: If a runner gets a plan for a hub, or the reverse.
    """
    tally.plans += 1
    watches: list[Watch] = []
    watched = guard or Guard()

    def watching() -> Watch:
        watches.append(watched.watching())
        return watches[-1]

    if isinstance(subject, HubSubject):
        if not isinstance(plan, HubPlan):
            raise TypeError(f"a hub takes a HubPlan, not {plan!r}")
        legs: list[Leg] = []
        findings, crash = _compare_hub(subject, plan, watching)
    else:
        if not isinstance(plan, Plan):
            raise TypeError(f"a runner takes a Plan, not {plan!r}")
        legs = execute(subject, plan, watching)
        findings, crash = [], None
    tally.events += sum(len(leg.records) for leg in legs)
    problem = next((watch.problem for watch in watches if watch.problem is not None), None)
    if problem is not None:
        # What was observed of such a run means nothing, so nobody judges it.
        crash = problem
        tally.stopped = True
    else:
        for requirement, finding in findings:
            tally.add(requirement, finding, plan)
        crash = crash or _judge_legs(subject, plan, legs, tally)
    if crash is not None and tally.crash is None:
        tally.crash = Crash(plan, crash, "".join(watch.printed for watch in watches))


def find_killer(subject: AnySubject, requirement: str, tried: Iterable[Plan | HubPlan]) -> Failure | None:
    """Return how a requirement is broken on the first of some plans that breaks it, or None."""
    guard = Guard()
    for plan in tried:
        tally = Tally()
        judge_plan(subject, plan, tally, guard)
        failure = tally.counts[requirement].failure
        if failure is not None:
            return failure
    return None


def _compare_hub(
    subject: HubSubject, plan: HubPlan, watching: Watching
) -> tuple[list[HubFinding], BaseException | None]:
    findings: list[HubFinding] = []
    try:
        with watching():
            for each in judge_hub(subject, plan):
                findings.append(each)  # noqa: PERF402  # those before an error are kept
    except (Exception, SystemExit, Hung, Exited) as error:  # noqa: BLE001  # the report says it
        return findings, error
    return findings, None


def _judge_legs(subject: AnySubject, plan: Plan | HubPlan, legs: list[Leg], tally: Tally) -> BaseException | None:
    crash: BaseException | None = None
    ids = [id for id in testable(subject) if id in JUDGES]
    for leg in legs:
        case = Case(leg)
        broken = {id for id in ids for finding in JUDGES[id](case) if not tally.add(id, finding, plan, leg)}
        # A run that raises because it breaks a rule is red already; an upcoming rule makes nothing red yet.
        explained = any(not is_upcoming(subject, REQUIREMENTS[id]) for id in broken)
        if leg.raised is not None and leg.raised is not leg.planned and not explained:
            crash = crash or leg.raised
    return crash
