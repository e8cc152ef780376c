"""Which faults the kit notices, under which requirement, and after how many plans."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject
from runtimeinfo_conformance._verdict import Tally
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.mutants import HUB_MUTANTS, RUNNER_MUTANTS, UNNOTICEABLE, automatic_mutants
from runtimeinfo_conformance.search import draw_plans
from runtimeinfo_conformance.subjects import pytorch, reference_hub

CI_PLANS = PROFILES["ci"].plans


@dataclass(frozen=True)
class Detection:
    """What the kit said of one fault.

    Attributes:
        name: What the fault is.
        requirement: The requirement that it was made to break.
        broken: The requirements that came out broken, over all plans of the profile ``ci``.
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


def curated(seeds: int) -> Iterator[Detection]:
    """Yield what the kit says of each fault that was thought of.

    Args:
        seeds: With how many seeds to search for it anew, with drawn plans only.
    """
    runner, hub = pytorch.subject(), reference_hub.subject()
    subjects: list[tuple[AnySubject, AnySubject, str, str]] = [
        (runner, mutant.applied_to(runner), mutant.name, mutant.requirement) for mutant in RUNNER_MUTANTS
    ]
    subjects += [(hub, mutant.subject(), mutant.name, mutant.requirement) for mutant in HUB_MUTANTS]
    fixed = {id(each): draw_plans(each, CI_PLANS) for each in (runner, hub)}
    drawn = {
        id(each): [draw_plans(each, CI_PLANS, seed=seed, fixed=False) for seed in range(seeds)]
        for each in (runner, hub)
    }
    for original, broken, name, requirement in subjects:
        searched = tuple(_plans_until(broken, requirement, plans) for plans in drawn[id(original)])
        yield Detection(name, requirement, _broken(broken, fixed[id(original)]), searched)


def automatic() -> Iterator[Automatic]:
    """Yield what the kit says of each fault that a rule has made."""
    runner = pytorch.subject()
    plans = draw_plans(runner, CI_PLANS)
    for mutant in automatic_mutants():
        broken, after = _first_broken(mutant.applied_to(runner), plans)
        yield Automatic(mutant.name, broken, after, UNNOTICEABLE.get(mutant.name))


def _broken(subject: AnySubject, plans: Iterable[Any]) -> frozenset[str]:
    tally, guard = Tally(), Guard()
    for plan in plans:
        judge_plan(subject, plan, tally, guard)
    return tally.broken


def _plans_until(subject: AnySubject, requirement: str, plans: Iterable[Any]) -> float:
    tally, guard = Tally(), Guard()
    for plan in plans:
        judge_plan(subject, plan, tally, guard)
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
