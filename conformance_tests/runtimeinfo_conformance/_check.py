"""Putting a subject to the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase

from runtimeinfo_conformance._execution import execute
from runtimeinfo_conformance._hub_plan import HubPlan
from runtimeinfo_conformance._mutants import RUNNER_MUTANTS
from runtimeinfo_conformance._plan import Plan
from runtimeinfo_conformance._profile import Profile
from runtimeinfo_conformance._shrink import shrink
from runtimeinfo_conformance._strategies import fixed_plans, hub_plans, plans
from runtimeinfo_conformance._subject import AnySubject, HubSubject, Subject, testable
from runtimeinfo_conformance._verdict import Crash, Failure, Report, Tally, Verdict
from runtimeinfo_conformance.judges import JUDGES, Case
from runtimeinfo_conformance.judges.hub import judge_hub

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

# How many plans may be run to find smaller ones for what is broken.
_SHRINK_PLANS = 400

# A run is as slow and as large as the subject makes it.
_HEALTH_CHECKS = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)


def check(subject: AnySubject, profile: Profile, progress: Progress | None = None) -> Report:
    """Run plans on a subject, and judge every requirement on each of them.

    After a green run the subject gets faults put in on purpose, each of which has to turn it red.

    Args:
        subject: The subject.
        profile: How long to search.
        progress: Told how far it is.

    Returns:
        The report. What the subject raises is in there.
    """
    begin = time.perf_counter()
    report_progress = progress or _silent
    tally = Tally()
    tried: list[Any] = []

    def run_one(plan: Plan | HubPlan) -> None:
        tried.append(plan)
        judge_plan(subject, plan, tally)
        report_progress("plans", tally.plans, profile.plans)

    _search(subject, run_one, profile.plans, derandomize=profile.derandomize)
    if not tally.is_idle(subject):
        _shrink_failures(subject, tally, report_progress)
    results = tally.results(subject)
    survivors: tuple[str, ...] = ()
    if isinstance(subject, Subject) and tally.crash is None and not any(r.verdict is Verdict.FAIL for r in results):
        survivors = tuple(_survivors(subject, tried[: profile.canary_plans], report_progress))
    return Report(
        subject, profile.name, tally.plans, time.perf_counter() - begin, results, crash=tally.crash, survivors=survivors
    )


def judge_plan(subject: AnySubject, plan: Plan | HubPlan, tally: Tally) -> None:
    """Run one plan, and let every judge look at the same observation."""
    tally.plans += 1
    if isinstance(subject, HubSubject):
        if not isinstance(plan, HubPlan):
            raise TypeError(f"a hub takes a HubPlan, not {plan!r}")
        try:
            for requirement, finding in judge_hub(subject, plan):
                tally.add(requirement, finding, plan)
        except Exception as error:  # noqa: BLE001  # the report says it
            tally.crash = tally.crash or Crash(plan, error)
        return
    if not isinstance(plan, Plan):
        raise TypeError(f"a runner takes a Plan, not {plan!r}")
    ids = testable(subject)
    for leg in execute(subject, plan):
        tally.events += len(leg.records)
        case = Case(leg)
        holds = [tally.add(id, finding, plan, leg) for id in ids if id in JUDGES for finding in JUDGES[id](case)]
        if leg.raised is not None and leg.raised is not leg.planned and all(holds):
            tally.crash = tally.crash or Crash(plan, leg.raised)


def find_killer(subject: AnySubject, requirement: str, tried: Iterable[Plan | HubPlan]) -> Failure | None:
    """Return how a requirement is broken on the first of some plans that breaks it, or None."""
    for plan in tried:
        tally = Tally()
        judge_plan(subject, plan, tally)
        failure = tally.counts[requirement].failure
        if failure is not None:
            return failure
    return None


def draw_plans(subject: AnySubject, most: int, *, derandomize: bool = True) -> list[Any]:
    """Return plans that use nothing but what a subject has declared."""
    drawn: list[Any] = []
    _search(subject, drawn.append, most, derandomize=derandomize)
    return drawn


def _survivors(subject: Subject, tried: list[Any], progress: Progress) -> Iterator[str]:
    fitting = [mutant for mutant in RUNNER_MUTANTS if mutant.fits(subject)]
    for done, mutant in enumerate(fitting):
        progress("faults put in on purpose", done, len(fitting))
        if find_killer(mutant.applied_to(subject), mutant.requirement, tried) is None:
            yield f"{mutant.requirement}: {mutant.name}"
    progress("faults put in on purpose", len(fitting), len(fitting))


def _strategy_for(subject: AnySubject) -> Any:
    return hub_plans() if isinstance(subject, HubSubject) else plans(subject.capabilities)


def _search(subject: AnySubject, run_one: Callable[[Any], None], most: int, *, derandomize: bool) -> None:
    """Go through the plans that are always tried, then through drawn ones."""
    always = fixed_plans(subject.capabilities) if isinstance(subject, Subject) else []
    for plan in always:
        run_one(plan)

    # Settings of the kit's own: neither the user's profile nor their database has a say here.
    @hypothesis.settings(
        max_examples=max(most - len(always), 1),
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=_HEALTH_CHECKS,
    )
    @hypothesis.given(_strategy_for(subject))
    def search(plan: Any) -> None:
        run_one(plan)

    search()


def _shrink_failures(subject: AnySubject, tally: Tally, progress: Progress) -> None:
    """Replace the failures of broken requirements by failures on smaller plans."""
    broken = [id for id in testable(subject) if tally.counts[id].failure is not None]
    run: dict[str, Tally] = {}

    def rerun(plan: Any) -> Tally:
        # Requirements tend to break together, and then shrink on the same plans.
        name = repr(plan)
        if name not in run:
            run[name] = Tally()
            judge_plan(subject, plan, run[name])
        return run[name]

    for done, requirement in enumerate(broken):
        progress("looking for smaller plans", done, len(broken))
        _shrink(requirement, tally, rerun, max(_SHRINK_PLANS - len(run), 0))


def _shrink(requirement: str, tally: Tally, rerun: Callable[[Any], Tally], most: int) -> None:
    def failure_on(plan: Any) -> Failure | None:
        return rerun(plan).counts[requirement].failure

    found: Any = tally.counts[requirement].failure
    if found is not None:
        smallest = shrink(found.plan, lambda plan: failure_on(plan) is not None, most)
        # A subject that is not always broken may hold now: then it stays at what was seen.
        tally.counts[requirement].failure = failure_on(smallest) or found


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""
