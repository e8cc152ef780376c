from __future__ import annotations

import pytest
from broken_runners import (
    BROKEN,
    CountsEpochsFromOne,
    EndsInAnEpochTooMany,
    EntersItsHubForHooksOnly,
    NeverEntersItsHub,
    RunsHooksAsGiven,
    StopsByAnException,
    SwallowsInterrupts,
)
from simple_trainer import Trainer, correct, subject_of

from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._judging import find_killer
from runtimeinfo_conformance._profile import PROFILES, Profile
from runtimeinfo_conformance._verdict import ExitCode, Verdict
from runtimeinfo_conformance.plans import AnyPlan
from runtimeinfo_conformance.search import fixed_plans, shrink
from runtimeinfo_conformance.search._fixed_plans import fault_plans

# The plans that are always tried, and one more: a broken runner has not to wait for luck.
ALWAYS = Profile("always", plans=1, canary_plans=1)


def test_the_correct_one_is_conformant() -> None:
    report = check(correct(), PROFILES["quick"])
    assert report.of(Verdict.FAIL, Verdict.WARN, Verdict.NOT_EXERCISED) == []
    assert report.survivors == ()
    assert report.exit_code is ExitCode.CONFORMANT


@pytest.mark.parametrize(("kind", "requirement"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", value))
def test_each_broken_one_fails_the_right_requirement_on_a_small_plan(kind: type[Trainer], requirement: str) -> None:
    subject = subject_of(kind)
    found = find_killer(subject, requirement, [*fixed_plans(subject), *fault_plans(subject)])
    assert found is not None

    def breaks(plan: AnyPlan) -> bool:
        return find_killer(subject, requirement, [plan]) is not None

    failure = find_killer(subject, requirement, [shrink(found.plan, breaks, most=100)])
    assert failure is not None
    assert failure.finding.expected != failure.finding.observed
    assert len(repr(failure.plan)) < 130


@pytest.mark.parametrize(
    "kind", [SwallowsInterrupts, CountsEpochsFromOne, RunsHooksAsGiven, EndsInAnEpochTooMany, StopsByAnException]
)
def test_a_broken_one_is_red_under_the_right_requirement(kind: type[Trainer]) -> None:
    report = check(subject_of(kind), ALWAYS)
    failures = {result.requirement.id: result.failure for result in report.of(Verdict.FAIL)}
    assert report.exit_code is ExitCode.VIOLATED
    assert all(failure is not None and len(repr(failure.plan)) < 130 for failure in failures.values())
    assert BROKEN[kind] in failures


@pytest.mark.parametrize("kind", [NeverEntersItsHub, EntersItsHubForHooksOnly])
def test_one_that_does_not_enter_its_hub_breaks_nothing_else(kind: type[Trainer]) -> None:
    report = check(subject_of(kind), PROFILES["quick"])
    broken = [result.requirement.id for result in report.of(Verdict.FAIL, Verdict.WARN, Verdict.NOT_EXERCISED)]
    # With other runs in the process it is theirs that it finds.
    assert [id for id in broken if not id.startswith("SCOPE-")] == ["LIFE-15"]
    assert "SCOPE-01" in broken
    assert report.crash is None
