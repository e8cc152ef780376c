"""Put a subject to the test."""

from __future__ import annotations

import gc
import secrets
import threading
import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._canaries import survivors
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._leaks import blame
from runtimeinfo_conformance._mark import marked_runs
from runtimeinfo_conformance._profile import Profile, Progress, silent
from runtimeinfo_conformance._subject import AnySubject, ReduceSubject, Subject, is_upcoming, testable
from runtimeinfo_conformance._undeclared import undeclared
from runtimeinfo_conformance._verdict import Failure, Report, Tally, Verdict, WaivedFailure
from runtimeinfo_conformance._waivers import WaiverJudgement, Waivers, judge_waivers, load_waivers
from runtimeinfo_conformance.guards import HANG_SECONDS, Guard
from runtimeinfo_conformance.search import draw_plans, shrink, slow_plans

# How many plans may be run to find smaller ones for what is broken.
_SHRINK_PLANS = 400

_LARGEST_SEED = 2**32

# The current hub, the folder for boards, the streams and the guards are the process's: checks in several threads take
# turns. It can be entered again, because a subject may check something itself.
_TURN = threading.RLock()


def check(
    subject: AnySubject,
    profile: Profile,
    progress: Progress = silent,
    *,
    seed: int | None = None,
    hang_seconds: float = HANG_SECONDS,
    target: str | None = None,
) -> Report:
    """Run plans on a subject, and judge every requirement on each of them.

    After a green run the subject gets faults put in on purpose, each of which has to turn it red.

    Args:
        subject: The subject.
        profile: How long to search.
        progress: Told how far it is.
        seed: The seed of the search; by default the profile decides: the same plans each time, or a new seed.
        hang_seconds: How long one run may take.
        target: The name of the subject on a command line, by which another process can load it.

    Returns:
        The report. What the subject raises is in there.
    """
    with _TURN, marked_runs(), _old_objects_apart():
        return _check(subject, profile, progress, seed, hang_seconds, target)


@contextmanager
def _old_objects_apart() -> Generator[None]:
    """Keep the garbage collector from looking through what a framework has loaded, again and again.

    That takes a twentieth of a check. Objects that are made during the check are collected as ever.
    """
    if gc.get_freeze_count():  # by the user, who would lose it with the unfreezing
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _check(
    subject: AnySubject, profile: Profile, progress: Progress, seed: int | None, hang_seconds: float, target: str | None
) -> Report:
    begin = time.perf_counter()
    guard = Guard(hang_seconds)
    if seed is None and not profile.derandomize:
        seed = secrets.randbelow(_LARGEST_SEED)
    once = slow_plans(subject)
    tally, tried = Tally(), [*draw_plans(subject, profile.plans - len(once), seed=seed, progress=progress), *once]
    for done, plan in enumerate(tried):
        progress("plans", done, len(tried))
        judge_plan(subject, plan, tally, guard)
        if tally.stopped:
            break
    progress("plans", tally.plans, len(tried))
    waivers = WaiverJudgement({}, ()) if tally.stopped else _judge_waivers(subject, guard)
    waived: Mapping[str, WaivedFailure] = {} if tally.is_idle(subject) else waivers.waived
    blamed: list[str] = []
    if not tally.is_idle(subject) and not tally.stopped:
        first = _red(subject, tally, waived)
        _shrink_failures(subject, tally, first, guard, progress)
        blamed = blame(subject, tally, first, tried, guard, progress, target=target)
    results = tally.results(subject, waived)
    is_green = tally.crash is None and not any(result.verdict is Verdict.FAIL for result in results)
    unnoticed: tuple[str, ...] = ()
    warnings = tuple(blamed)
    if not isinstance(subject, ReduceSubject) and is_green and not tally.is_idle(subject):
        passed = {result.requirement.id for result in results if result.verdict is Verdict.PASS}
        unnoticed = tuple(survivors(subject, tried[: profile.canary_plans], passed, progress, hang_seconds))
        if isinstance(subject, Subject):
            warnings = (*blamed, *_warnings(subject, guard))
    return Report(
        subject,
        profile.name,
        tally.plans,
        time.perf_counter() - begin,
        results,
        crash=tally.crash,
        survivors=unnoticed,
        troubles=waivers.troubles,
        warnings=warnings,
        seed=seed,
        target=target,
    )


def _red(subject: AnySubject, tally: Tally, waived: Collection[str]) -> dict[str, Failure]:
    """Return the failures that count, by the ids of their requirements."""
    failures = {id: tally.counts[id].failure for id in testable(subject)}
    return {
        id: failure
        for id, failure in failures.items()
        if failure is not None and id not in waived and not is_upcoming(subject, REQUIREMENTS[id])
    }


def _shrink_failures(
    subject: AnySubject, tally: Tally, broken: Collection[str], guard: Guard, progress: Progress
) -> None:
    """Replace the failures of broken requirements by failures on smaller plans."""
    run: dict[str, Tally] = {}

    def rerun(plan: Any) -> Tally:
        # Requirements tend to break together, and then shrink on the same plans.
        name = repr(plan)
        if name not in run:
            run[name] = Tally()
            judge_plan(subject, plan, run[name], guard)
        return run[name]

    for done, requirement in enumerate(broken):
        progress(f"looking for a smaller plan: {requirement}", done, len(broken))
        _shrink(requirement, tally, rerun, max(_SHRINK_PLANS - len(run), 0))


def _shrink(requirement: str, tally: Tally, rerun: Callable[[Any], Tally], most: int) -> None:
    def failure_on(plan: Any) -> Failure | None:
        return rerun(plan).counts[requirement].failure

    found: Any = tally.counts[requirement].failure
    if found is not None:
        smallest = shrink(found.plan, lambda plan: failure_on(plan) is not None, most)
        # A subject that is not always broken may hold now: then it stays at what was seen.
        tally.counts[requirement].failure = failure_on(smallest) or found


def _warnings(subject: Subject, guard: Guard) -> list[str]:
    return [
        f"{name!r} is not declared, yet its requirements hold: declare it, and they stay so"
        for name in undeclared(subject, guard)
    ]


def _judge_waivers(subject: AnySubject, guard: Guard) -> WaiverJudgement:
    waivers = Waivers() if subject.waivers is None else load_waivers(subject.waivers)
    return judge_waivers(subject, waivers, datetime.now(UTC).date(), guard=guard)
