from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from broken_runners import correct
from simple_hub import SimpleHub

from runtimeinfo import REQUIREMENTS
from runtimeinfo_conformance import Fault, HubSubject, Plan, Subject
from runtimeinfo_conformance._check import judge_plan
from runtimeinfo_conformance._hub_plan import HubOp, HubPlan
from runtimeinfo_conformance._mutants import RUNNER_MUTANTS
from runtimeinfo_conformance._observation import Leg, Record
from runtimeinfo_conformance._verdict import Crash, Failure, Report, Result, Tally, Verdict
from runtimeinfo_conformance.judges import Finding

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
        if result.verdict is Verdict.NOT_EXECUTED
        else result
        for result in report.results
    )
    return replace(report, results=results)


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
        Record(event, {}, epoch=HOSTILE, iter=BrokenRepr(), info=wild, scalars={}, rates={}, identity={}, seen=())  # type: ignore[arg-type]
        for event in ("before_run", "after_val", "before_train", "after_run")
    ]
    leg = Leg(Plan(experiment_name=HOSTILE), records=records, raised=ValueError(HOSTILE))
    failure = Failure(Plan(experiment_name=HOSTILE), Finding(1, HOSTILE, BrokenRepr()), leg)
    results = [Result(rule, Verdict.NOT_EXECUTED, reason=HOSTILE) for rule in REQUIREMENTS.values()]
    results[0] = Result(results[0].requirement, Verdict.FAIL, 3, failure)
    return Report(
        subject, HOSTILE, 3, 1.0, tuple(results), crash=Crash(Plan(), ValueError(HOSTILE)), survivors=(HOSTILE,)
    )


class FirstWriteWins(SimpleHub):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        if key not in self.runtime_info:
            super().update_info(key, value, resumed)


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no")


KINDS = ("conformant", "failing", "crashed", "hub", "failing_hub", "hostile")


@pytest.fixture(params=KINDS)
def each_report(request: pytest.FixtureRequest) -> Report:
    """One report after the other."""
    report: Report = request.getfixturevalue(request.param)
    return report


@pytest.fixture
def unfit() -> re.Pattern[str]:
    """What no report may hold: control characters, surrogates, and marks that turn the direction of reading."""
    return re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]")
