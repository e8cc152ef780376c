"""Putting a subject to the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import NoSuchExample

from runtimeinfo_conformance._execution import execute
from runtimeinfo_conformance._hub_plan import HubPlan
from runtimeinfo_conformance._mutants import RUNNER_MUTANTS
from runtimeinfo_conformance._plan import Plan
from runtimeinfo_conformance._profile import Profile
from runtimeinfo_conformance._strategies import hub_plans, plans
from runtimeinfo_conformance._subject import AnySubject, HubSubject, Subject, testable
from runtimeinfo_conformance._verdict import Crash, Failure, Report, Tally, Verdict
from runtimeinfo_conformance.judges import JUDGES, Case
from runtimeinfo_conformance.judges.hub import judge_hub

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

# How many of the broken requirements get a smaller plan searched, and how long for.
_SHRUNK_AT_MOST = 5
_SHRINK_PLANS = 120

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

    _search(_strategy_for(subject), run_one, profile.plans, derandomize=profile.derandomize)
    broken = [id for id in tally.broken() if id in testable(subject)]
    for done, requirement in enumerate(broken[:_SHRUNK_AT_MOST]):
        report_progress(f"looking for a smaller plan for {requirement}", done, len(broken[:_SHRUNK_AT_MOST]))
        _shrink(subject, requirement, tally)
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
    _search(_strategy_for(subject), drawn.append, most, derandomize=derandomize)
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


def _search(strategy: Any, run_one: Callable[[Any], None], most: int, *, derandomize: bool) -> None:
    # Settings of the kit's own: neither the user's profile nor their database has a say here.
    @hypothesis.settings(
        max_examples=most,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=_HEALTH_CHECKS,
    )
    @hypothesis.given(strategy)
    def search(plan: Any) -> None:
        run_one(plan)

    search()


def _shrink(subject: AnySubject, requirement: str, tally: Tally) -> None:
    """Replace the failure of a requirement by one on a smaller plan, if there is one."""

    def breaks(plan: Any) -> bool:
        again = Tally()
        judge_plan(subject, plan, again)
        return again.counts[requirement].failure is not None

    try:
        smallest = hypothesis.find(
            _strategy_for(subject),
            breaks,
            settings=hypothesis.settings(
                max_examples=_SHRINK_PLANS,
                derandomize=True,
                database=None,
                deadline=None,
                suppress_health_check=_HEALTH_CHECKS,
            ),
        )
    except NoSuchExample:  # the few plans of this search had none
        return
    again = Tally()
    judge_plan(subject, smallest, again)
    failure = again.counts[requirement].failure
    if failure is not None:
        tally.counts[requirement].failure = failure


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""
