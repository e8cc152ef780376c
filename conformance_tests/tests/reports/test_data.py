from __future__ import annotations

import html
import json
import math
import shlex
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from runtimeinfo.spec import EVENTS, REQUIREMENTS, SPEC_VERSION
from runtimeinfo_conformance import Plan
from runtimeinfo_conformance._hints import HINTS
from runtimeinfo_conformance._verdict import ExitCode, Failure, Report, Result, Verdict
from runtimeinfo_conformance.judges import Finding
from runtimeinfo_conformance.observation._observation import Leg, Record
from runtimeinfo_conformance.plans import plan_text
from runtimeinfo_conformance.reports import report_data, schema
from runtimeinfo_conformance.reports._data import (
    SCHEMA_VERSION,
    SUMMARIES_BY_NAME,
    TimelineData,
    by_cause,
    failure_data,
    same_mistake,
)
from runtimeinfo_conformance.reports._html import report_page
from runtimeinfo_conformance.reports._picture import draw
from runtimeinfo_conformance.reports._text import failure_lines


def validate(data: object) -> None:
    Draft202012Validator(schema()).validate(data)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_a_report_keeps_the_schema_also_behind_json(each_report: Report) -> None:
    data = report_data(each_report)
    validate(data)
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_the_schema_is_strict_wherever_there_are_named_properties() -> None:
    def objects(part: object) -> list[dict[str, object]]:
        if isinstance(part, list):
            return [each for item in part for each in objects(item)]
        if not isinstance(part, dict):
            return []
        inner = [each for item in part.values() for each in objects(item)]
        return [part, *inner] if "properties" in part and part.get("type") == "object" else inner

    for each in objects(schema()):
        assert each["additionalProperties"] is False
        assert set(each["required"]) == set(each["properties"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "change",
    [{"schema_version": 2}, {"another": 1}, {"verdict": "fine"}, {"plans": -1}, {"exit_code": 5}, {"counts": {"x": 1}}],
)
def test_the_schema_refuses(conformant: Report, change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        validate({**report_data(conformant), **change})


def test_the_schema_knows_every_verdict() -> None:
    known = schema()
    assert {each.value for each in Verdict} <= set(known["$defs"]["verdict"]["enum"])
    assert [code.label for code in ExitCode] == known["properties"]["verdict"]["enum"] == [*SUMMARIES_BY_NAME]
    assert [int(code) for code in ExitCode] == known["properties"]["exit_code"]["enum"]
    assert known["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_description_of_the_subject(failing: Report) -> None:
    data = report_data(failing)
    assert data["subject"]["name"] == "Trainer (the stage is not restored after a test)"
    assert data["subject"]["party"] == "runner"
    assert "val" in data["subject"]["capabilities"]
    assert (data["exit_code"], data["verdict"]) == (1, "violated")
    assert sum(data["counts"].values()) == len(failing.results)


def test_waived_rule_shows_its_waiver_and_failure(waived: Report) -> None:
    (stage,) = (each for each in report_data(waived)["requirements"] if each["verdict"] == "waived")
    assert stage["id"] == "STAGE-05"
    assert stage["waiver"] == {
        "reason": "the test loop is being rewritten",
        "issue": "https://example.org/myfw/issues/12",
        "expires": "2031-05-17",
    }
    assert stage["failure"] is not None
    assert stage["failure"]["timeline"] is not None


def test_upcoming_rule_shows_its_version_and_outcome(waived: Report) -> None:
    data = report_data(waived)
    upcoming = {each["id"]: each for each in data["requirements"] if each["verdict"] == "upcoming"}
    assert {each["since"] for each in upcoming.values()} == {"0.2", "0.3"}
    assert "demanded from spec 0.2 on; it does not hold yet" in {each["reason"] for each in upcoming.values()}
    assert upcoming["LIFE-12"]["failure"] is not None
    assert (data["spec"], data["newest_spec"]) == ("0.1", SPEC_VERSION)


def test_remarks_with_the_verdict(waived: Report, troubled: Report) -> None:
    data = report_data(waived)
    assert data["warnings"] == ["it can do 'val', and does not declare it"]
    assert (data["seed"], data["target"]) == (20_250_304, "tests/test_conformance.py:test_conformance")
    assert (data["verdict"], data["troubles"]) == ("conformant", [])
    other = report_data(troubled)
    assert other["troubles"] == ["waivers.toml: FAIL-01 has expired on 2024-01-01"]
    assert (other["verdict"], other["exit_code"]) == ("waiver trouble", 2)


def test_a_seed_too_large_for_json_is_text(conformant: Report) -> None:
    data = report_data(replace(conformant, seed=2**64))
    validate(data)
    assert data["seed"] == str(2**64)
    assert report_data(conformant)["seed"] is None


def test_each_failure_has_the_line_that_replays_it(waived: Report, failing: Report) -> None:
    (stage,) = (each for each in report_data(waived)["requirements"] if each["id"] == "STAGE-05")
    assert stage["failure"] is not None
    line = stage["failure"]["replay"]
    assert line is not None
    assert shlex.split(line) == [
        "runtimeinfo", "replay", "STAGE-05", stage["failure"]["plan"], "tests/test_conformance.py:test_conformance",
    ]  # fmt: skip
    broken = [each["failure"] for each in report_data(failing)["requirements"] if each["verdict"] == "fail"]
    assert all(each is not None and each["replay"] is not None for each in broken)


def test_a_line_too_long_to_be_written_is_left_out(failing: Report) -> None:
    failure = Failure(Plan(experiment_name="x" * 30_000), Finding(None, 1, 2))
    data = report_data(replace(failing, results=(replace(failing.results[0], verdict=Verdict.FAIL, failure=failure),)))
    validate(data)
    assert data["requirements"][0]["failure"] is not None
    assert data["requirements"][0]["failure"]["replay"] is None


def test_each_requirement_has_its_example(conformant: Report) -> None:
    for each in report_data(conformant)["requirements"]:
        assert each["example"] == REQUIREMENTS[each["id"]].example != ""


def test_a_waiver_goes_with_the_verdict(waived: Report) -> None:
    data = report_data(waived)
    requirement = next(each for each in data["requirements"] if each["waiver"] is not None)
    for verdict, waiver in (("fail", requirement["waiver"]), ("waived", None)):
        with pytest.raises(ValidationError):
            validate({**data, "requirements": [{**requirement, "verdict": verdict, "waiver": waiver}]})


def test_a_failure_has_the_run_and_its_offending_event(failing: Report) -> None:
    data = report_data(failing)
    (stage,) = (each for each in data["requirements"] if each["id"] == "STAGE-05")
    failure = stage["failure"]
    assert failure is not None
    assert failure["timeline"] is not None
    assert "max_epochs=3" in failure["plan"]
    assert (failure["expected"], failure["observed"]) != ("", "")
    at = failure["timeline"]["offending"]
    assert at is not None
    event = failure["timeline"]["events"][at]
    assert (event["index"], event["event"], event["stage"]) == (at, "after_test", "test")
    assert event["scopes"] == ["run", "test"]
    assert event["runner_epoch"] == 3


def timeline_with_fault(report: Report) -> tuple[TimelineData, int]:
    """Return the run in which an exception is not announced, and the index of the event at its fault."""
    (announced,) = (each for each in report_data(report)["requirements"] if each["id"] == "FAIL-02")
    assert announced["failure"] is not None
    timeline = announced["failure"]["timeline"]
    assert timeline is not None
    assert timeline["fault"] is not None
    return timeline, timeline["fault"]


def test_the_fault_of_the_plan_is_in_the_run(failing: Report) -> None:
    timeline, fault = timeline_with_fault(failing)
    assert timeline["events"][fault]["event"] == "before_train_iter"
    assert timeline["moment"] is None
    assert timeline["raised"] is not None
    assert timeline["raised"].startswith("ValueError(")


def test_fault_between_two_events_is_after_the_first(failing_step: Report) -> None:
    timeline, fault = timeline_with_fault(failing_step)
    assert timeline["events"][fault]["event"] == "before_train_iter"
    assert timeline["moment"] == "train_step"
    assert draw(timeline, "FAIL-02").lines[fault].note == "the plan raises after it, in train_step"
    page = " ".join(report_page(report_data(failing_step)).split())
    assert f"The plan raises in train_step, after event {fault + 1}." in page
    validate(report_data(failing_step))


def test_a_hub_has_operations_and_no_run(failing_hub: Report) -> None:
    data = report_data(failing_hub)
    assert data["subject"] == {"name": data["subject"]["name"], "version": "1", "party": "hub", "capabilities": []}
    failure = next(each["failure"] for each in data["requirements"] if each["id"] == "HUB-01")
    assert failure is not None
    assert failure["timeline"] is None
    assert failure["operations"] is not None
    assert failure["at"] == 1
    assert len(failure["operations"]) == 3


def test_a_crash_is_told_with_its_traceback(crashed: Report) -> None:
    crash = report_data(crashed)["crash"]
    assert crash is not None
    assert crash["error"] == "RuntimeError('out of <memory>')"
    assert crash["traceback"].endswith("RuntimeError: out of <memory>\n")
    assert "Traceback" in crash["traceback"]


@pytest.mark.parametrize("at", [0, 2500, 9999, None])
def test_of_a_run_gone_wild_the_events_around_the_offending_one_are_kept(failing: Report, at: int | None) -> None:
    record = Record("before_save_checkpoint", {}, 0, 0, {}, {}, {}, {}, (), {})
    leg = Leg(Plan(), records=[record] * 10_000)
    result = replace(failing.results[0], verdict=Verdict.FAIL, failure=Failure(Plan(), Finding(at, 1, 2), leg))
    data = report_data(replace(failing, results=(result,)))
    validate(data)
    failure = data["requirements"][0]["failure"]
    assert failure is not None
    assert failure["timeline"] is not None
    indices = [event["index"] for event in failure["timeline"]["events"]]
    assert len(indices) == 400
    assert (9999 if at is None else at) in indices


@pytest.mark.parametrize(
    ("value", "written"),
    [(3, 3), (None, None), (True, "True"), (math.nan, "nan"), (2**60, str(2**60)), ("7", "'7'"), (2.0, "2.0")],
)
def test_a_counter_that_is_none_is_told_as_text(failing: Report, value: object, written: object) -> None:
    record = Record("before_run", {}, value, 0, {"epoch": value}, {}, {}, {}, (), {})  # type: ignore[arg-type]
    failure = Failure(Plan(), Finding(0, 1, 2), Leg(Plan(), records=[record]))
    result = replace(failing.results[0], verdict=Verdict.FAIL, failure=failure)
    data = report_data(replace(failing, results=(result,)))
    validate(data)
    assert data["requirements"][0]["failure"] is not None
    timeline = data["requirements"][0]["failure"]["timeline"]
    assert timeline is not None
    (event,) = timeline["events"]
    assert event["runner_epoch"] == event["hub_epoch"] == written
    assert event["event"] in EVENTS


def broken(id: str, plan: Plan, at: int | None, verdict: Verdict = Verdict.FAIL, **given: Any) -> Result:
    records = [Record(event, {}, 0, 0, {}, {}, {}, {}, (), {}) for event in ("before_run", "before_train", "after_run")]
    return Result(REQUIREMENTS[id], verdict, 1, Failure(plan, Finding(at, 1, 2), Leg(plan, records=records), **given))


LONG = Plan(max_epochs=3, val_batches=2)


@pytest.mark.parametrize(
    ("results", "groups"),
    [
        # One event is one cause; the one whose matter comes first in the run is the first of a kind.
        ([broken("LIFE-10", LONG, 1), broken("COUNT-05", LONG, 1)], [("LIFE-10", ["COUNT-05"])]),
        ([broken("COUNT-01", LONG, 2), broken("COUNT-12", LONG, 1)], [("COUNT-12", ["COUNT-01"])]),
        ([broken("LIFE-01", LONG, 2), broken("LIFE-03", LONG, None)], [("LIFE-01", ["LIFE-03"])]),
        # Another event and another kind, another plan, or what ran before it: another cause.
        ([broken("META-01", LONG, 0), broken("COUNT-01", LONG, 1)], [("META-01", []), ("COUNT-01", [])]),
        ([broken("COUNT-01", LONG, 1), broken("COUNT-02", Plan(), 1)], [("COUNT-02", []), ("COUNT-01", [])]),
        (
            [broken("COUNT-01", Plan(), 1, after=(LONG,)), broken("COUNT-02", Plan(), 1)],
            [("COUNT-02", []), ("COUNT-01", [])],
        ),
        # The smallest plan comes first; what is no MUST comes last.
        (
            [broken("LIFE-09", Plan(), 1, Verdict.WARN), broken("COUNT-01", LONG, 2)],
            [("COUNT-01", []), ("LIFE-09", [])],
        ),
    ],
)
def test_failures_are_grouped_by_cause(
    conformant: Report, results: list[Result], groups: list[tuple[str, list[str]]]
) -> None:
    data = report_data(replace(conformant, results=tuple(results)))
    validate(data)
    assert [(group["first"], group["others"]) for group in data["groups"]] == groups
    ids = [id for first, others in groups for id in (first, *others)]
    assert [each["id"] for each in by_cause(data)] == ids
    for first, others in groups:
        assert all(first in same_mistake(data, other) for other in others)
        assert all(other in same_mistake(data, first) for other in others)
        assert bool(same_mistake(data, first)) is bool(others)


def test_an_event_has_the_arguments_that_are_judged() -> None:
    given = [
        {"batch_idx": 0, "data_batch": object()},
        {"batch_idx": 0, "outputs": None},
        {"outputs": {"loss": "x" * 99}},
    ]
    records = [Record("after_train_iter", each, 0, 0, {}, {}, {}, {}, (), {}) for each in given]
    for at, shown in (
        (0, [{"batch_idx": "0"}, {"batch_idx": "0"}]),
        (1, [{"batch_idx": "0"}, {"batch_idx": "0", "outputs": "None"}]),
    ):
        data = failure_data("LIFE-08", Failure(Plan(), Finding(at, 1, 2), Leg(Plan(), records=records)), None)
        assert data["timeline"] is not None
        *first, last = (event["arguments"] for event in data["timeline"]["events"])
        assert first == shown
        assert last["outputs"].startswith("{'loss': 'xxx")
        assert last["outputs"].endswith(" characters more)")
        assert f"batch_idx=0{', outputs=None' if at else ''}" in failure_lines(data)[4 + at]


def test_a_hint_comes_with_each_failure(failing: Report) -> None:
    page = html.unescape(report_page(report_data(failing)))
    for each in report_data(failing)["requirements"]:
        assert each["hint"] == HINTS.get(each["id"], "")
        if each["failure"] is not None:
            assert f"hint:     {each['hint']}" in failure_lines(each["failure"], each["hint"])
            assert f"The usual mistake: {each['hint']}." in page


def test_a_leak_names_the_plans_before_it(failing: Report) -> None:
    leak = broken("LIFE-10", Plan(), 0, after=(LONG,))
    data = report_data(replace(failing, results=(leak,), target="tests/x.py"))
    validate(data)
    failure = data["requirements"][0]["failure"]
    assert failure is not None
    assert failure["after"] == [plan_text(LONG)]
    assert failure_lines(failure)[0] == f"after:    {plan_text(LONG)}  (before it, in the same process)"
    assert failure["replay"] == f"runtimeinfo replay LIFE-10 '{plan_text(LONG)}' 'Plan()' tests/x.py"
    assert plan_text(LONG) in html.unescape(report_page(data))
