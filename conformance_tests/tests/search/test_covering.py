from __future__ import annotations

from typing import Any

import pytest
from simple_trainer import correct

from runtimeinfo_conformance import Subject
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.plans import BASE_KINDS, FAULT_KINDS, MOMENTS, Plan
from runtimeinfo_conformance.search import draw_plans, fixed_plans, measure_coverage, search_choices
from runtimeinfo_conformance.search._choices import choice_of, make_plan, read_choice, write_choice
from runtimeinfo_conformance.search._covering import covering_plans
from runtimeinfo_conformance.search._occurrences import places_of
from runtimeinfo_conformance.subjects import pytorch

BARE = frozenset[str]()


@pytest.fixture(scope="module")
def drawn() -> list[Plan]:
    return draw_plans(pytorch.subject(), PROFILES["ci"].plans)


def test_ci_has_each_pair_of_values_and_nearly_each_triple(drawn: list[Plan]) -> None:
    coverage = measure_coverage(drawn, pytorch.subject().capabilities)
    assert coverage.pairs == coverage.possible_pairs
    assert coverage.triples >= 0.989 * coverage.possible_triples


def test_ci_has_no_more_plans_than_it_says(drawn: list[Plan]) -> None:
    assert len(drawn) == PROFILES["ci"].plans
    assert len(draw_plans(pytorch.subject(), PROFILES["quick"].plans)) == PROFILES["quick"].plans


def test_each_kind_of_exception_is_raised_and_each_place_raises_both_sorts(drawn: list[Plan]) -> None:
    faults = [plan.fault for plan in drawn if plan.fault is not None]
    assert {fault.kind for fault in faults} == set(FAULT_KINDS)
    assert {fault.hook for fault in faults} == {"first", "last"}
    assert {fault.occurrence > 0 for fault in faults} == {True, False}
    everywhere = places_of(fixed_plans(pytorch.subject())[0])
    assert {*everywhere} >= {*MOMENTS}
    found = {(fault.event, fault.kind in BASE_KINDS) for fault in faults}
    assert found >= {(place, is_base) for place in everywhere for is_base in (False, True)}


@pytest.mark.parametrize("subject", [Subject("bare", "1", run=print), correct()], ids=lambda subject: subject.name)
def test_a_subject_goes_without_what_it_has_not_declared(subject: Subject) -> None:
    plans = covering_plans(subject.capabilities, [], 300)
    assert frozenset[str]().union(*(plan.needs for plan in plans)) <= subject.capabilities
    assert all(len(measured(plans[: index + 1])) > len(measured(plans[:index])) for index in range(3))


def measured(plans: list[Plan]) -> set[Any]:
    return {entry for plan in plans for entry in choice_of(plan).items()}


def test_with_few_capabilities_little_is_left() -> None:
    coverage = measure_coverage(covering_plans(BARE, [], 300), BARE)
    assert coverage.pairs == coverage.possible_pairs
    assert coverage.triples >= 0.989 * coverage.possible_triples


def test_the_search_finds_all_there_is_and_ends() -> None:
    choices = list(search_choices(BARE, [], 500))
    assert len(choices) < 500
    coverage = measure_coverage(map(make_plan, choices), BARE)
    assert (coverage.pairs, coverage.triples) == (coverage.possible_pairs, coverage.possible_triples)


def test_a_plan_has_the_values_that_it_was_made_of() -> None:
    for choice in search_choices(frozenset({"val", "resume", "resume_mid_epoch", "early_stop"}), [], 40):
        assert choice_of(make_plan(choice)).items() >= choice.items()
        assert choice.items() >= read_choice(write_choice(choice)).items()


def test_nothing_has_not_all_been_covered_by_one_plan() -> None:
    coverage = measure_coverage([Plan()], BARE)
    fields = len(choice_of(Plan()).keys() & {"max_epochs", "batches", "groups", "repeat", "fault", "company"})
    assert coverage.pairs == fields * (fields - 1) // 2
    assert coverage.triples == fields * (fields - 1) * (fields - 2) // 6
    assert coverage.possible_pairs > coverage.pairs
