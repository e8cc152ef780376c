from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from broken_runners import StopsByAnException
from simple_hub import SimpleHub
from simple_trainer import correct, subject_of

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import Fault, HubSubject, Plan, Subject
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._verdict import Crash, Failure, Report, Result, Tally, Verdict, WaivedFailure, Waiver
from runtimeinfo_conformance.judges import Finding
from runtimeinfo_conformance.mutants import RUNNER_MUTANTS
from runtimeinfo_conformance.observation._observation import Leg, Record
from runtimeinfo_conformance.plans import HubOp, HubPlan

HOSTILE = (
    "<script>alert('x')</script> \"quoted\" & `code` |pipe| *b* [l](http://evil)\n# new\u202e \x00\x1b[31m \ud800 κ😀"
)


def judged(subject: Any, *plans: Any, **given: Any) -> Report:
    """Run some plans, and report; searching is tested elsewhere."""
    tally = Tally()
    for plan in plans:
        judge_plan(subject, plan, tally)
    return Report(subject, "quick", tally.plans, 1.25, tally.results(subject), **given)


def broken(requirement: str) -> Subject:
    """Return the correct runner with a fault that breaks a requirement."""
    return next(each for each in RUNNER_MUTANTS if each.requirement == requirement).applied_to(correct())


@pytest.fixture(scope="session")
def conformant() -> Report:
    report = judged(correct(), Plan(max_epochs=2, batches=2, val_batches=1, test_batches=1))
    results = tuple(
        replace(result, verdict=Verdict.PASS, occurrences=1, reason="")
        if result.verdict is Verdict.NOT_EXERCISED
        else result
        for result in report.results
    )
    return replace(report, results=results)


@pytest.fixture(scope="session")
def failing_step() -> Report:
    """The second step raises, which is not announced."""
    return judged(broken("FAIL-02"), Plan(batches=2, outputs=(("loss", "float"),), fault=Fault("train_step", 1)))


@pytest.fixture(scope="session")
def failing() -> Report:
    """A stage is wrong in a long run, and an exception is not announced."""
    runs = judged(broken("STAGE-05"), Plan(max_epochs=3, batches=4, val_batches=2, test_batches=1))
    raises = judged(broken("FAIL-02"), Plan(batches=2, fault=Fault("before_train_iter", 1)))
    both = tuple(
        mine if mine.verdict is Verdict.FAIL else other
        for mine, other in zip(runs.results, raises.results, strict=True)
    )
    return replace(runs, results=both)


@pytest.fixture(scope="session")
def waived() -> Report:
    """What is broken is waived or upcoming, and there is something to warn of; the search had a seed."""
    subject = replace(broken("STAGE-05"), spec="0.1")
    plan = Plan(max_epochs=2, batches=2, test_batches=1)
    tally = Tally()
    judge_plan(subject, plan, tally)
    failure = tally.counts["STAGE-05"].failure
    assert failure is not None
    waiver = Waiver(
        "STAGE-05", "the test loop is being rewritten", "https://example.org/myfw/issues/12", date(2031, 5, 17), plan
    )
    stopped = judged(replace(subject_of(StopsByAnException), spec="0.1"), Plan(max_epochs=2, batches=2, stop_after=1))
    later = {result.requirement.id: result for result in stopped.of(Verdict.UPCOMING) if result.failure is not None}
    results = [
        later.get(result.requirement.id, result)
        if result.verdict is not Verdict.NOT_EXERCISED
        else replace(result, verdict=Verdict.PASS, occurrences=1, reason="")
        for result in tally.results(subject, {"STAGE-05": WaivedFailure(waiver, failure)})
    ]
    return Report(
        subject, "nightly", 1, 1.25, tuple(results), warnings=("it can do 'val', and does not declare it",),
        seed=20_250_304, target="tests/test_conformance.py:test_conformance",
    )  # fmt: skip


@pytest.fixture(scope="session")
def troubled(waived: Report) -> Report:
    return replace(waived, troubles=("waivers.toml: FAIL-01 has expired on 2024-01-01",))


@pytest.fixture(scope="session")
def crashed(conformant: Report) -> Report:
    try:
        raise RuntimeError("out of <memory>")
    except RuntimeError as error:
        return replace(conformant, crash=Crash(Plan(batches=3), error))


@pytest.fixture(scope="session")
def hub() -> Report:
    return judged(HubSubject("simple hub", "1", make=lambda _: SimpleHub()), HubPlan((HubOp("update_info", value=7),)))


@pytest.fixture(scope="session")
def failing_hub() -> Report:
    plan = HubPlan((HubOp("update_info", value=0), HubOp("update_info", value=7), HubOp("reload")))
    return judged(HubSubject("stubborn hub", "1", make=lambda _: FirstWriteWins()), plan)


@pytest.fixture(scope="session")
def hostile() -> Report:
    """Every text that comes out of somebody else's code is out for mischief."""
    subject = Subject(HOSTILE, HOSTILE, run=lambda plan, hooks: None, capabilities={"val"})
    wild = {"loop_stage": HOSTILE, "epoch": HOSTILE, "iter": 10**400}
    records = [
        Record(
            event,
            {},
            epoch=HOSTILE,
            iter=BrokenRepr(),
            info=wild,
            scalars={},
            rates={},
            identity={},
            seen=(),
            current={},
        )  # type: ignore[arg-type]
        for event in ("before_run", "after_val", "before_train", "after_run")
    ]
    leg = Leg(Plan(experiment_name=HOSTILE), records=records, raised=ValueError(HOSTILE))
    failure = Failure(Plan(experiment_name=HOSTILE), Finding(1, HOSTILE, BrokenRepr()), leg)
    results = [Result(rule, Verdict.NOT_EXERCISED, reason=HOSTILE) for rule in REQUIREMENTS.values()]
    results[0] = Result(results[0].requirement, Verdict.FAIL, 3, failure)
    waiver = Waiver("LIFE-02", HOSTILE, f"javascript:alert() {HOSTILE}", date(2031, 5, 17), Plan())
    results[1] = Result(results[1].requirement, Verdict.WAIVED, 3, failure, HOSTILE, waiver)
    results[2] = Result(results[2].requirement, Verdict.UPCOMING, 3, failure, HOSTILE)
    return Report(
        subject, HOSTILE, 3, 1.0, tuple(results), crash=Crash(Plan(), ValueError(HOSTILE)), survivors=(HOSTILE,),
        warnings=(HOSTILE,), troubles=(HOSTILE,), seed=2**70, target=HOSTILE,
    )  # fmt: skip


class FirstWriteWins(SimpleHub):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        if key not in self.runtime_info:
            super().update_info(key, value, resumed)


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no")


KINDS = ("conformant", "failing", "waived", "troubled", "crashed", "hub", "failing_hub", "hostile")


@pytest.fixture(params=KINDS)
def each_report(request: pytest.FixtureRequest) -> Report:
    """One report after the other."""
    report: Report = request.getfixturevalue(request.param)
    return report


@pytest.fixture
def unfit() -> re.Pattern[str]:
    """What no report may hold: control characters, surrogates, and marks that turn the direction of reading."""
    return re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]")
