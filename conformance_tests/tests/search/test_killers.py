from __future__ import annotations

from typing import Any

import pytest
from simple_trainer import correct

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance._judging import find_killer
from runtimeinfo_conformance.mutants import HUB_MUTANTS, RUNNER_MUTANTS, HubMutant, Mutant
from runtimeinfo_conformance.plans import HubPlan
from runtimeinfo_conformance.search._killers import killers, killers_of
from runtimeinfo_conformance.subjects import mmengine, pytorch

NAMED = {(mutant.requirement, mutant.name) for mutant in (*RUNNER_MUTANTS, *HUB_MUTANTS)}

MOST_TEXT = 320


def name_of(mutant: Mutant | HubMutant) -> str:
    return f"{mutant.requirement}: {mutant.name}"


def test_each_fault_has_one_and_no_other_has() -> None:
    assert killers().keys() == NAMED
    assert len(NAMED) == len(RUNNER_MUTANTS) + len(HUB_MUTANTS)


def test_they_are_of_the_party_of_the_fault() -> None:
    of_hubs = {(mutant.requirement, mutant.name) for mutant in HUB_MUTANTS}
    for key, plan in killers().items():
        assert isinstance(plan, HubPlan if key in of_hubs else Plan), key


def test_they_are_small() -> None:
    assert max(len(repr(plan)) for plan in killers().values()) < MOST_TEXT


def test_each_is_listed_once_for_its_party() -> None:
    for kind in (Plan, HubPlan):
        listed = killers_of(kind)
        assert len({repr(plan) for plan in listed}) == len(listed)
        assert {repr(plan) for plan in listed} == {repr(each) for each in killers().values() if isinstance(each, kind)}


def test_they_cannot_be_changed() -> None:
    plans: Any = killers()
    with pytest.raises(TypeError):
        plans["LIFE-01", "another"] = Plan()


@pytest.mark.parametrize("mutant", RUNNER_MUTANTS, ids=name_of)
@pytest.mark.parametrize("make", [pytorch.subject, correct], ids=["pytorch", "by hand"])
def test_a_killer_shows_its_fault_in_each_runner(make: Any, mutant: Mutant) -> None:
    subject = make()
    plan = killers()[mutant.requirement, mutant.name]
    assert mutant.fits(subject)
    assert find_killer(mutant.applied_to(subject), mutant.requirement, [plan]) is not None
    assert find_killer(subject, mutant.requirement, [plan]) is None


IN_MMENGINE = [
    mutant for mutant in RUNNER_MUTANTS if mutant.name != "the iterator of an epoch is made before the epoch counts"
]
"""All but one in the kit's own loader: mmengine makes another."""


@pytest.mark.parametrize("mutant", IN_MMENGINE, ids=name_of)
def test_a_killer_shows_its_fault_in_mmengine(mutant: Mutant) -> None:
    subject = mmengine.subject()
    plan = killers()[mutant.requirement, mutant.name]
    if isinstance(plan, Plan) and plan.needs <= subject.capabilities and mutant.fits(subject):
        assert find_killer(mutant.applied_to(subject), mutant.requirement, [plan]) is not None


@pytest.mark.parametrize("mutant", HUB_MUTANTS, ids=name_of)
def test_a_killer_shows_its_fault_in_the_reference_hub(mutant: HubMutant) -> None:
    plan = killers()[mutant.requirement, mutant.name]
    assert find_killer(mutant.subject(), mutant.requirement, [plan]) is not None
