"""Faults that the kit notices: the requirement under which it does, and the plans that it takes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject
from runtimeinfo_conformance._verdict import Tally
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.mutants import HUB_MUTANTS, RUNNER_MUTANTS, UNNOTICEABLE, automatic_mutants
from runtimeinfo_conformance.plans import Plan
from runtimeinfo_conformance.search import Coverage, draw_plans, measure_coverage, slow_plans
from runtimeinfo_conformance.subjects import pytorch, reference_hub

CI_PLANS = PROFILES["ci"].plans

FIRST_PLANS = PROFILES["quick"].plans
"""Over so many plans of the profile ``ci`` it is noted what else a fault breaks."""


@dataclass(frozen=True)
class Detection:
    """What the kit said of one fault.

    Attributes:
        name: What the fault is.
        requirement: The requirement that it was made to break.
        broken: The requirements that came out broken: over the first plans of the profile ``ci``, or over all of them
            if its own did not come out there.
        searched: For each seed, how many drawn plans it took to break that requirement; infinite if none did.
    """

    name: str
    requirement: str
    broken: frozenset[str]
    searched: tuple[float, ...] = ()

    @property
    def is_noticed(self) -> bool:
        """Whether the requirement came out broken."""
        return self.requirement in self.broken

    @property
    def is_its_own(self) -> bool:
        """Whether nothing else did."""
        return self.broken == {self.requirement}

    @property
    def median(self) -> float:
        """The median over the seeds."""
        return statistics.median(self.searched)

    @property
    def p95(self) -> float:
        """The 95th percentile over the seeds."""
        return sorted(self.searched)[math.ceil(0.95 * len(self.searched)) - 1]


@dataclass(frozen=True)
class Automatic:
    """What the kit said of a fault that nobody thought of.

    Attributes:
        name: What the fault is.
        broken: What came out broken first; None if nothing did.
        after: After how many plans of the profile ``ci``.
        excuse: Why it cannot be noticed, if it cannot.
    """

    name: str
    broken: str | None
    after: int
    excuse: str | None


class _Fault(NamedTuple):
    """A fault in a subject that is right."""

    party: str
    name: str
    requirement: str
    subject: AnySubject


def curated(pool: Executor, seeds: int) -> list[Detection]:
    """Return what the kit says of each fault that was thought of.

    Args:
        pool: Looks at several of them at once.
        seeds: The number of seeds with which it is searched for by drawn plans only.
    """
    return list(pool.map(partial(_detect, seeds=seeds), range(len(_faults()))))


def automatic(pool: Executor) -> list[Automatic]:
    """Return what the kit says of each fault that a rule has made."""
    return list(pool.map(_detect_automatic, range(len(list(automatic_mutants())))))


def coverage() -> Coverage:
    """Return how many pairs and triples of values the plans of the profile ``ci`` have."""
    subject = pytorch.subject()
    return measure_coverage([plan for plan in _tried("runner") if isinstance(plan, Plan)], subject.capabilities)


# What follows is run in each process of the pool, which makes subjects and plans once.


@cache
def _faults() -> list[_Fault]:
    runner = pytorch.subject()
    return [
        *(_Fault("runner", each.name, each.requirement, each.applied_to(runner)) for each in RUNNER_MUTANTS),
        *(_Fault("hub", each.name, each.requirement, each.subject()) for each in HUB_MUTANTS),
    ]


def _right(party: str) -> AnySubject:
    return pytorch.subject() if party == "runner" else reference_hub.subject()


@cache
def _tried(party: str) -> list[Any]:
    subject = _right(party)
    plans = draw_plans(subject, CI_PLANS)
    return [*plans[:FIRST_PLANS], *slow_plans(subject), *plans[FIRST_PLANS:]]


@cache
def _drawn(party: str, seed: int) -> list[Any]:
    return draw_plans(_right(party), CI_PLANS, seed=seed, fixed=False)


def _detect(number: int, seeds: int) -> Detection:
    fault = _faults()[number]
    searched = tuple(_plans_until(fault.subject, fault.requirement, _drawn(fault.party, seed)) for seed in range(seeds))
    plans = _tried(fault.party)
    first = len(plans) - CI_PLANS + FIRST_PLANS
    broken = _broken(fault.subject, plans[:first])
    if fault.requirement not in broken:
        broken |= _broken(fault.subject, plans[first:])
    return Detection(fault.name, fault.requirement, broken, searched)


def _detect_automatic(number: int) -> Automatic:
    mutant = list(automatic_mutants())[number]
    broken, after = _first_broken(mutant.applied_to(pytorch.subject()), _tried("runner"))
    return Automatic(mutant.name, broken, after, UNNOTICEABLE.get(mutant.name))


def _broken(subject: AnySubject, plans: Iterable[Any]) -> frozenset[str]:
    tally, guard = Tally(), Guard()
    for plan in plans:
        judge_plan(subject, plan, tally, guard)
    return tally.broken


def _plans_until(subject: AnySubject, requirement: str, plans: Iterable[Any]) -> float:
    tally, guard = Tally(), Guard()
    for plan in plans:
        judge_plan(subject, plan, tally, guard, only=requirement)
        if requirement in tally.broken:
            return tally.plans
    return math.inf


def _first_broken(subject: AnySubject, plans: Iterable[Any]) -> tuple[str | None, int]:
    tally, guard = Tally(), Guard()
    for plan in plans:
        judge_plan(subject, plan, tally, guard)
        if tally.broken:
            return ", ".join(id for id in tally.counts if id in tally.broken), tally.plans
    return None, tally.plans
