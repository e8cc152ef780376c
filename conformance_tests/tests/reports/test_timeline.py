from __future__ import annotations

from typing import Any

import pytest
from broken_runners import LeavesScopesOpen
from simple_trainer import subject_of

from runtimeinfo_conformance import Plan
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._verdict import Failure, Tally
from runtimeinfo_conformance.judges import Finding
from runtimeinfo_conformance.observation._observation import Leg, Record
from runtimeinfo_conformance.plans import Fault, HubPlan
from runtimeinfo_conformance.reports._data import failure_data
from runtimeinfo_conformance.reports._text import failure_lines


def describe_failure(failure: Failure) -> list[str]:
    return failure_lines(failure_data("LIFE-01", failure, None))


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def leg_of(*events: str, raised: BaseException | None = None, **info: Any) -> Leg:
    records = [Record(event, {}, 3, 7, info, {}, {}, {}, (), {}) for event in events]
    return Leg(Plan(), records=records, raised=raised)


def test_events_are_indented_by_their_scopes_and_one_is_marked() -> None:
    leg = leg_of("before_run", "before_train", "after_train", "after_run", loop_stage="train", epoch=3, iter=7)
    counters = "stage train  epoch/iter: runner 3/7, hub 3/7"
    assert describe_failure(Failure(Plan(batches=2), Finding(2, "train", None), leg)) == [
        "plan:     Plan(batches=2)",
        "expected: train",
        "observed: None",
        "",
        f"     before_run           {counters}",
        f"       before_train         {counters}",
        f"  ->   after_train          {counters}",
        f"     after_run            {counters}",
    ]


@pytest.mark.parametrize(("at", "before", "after"), [(0, None, 93), (50, 44, 43), (99, 93, None), (None, 76, None)])
def test_of_a_long_run_the_part_around_the_event_is_shown(
    at: int | None, before: int | None, after: int | None
) -> None:
    leg = leg_of(*["before_save_checkpoint"] * 100)
    lines = describe_failure(Failure(Plan(), Finding(at, 1, 2), leg))[4:]
    assert (lines[0] == f"     ... {before} events before") is (before is not None)
    assert (lines[-1] == f"     ... {after} events after") is (after is not None)
    assert sum(line.startswith("  -> ") for line in lines) == (at is not None)


def test_outcome_of_the_run_is_reported() -> None:
    tally = Tally()
    judge_plan(subject_of(LeavesScopesOpen), Plan(fault=Fault("before_train_iter")), tally)
    failure = tally.counts["FAIL-06"].failure
    assert failure is not None
    lines = describe_failure(failure)
    assert lines[-1].startswith("     raised ValueError(")
    assert any(line.startswith("     before_run ") for line in lines)
    assert any(line.startswith("       before_train ") for line in lines)


def test_on_a_hub_the_operation_is_told() -> None:
    lines = describe_failure(Failure(HubPlan(), Finding(3, 1, 2)))
    assert lines[-1] == "          after operation 3"


def test_a_text_of_a_subject_moves_no_terminal_and_breaks_no_report() -> None:
    leg = leg_of("before_run", raised=ValueError("\x1b[2J"), loop_stage="\x1b[31m", epoch=BrokenRepr(), iter="x" * 100)
    text = "\n".join(describe_failure(Failure(Plan(), Finding(0, "\x1b[2J", BrokenRepr()), leg)))
    assert "\x1b" not in text
    assert "expected: \\x1b[2J" in text
    assert "observed: <BrokenRepr: its repr raised RuntimeError>" in text
    assert "stage \\x1b[31m" in text
    assert "x" * 41 not in text


@pytest.mark.parametrize(("expected", "observed", "shown"), [("None", None, "'None'"), ("1", 1, "'1'")])
def test_different_values_look_different(expected: object, observed: object, shown: str) -> None:
    lines = describe_failure(Failure(Plan(), Finding(0, expected, observed), leg_of("before_run")))
    assert lines[1:3] == [f"expected: {shown}", f"observed: {observed}"]
