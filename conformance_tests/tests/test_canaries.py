from __future__ import annotations

import copy
from typing import Any

import pytest
from odd_runners import CleansUp
from simple_hub import SimpleHistory, SimpleHub
from simple_trainer import Trainer, correct, subject_of

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import HubSubject, Plan, Subject, _canaries
from runtimeinfo_conformance._canaries import survivors
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES, silent
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.mutants import HUB_MUTANTS, RUNNER_MUTANTS, HubMutant, Mutant
from runtimeinfo_conformance.mutants._hub import Relay
from runtimeinfo_conformance.plans import HubOp, HubPlan
from runtimeinfo_conformance.search import fixed_plans

Told = list[tuple[str, int, int]]

ALL = frozenset(REQUIREMENTS)

CANARIES = [mutant for mutant in RUNNER_MUTANTS if mutant.is_canary]


@pytest.fixture
def told() -> Told:
    return []


def survived(subject: Subject, tried: list[Any], told: Told, passed: Any = ALL) -> list[str]:
    return list(survivors(subject, tried, passed, lambda *progress: told.append(progress)))


def survived_in_hub(tried: list[Any], make: Any = SimpleHub, passed: Any = ALL) -> list[str]:
    return list(survivors(HubSubject("simple", "1", make=make), tried, passed, silent))


def requirements(names: list[str]) -> set[str]:
    return {name.partition(":")[0] for name in names}


def test_each_is_noticed_on_the_plans_that_are_always_tried(told: Told) -> None:
    subject = correct()
    assert survived(subject, fixed_plans(subject), told) == []
    assert told[-1] == ("faults put in on purpose", len(CANARIES), len(CANARIES))


def test_those_that_no_plan_shows_survive(told: Told) -> None:
    left = survived(correct(), [Plan()], told)
    assert {"LIFE-06", "FAIL-05", "RESUME-01", "LIFE-10"} <= requirements(left)
    assert not {"LIFE-02", "META-01", "COUNT-02"} & requirements(left)
    assert "LIFE-06: after_val_iter does not come" in left


def test_without_a_plan_all_survive(told: Told) -> None:
    assert len(survived(correct(), [], told)) == len(CANARIES)


def test_a_fault_that_does_not_show_in_any_right_runner_is_not_put_in(told: Told) -> None:
    left = survived(correct(), [], told)
    names = {f"{mutant.requirement}: {mutant.name}" for mutant in RUNNER_MUTANTS if not mutant.is_canary}
    assert "LIFE-15: the hub is entered for hooks only" in names
    assert not names & set(left)


def test_a_fault_in_what_is_not_declared_is_not_put_in(told: Told) -> None:
    left = survived(Subject("bare", "1", run=correct().run), [], told)
    assert requirements(left) >= {"LIFE-03", "FAIL-01", "LIFE-10"}
    assert not requirements(left) & {"LIFE-06", "SCALAR-04", "RESUME-01", "LIFE-11", "LIFE-12", "LIFE-13"}
    assert "COUNT-08: max_iters is huge where it is not known" not in left


def test_a_fault_in_what_is_not_kept_is_not_put_in(told: Told) -> None:
    """It would be broken anyway: waived, upcoming, or a SHOULD that does not hold."""
    kept = REQUIREMENTS.keys() - {"LIFE-03", "FAIL-01"}
    left = survived(correct(), [], told, kept)
    assert requirements(left) == {mutant.requirement for mutant in CANARIES} - {"LIFE-03", "FAIL-01"}
    assert survived(correct(), [], told, set()) == []


def test_the_best_plan_is_tried_first(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Plan] = []

    class Notes(Trainer):
        def __init__(self, plan: Plan, hooks: Any) -> None:
            super().__init__(plan, hooks)
            seen.append(plan)

    (mutant,) = (each for each in RUNNER_MUTANTS if each.name == "max_iters covers one epoch only")
    monkeypatch.setattr(_canaries, "RUNNER_MUTANTS", (mutant,))
    assert survived(subject_of(Notes), [Plan(), Plan(batches=2), Plan(max_epochs=2)], told) == []
    assert [plan.max_epochs for plan in seen] == [2]
    # The best plan is of no help where it was not tried: then the check itself did not see the fault either.
    assert survived(subject_of(Notes), [Plan(), Plan(batches=2)], told) == ["COUNT-08: max_iters covers one epoch only"]


def test_no_fault_is_no_finding(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_canaries, "RUNNER_MUTANTS", (Mutant("nothing at all", "LIFE-03"),))
    assert survived(correct(), [Plan()], told) == ["LIFE-03: nothing at all"]
    assert told == [("faults put in on purpose: LIFE-03", 0, 1), ("faults put in on purpose", 1, 1)]


def test_cleanup_in_a_runner_hides_no_fault(told: Told) -> None:
    subject = subject_of(CleansUp)
    assert survived(subject, fixed_plans(subject), told, passed={"FAIL-06", "SHARE-06", "SCOPE-07"}) == []


# -- hubs


HUB_CANARIES = [mutant for mutant in HUB_MUTANTS if mutant.is_canary]


def test_each_fault_of_a_hub_is_noticed_in_the_hub_of_a_third_party() -> None:
    assert survived_in_hub(fixed_plans(HubSubject("simple", "1", make=SimpleHub))) == []
    assert {mutant.requirement for mutant in HUB_MUTANTS} == {mutant.requirement for mutant in HUB_CANARIES}


def test_faults_of_a_hub_that_no_plan_shows_survive() -> None:
    assert len(survived_in_hub([])) == len(HUB_CANARIES)
    ops = (HubOp("update_info", value=0),)
    left = requirements(survived_in_hub([HubPlan(ops), HubPlan(ops, arguments="by_name")]))
    assert {"HUB-05", "HUB-16", "HUB-20"} <= left
    assert not {"HUB-02", "HUB-07"} & left
    assert survived_in_hub([], passed={"HUB-03"}) == [
        f"HUB-03: {mutant.name}" for mutant in HUB_CANARIES if mutant.requirement == "HUB-03"
    ]


class ReturnsCopies(SimpleHub):
    """Right, though what it returns does not go on, and though it cannot be copied."""

    def get_scalar(self, key: str) -> SimpleHistory:
        return copy.deepcopy(super().get_scalar(key))

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a hub is not copied")


def test_a_right_hub_that_is_odd_hides_no_fault() -> None:
    assert survived_in_hub(fixed_plans(HubSubject("simple", "1", make=SimpleHub)), ReturnsCopies) == []


def test_a_green_hub_with_a_fault_that_is_not_noticed_is_not_conformant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_canaries, "HUB_MUTANTS", (HubMutant("nothing at all", "HUB-01", Relay),))
    report = check(HubSubject("simple", "1", make=SimpleHub), PROFILES["quick"])
    assert report.survivors == ("HUB-01: nothing at all",)
    assert report.exit_code is ExitCode.VACUOUS
