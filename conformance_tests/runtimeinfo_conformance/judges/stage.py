"""STAGE: the value of loop_stage at each event."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo.spec import FREE_EVENTS
from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.observation import Expectation, Record

_CLOSES = {"after_val": "STAGE-03", "after_test": "STAGE-05"}
_STAGES = {"train": "STAGE-01", "val": "STAGE-02", "test": "STAGE-04", None: "STAGE-06"}


def rule_of_stage(event: str, stage: str | None) -> str:
    """Return the requirement that covers the stage at a legal event."""
    return _CLOSES.get(event) or _STAGES[stage]


def _responsible(record: Record, model: Expectation) -> str | None:
    """Return the requirement that covers the stage at a record, also during an abnormal end."""
    # Outside any stage, a newly loaded state may contain one until the training starts.
    if model.objection is not None or (record.event in FREE_EVENTS and model.stage is None):
        return None
    return rule_of_stage(record.event, model.stage)


def _findings(case: Case, requirement: str) -> Iterator[Finding]:
    for at, record, model in case.each():
        if _responsible(record, model) == requirement:
            yield Finding(at, model.stage, record.info.get("loop_stage"))
    has_trained = False
    settled = [has_trained := has_trained or record.event == "before_train" for record in case.records]
    for look in case.leg.stage_looks:
        record, model = case.records[look.at], case.expectations[look.at]
        # Before the training of a resumed run, a newly loaded state may contain a stage.
        may_be_loaded = model.stage is None and case.leg.previous is not None and not settled[look.at]
        if not may_be_loaded and _responsible(record, model) == requirement:
            yield Finding(look.at, model.stage, look.stage)


@judge("STAGE-01")
def train(case: Case) -> Iterator[Finding]:
    """Check that the stage is 'train' in training."""
    yield from _findings(case, "STAGE-01")


@judge("STAGE-02")
def val(case: Case) -> Iterator[Finding]:
    """Check that the stage is 'val' in a validation."""
    yield from _findings(case, "STAGE-02")


@judge("STAGE-03")
def after_val(case: Case) -> Iterator[Finding]:
    """Check that the stage is restored after a validation."""
    yield from _findings(case, "STAGE-03")


@judge("STAGE-04")
def test(case: Case) -> Iterator[Finding]:
    """Check that the stage is 'test' in a test."""
    yield from _findings(case, "STAGE-04")


@judge("STAGE-05")
def after_test(case: Case) -> Iterator[Finding]:
    """Check that the stage is restored after a test."""
    yield from _findings(case, "STAGE-05")


@judge("STAGE-06")
def outside(case: Case) -> Iterator[Finding]:
    """Check that there is no stage outside all of them."""
    yield from _findings(case, "STAGE-06")
    if case.leg.ended_well and case.leg.final_info is not None:
        yield Finding(None, None, case.leg.final_info.get("loop_stage"))
