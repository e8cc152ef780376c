"""What reduces over ranks, sound and broken, on real ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import ReduceSubject, SubjectError, _subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._judging import find_killer, judge_plan
from runtimeinfo_conformance._profile import Profile
from runtimeinfo_conformance._replay import replay
from runtimeinfo_conformance._verdict import ExitCode, Tally, Verdict
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.mutants import REDUCE_MUTANTS, ReduceMutant
from runtimeinfo_conformance.plans import Put, ReducePlan, Turn, parse_plan
from runtimeinfo_conformance.search import fixed_plans, shrink
from runtimeinfo_conformance.subjects import reference_reducer

MUSTS = [rule.id for rule in REQUIREMENTS.values() if rule.party == "reducer" and rule.untestable is None]

SHORT = Profile("short", plans=30, canary_plans=0)


ALL_PLANS = fixed_plans(reference_reducer.subject())

# A plan in which a rank does not come takes seconds, and shows nothing else.
PLANS = [plan for plan in ALL_PLANS if all(turn.fault != "absent" for turn in plan.turns)]


def only_its_own_is_broken(mutant: ReduceMutant) -> bool:
    tally, guard = Tally(), Guard()
    for plan in PLANS if mutant.requirement != "DIST-07" else ALL_PLANS:
        judge_plan(mutant.subject(), plan, tally, guard)
        if tally.crash is not None or not tally.broken <= {mutant.requirement}:
            return False
    return mutant.requirement in tally.broken


def test_the_reference_reducer_conforms() -> None:
    report = check(reference_reducer.subject(), SHORT)
    assert report.exit_code is ExitCode.CONFORMANT, report.crash
    assert [result.requirement.id for result in report.of(Verdict.PASS)] == MUSTS == _subject.testable(report.subject)
    assert report.of(Verdict.NOT_APPLICABLE)[0].reason == "it is for a runner"


@pytest.mark.parametrize("requirement", MUSTS)
def test_each_has_a_fault_that_only_its_own_check_catches_and_notices_the_others_too(requirement: str) -> None:
    faulty = [mutant for mutant in REDUCE_MUTANTS if mutant.requirement == requirement]
    own = next((mutant for mutant in faulty if only_its_own_is_broken(mutant)), None)
    assert own is not None, "without its judge, nothing would notice that fault"
    for mutant in faulty:
        assert mutant is own or find_killer(mutant.subject(), requirement, PLANS) is not None, mutant.name


# -- reducers that do worse than be wrong


def dies(hub: Any, group: Any) -> Mapping[str, Any]:
    import os

    os._exit(7)


def test_a_rank_that_dies_is_told_and_the_next_plan_has_new_ranks() -> None:
    plan = ReducePlan((Turn((Put(0), Put(1), Put(2))),))
    failure = find_killer(ReduceSubject("dies", "1", reduce=dies), "DIST-02", [plan])
    assert failure is not None
    assert (failure.finding.expected, failure.finding.observed) == (
        "rank 0: a result",
        "rank 0: this rank has died",
    )
    assert replay(reference_reducer.subject(), "DIST-02", plan).exit_code is ExitCode.CONFORMANT


def test_subject_that_no_process_can_import_breaks() -> None:
    tally = Tally()
    judge_plan(ReduceSubject("local", "1", reduce=lambda hub, group: {}), ReducePlan(), tally)
    assert tally.crash is not None
    assert "cannot be brought to another process" in str(tally.crash.error)
    assert "Put it at the top of a module" in str(tally.crash.error)


# -- subjects and plans


def test_a_subject_is_declared_as_the_others_are() -> None:
    said = r"^odd: reduce must be callable as reduce\(hub, group\), but is 1: pass the function, uncalled$"
    with pytest.raises(SubjectError, match=said):
        ReduceSubject("odd", "1", reduce=1)  # type: ignore[arg-type]
    claims_the_first = ReduceSubject("early", "1", reduce=dies, spec="0.1")
    assert _subject.testable(claims_the_first) == MUSTS, "all of them upcoming"


@pytest.mark.parametrize("plan", ALL_PLANS, ids=range(len(ALL_PLANS)))
def test_a_plan_is_read_back_from_its_text(plan: ReducePlan) -> None:
    assert parse_plan(repr(plan)) == plan


def test_a_plan_shrinks_to_what_matters() -> None:
    large = ReducePlan(
        (
            Turn((Put(0, "lr", 4, 3), Put(1, "lr", "nan"), Put(2, "lr", 0.1)), "unreadable", 2),
            Turn((Put(0), Put(1))),
        )
    )
    smallest = shrink(large, lambda plan: any(put.value == "nan" for turn in plan.turns for put in turn.puts), 200)
    assert smallest == ReducePlan((Turn((Put(1, "lr", "nan"),)),))
