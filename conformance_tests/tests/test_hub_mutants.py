from __future__ import annotations

from typing import Any

import pytest
from simple_hub import SimpleHub

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._judging import find_killer
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.mutants import HUB_MUTANTS, HubMutant
from runtimeinfo_conformance.search import draw_plans, slow_plans
from runtimeinfo_conformance.subjects import reference_hub


@pytest.fixture(scope="module")
def drawn() -> list[Any]:
    subject = reference_hub.subject()
    return [*draw_plans(subject, PROFILES["ci"].plans), *slow_plans(subject)]


@pytest.mark.parametrize("mutant", HUB_MUTANTS, ids=lambda mutant: f"{mutant.requirement}: {mutant.name}")
def test_each_fault_is_noticed_under_its_own_requirement(mutant: HubMutant, drawn: list[Any]) -> None:
    failure = find_killer(mutant.subject(), mutant.requirement, drawn)
    assert failure is not None
    assert not failure.finding.holds


def test_each_must_for_hubs_has_a_fault() -> None:
    musts = {rule.id for rule in REQUIREMENTS.values() if rule.party == "hub" and rule.level == "MUST"}
    assert musts == {mutant.requirement for mutant in HUB_MUTANTS}
    assert len(HUB_MUTANTS) >= 60


def test_a_hub_of_somebody_else_is_conformant() -> None:
    report = check(HubSubject("simple", "1", make=SimpleHub), PROFILES["ci"])
    assert report.exit_code is ExitCode.CONFORMANT
    assert report.crash is None


def test_a_broken_hub_is_red_with_a_small_plan() -> None:
    broken = next(mutant for mutant in HUB_MUTANTS if mutant.requirement == "HUB-09")
    report = check(broken.subject(), PROFILES["quick"])
    failures = {result.requirement.id: result.failure for result in report.results if result.failure}
    assert report.exit_code is ExitCode.VIOLATED
    assert failures.keys() >= {"HUB-09"}
    assert [op.name for op in failures["HUB-09"].plan.ops] == ["update_info_dict"]
