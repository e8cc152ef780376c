from __future__ import annotations

import os
from typing import Any

import pytest
from simple_trainer import correct

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import Subject, _subject
from runtimeinfo_conformance._judging import find_killer, judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject
from runtimeinfo_conformance._verdict import Tally
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.judges import JUDGES
from runtimeinfo_conformance.mutants import HUB_MUTANTS, RUNNER_MUTANTS, HubMutant, Mutant
from runtimeinfo_conformance.search import draw_plans, fixed_plans, killers
from runtimeinfo_conformance.subjects import pytorch

MUSTS = [
    rule.id
    for rule in REQUIREMENTS.values()
    if rule.level == "MUST" and rule.untestable is None and rule.party != "reducer"
]


PARTS = 4
"""Whether a fault shows elsewhere is tried on one of so many plans, each time on others."""

EVERY_PLAN = "RUNTIMEINFO_EVERY_PLAN"
"""Where it is set, as `make nightly` does, that is tried on all."""


@pytest.fixture(scope="module")
def subject() -> Subject:
    return pytorch.subject()


@pytest.fixture(scope="module")
def drawn(subject: Subject) -> list[Any]:
    return draw_plans(subject, PROFILES["ci"].plans)


@pytest.mark.parametrize("mutant", RUNNER_MUTANTS, ids=lambda mutant: f"{mutant.requirement}: {mutant.name}")
def test_each_fault_is_noticed_under_its_own_requirement(mutant: Mutant, subject: Subject, drawn: list[Any]) -> None:
    assert mutant.fits(subject)
    # The smallest plan first, if it is among them: on another one the fault may show much later.
    best = [plan for plan in drawn if plan == killers().get((mutant.requirement, mutant.name))]
    failure = find_killer(mutant.applied_to(subject), mutant.requirement, [*best, *drawn])
    assert failure is not None
    assert not failure.finding.holds


def test_without_a_fault_nothing_is_broken(subject: Subject, drawn: list[Any]) -> None:
    tally = Tally()
    for plan in drawn:
        judge_plan(subject, plan, tally)
    assert [(id, count.failure) for id, count in tally.counts.items() if count.failure] == []
    assert tally.crash is None
    assert [id for id in _subject.testable(subject) if not tally.counts[id].occurrences] == []


def test_each_testable_must_has_a_judge_and_a_fault() -> None:
    testable = {rule.id for rule in REQUIREMENTS.values() if rule.party == "runner" and rule.untestable is None}
    musts = {id for id in testable if REQUIREMENTS[id].level == "MUST"}
    broken = {mutant.requirement for mutant in RUNNER_MUTANTS}
    assert testable - JUDGES.keys() == set(), "give each a judge in judges/, or say why it is untestable"
    assert JUDGES.keys() - testable == set(), "these have a judge, and are said to be untestable"
    assert musts - broken == set(), "give each a mutant in mutants/_runner.py"
    assert broken - testable == set(), "these mutants break what no judge decides"


def what_else_shows(subject: AnySubject, mutant: Mutant | HubMutant) -> str | None:
    """Say what shows a fault beside its own requirement, or that this does not; None if it alone does."""
    smallest = killers().get((mutant.requirement, mutant.name))
    if smallest is None:
        return "killers.txt lacks it: run `make killers`"
    plans = fixed_plans(subject)
    if EVERY_PLAN not in os.environ:
        plans = plans[MUSTS.index(mutant.requirement) % PARTS :: PARTS]
    tally, guard = Tally(), Guard()
    for plan in [smallest, *plans]:
        judge_plan(subject, plan, tally, guard)
        if tally.crash is not None:
            return f"the subject broke on {plan!r}"
        if mutant.requirement not in tally.broken:
            return f"it does not show on {plan!r}: run `make killers`"
        if tally.broken != {mutant.requirement}:
            return f"{', '.join(sorted(tally.broken - {mutant.requirement}))}, on {plan!r}"
    return None


@pytest.mark.parametrize("requirement", MUSTS)
def test_each_testable_must_has_a_fault_that_only_its_own_check_catches(requirement: str) -> None:
    """Without its check, nothing would notice that fault: no check may be left out."""
    faulty: list[tuple[AnySubject, Mutant | HubMutant]] = [
        *((mutant.applied_to(correct()), mutant) for mutant in RUNNER_MUTANTS if mutant.requirement == requirement),
        *((mutant.subject(), mutant) for mutant in HUB_MUTANTS if mutant.requirement == requirement),
    ]
    shows: list[str] = []
    for subject, mutant in faulty:
        also = what_else_shows(subject, mutant)
        if also is None:
            return
        shows.append(f"{mutant.name!r}: {also}")
    pytest.fail(
        f"no fault breaks {requirement} alone. Narrow one with when=, or the judge that notices it as well. "
        f"What else shows: {'; '.join(shows) or 'there is no fault'}"
    )


def test_a_relay_without_a_fault_changes_nothing(subject: Subject, drawn: list[Any]) -> None:
    relayed, tally = Mutant("none", "LIFE-01").applied_to(subject), Tally()
    for plan in drawn[:60]:
        judge_plan(relayed, plan, tally)
    assert tally.crash is None
    assert tally.broken == frozenset()


def test_a_fault_does_not_fit_what_is_not_declared() -> None:
    bare = Subject("bare", "1", run=lambda plan, hooks: None)
    fitting = {mutant.requirement for mutant in RUNNER_MUTANTS if mutant.fits(bare)}
    assert "LIFE-06" not in fitting
    assert {"LIFE-03", "FAIL-01"} <= fitting
    assert not any(mutant.fits(bare) for mutant in RUNNER_MUTANTS if mutant.needs == "unsized")
