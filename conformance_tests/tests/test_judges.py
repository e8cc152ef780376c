"""Corner cases; that each judge notices what it should is in `test_mutants.py` and `test_broken_runners.py`."""

from __future__ import annotations

from typing import Any

import pytest
from broken_runners import Trainer, correct, subject_of
from simple_hub import SimpleHub

from runtimeinfo import REQUIREMENTS
from runtimeinfo_conformance import Batch, Fault, HubSubject, Plan
from runtimeinfo_conformance._execution import execute
from runtimeinfo_conformance._hub_plan import HubOp, HubPlan
from runtimeinfo_conformance.judges import JUDGES, Case, Finding
from runtimeinfo_conformance.judges._judge import judge
from runtimeinfo_conformance.judges.hub import judge_hub
from runtimeinfo_conformance.judges.life import find_batch


def findings(requirement: str, plan: Plan, kind: type[Trainer] = Trainer) -> list[Finding]:
    return [finding for leg in execute(subject_of(kind), plan) for finding in JUDGES[requirement](Case(leg))]


def broken(requirement: str, plan: Plan, kind: type[Trainer] = Trainer) -> list[Finding]:
    return [finding for finding in findings(requirement, plan, kind) if not finding.holds]


def test_each_requirement_has_one_judge() -> None:
    with pytest.raises(ValueError, match="has a judge already"):
        judge("LIFE-01")
    with pytest.raises(ValueError, match="is no requirement"):
        judge("LIFE-99")


@pytest.mark.parametrize("event", ["before_run", "after_run", "before_train", "after_train", "after_val", "after_test"])
@pytest.mark.parametrize("kind", ["error", "interrupt"])
def test_an_error_at_each_boundary_breaks_nothing_in_a_correct_runner(event: str, kind: Any) -> None:
    plan = Plan(val_batches=1, test_batches=1, fault=Fault(event, 0, kind))
    (leg,) = execute(correct(), plan)
    assert leg.planned is not None
    case = Case(leg)
    assert [(id, finding) for id in JUDGES for finding in JUDGES[id](case) if not finding.holds] == []


def test_an_error_at_the_very_end_need_not_be_announced() -> None:
    plan = Plan(fault=Fault("after_run"))
    assert findings("FAIL-02", plan) == findings("FAIL-03", plan) == findings("FAIL-04", plan) == []
    assert findings("FAIL-01", plan) != []


def test_a_fault_that_is_never_reached_is_a_good_end() -> None:
    plan = Plan(fault=Fault("before_run", 1))
    assert findings("FAIL-01", plan) == []
    assert len(findings("LIFE-03", plan)) == 2


def test_numbers_are_only_asked_of_a_run_that_ended_well() -> None:
    assert findings("LIFE-03", Plan(batches=3, fault=Fault("before_train_iter", 1))) == []
    assert [finding.expected for finding in findings("LIFE-03", Plan(batches=3))] == [
        "3 times before_train_iter",
        "3 times after_train_iter",
    ]


def test_no_epoch_is_no_evidence() -> None:
    assert findings("LIFE-04", Plan(max_epochs=0)) == []
    assert findings("COUNT-03", Plan(max_epochs=0)) == []
    assert len(findings("LIFE-04", Plan(batches=0))) == 2


def test_accumulation_is_told_apart_from_counting() -> None:
    assert findings("COUNT-01", Plan(accumulation=2)) == findings("COUNT-10", Plan()) == []
    assert findings("COUNT-01", Plan()) != []
    assert findings("COUNT-10", Plan(accumulation=2)) != []


def test_an_abnormal_close_has_no_result_even_where_it_leaves_the_argument_out() -> None:
    class LeavesOut(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            self.dispatcher.dispatch(event, self, **{name: value for name, value in given.items() if value is not None})

    plan = Plan(fault=Fault("before_train_iter"))
    assert [finding.holds for finding in findings("FAIL-05", plan, LeavesOut)] == [True]


def test_a_batch_index_begins_anywhere_and_anew() -> None:
    class FromOne(Trainer):
        def train_iter(self, index: int, batch: Any) -> None:
            super().train_iter(index + 1, batch)

    class TwiceTheSame(Trainer):
        def train_iter(self, index: int, batch: Any) -> None:
            super().train_iter(index // 2, batch)

    plan = Plan(max_epochs=2, batches=2)
    assert broken("LIFE-08", plan, FromOne) == []
    assert broken("LIFE-08", plan, TwiceTheSame) != []


def test_a_wrong_batch_is_only_a_should() -> None:
    class GivesTheLast(Trainer):
        def train_iter(self, index: int, batch: Any) -> None:
            super().train_iter(index, Batch("train", index - 1, batch.outputs))

    class GivesNone(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            super().emit(event, **{**given, "data_batch": None})

    assert REQUIREMENTS["LIFE-09"].level == "SHOULD"
    assert broken("LIFE-09", Plan(batches=2), GivesTheLast) != []
    assert findings("LIFE-09", Plan(batches=2), GivesNone) == []


def test_a_batch_is_found_in_what_a_loader_makes_of_it() -> None:
    batch = Batch("train", 0, {})
    assert find_batch([(batch,)]) is batch
    assert find_batch([batch, batch]) is find_batch(None) is find_batch("batch") is None


def test_what_the_hook_refuses_is_put_down_to_its_requirement() -> None:
    class WrongOutputs(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            super().emit(event, **({**given, "outputs": [1.0]} if event == "after_train_iter" else given))

    (finding,) = broken("SCALAR-04", Plan(), WrongOutputs)
    assert "must be given outputs as a mapping" in finding.observed
    assert broken("SCALAR-02", Plan(), WrongOutputs) == []


def test_an_output_that_ends_the_run() -> None:
    class Asserts(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            super().emit(event, **given)
            if event == "after_train_iter" and any(isinstance(each, str) for each in given["outputs"].values()):
                raise AssertionError("no scalar")

    plan = Plan(outputs=(("text", "text"),))
    assert "AssertionError('no scalar')" in {finding.observed for finding in broken("SCALAR-05", plan, Asserts)}
    assert broken("SCALAR-05", plan) == []


@pytest.mark.parametrize("kind", ["nan", "changing", "vector", "none", "text", "dict"])
def test_metrics_of_each_kind_hold_in_a_correct_runner(kind: str) -> None:
    plan = Plan(max_epochs=3, val_batches=1, test_batches=1, metrics=(("value", kind),))
    for requirement in ("SCALAR-06", "SCALAR-07", "SCALAR-08", "SCALAR-09"):
        assert broken(requirement, plan) == []


def test_a_metric_left_in_its_old_place_is_noticed() -> None:
    class Stale(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            super().emit(event, **given)
            if event == "after_val_epoch" and self.epoch == 1:
                self.message_hub.update_scalar("val/changing", 1.0)

        def evaluate(self, stage: str, loader: Any, turn: int) -> None:
            super().evaluate(stage, loader, turn)

    plan = Plan(max_epochs=3, val_batches=1, metrics=(("changing", "changing"),))
    assert findings("SCALAR-08", plan) != []
    # The stale scalar comes after the event: it shows when the metric is a scalar the next time.
    assert broken("SCALAR-06", plan, Stale) == []
    assert {finding.observed for finding in findings("SCALAR-08", plan)} == {"an info", "a scalar"}


# -- hubs


def judged(hub: type[SimpleHub], *ops: HubOp) -> list[tuple[str, Finding]]:
    plan = HubPlan(ops)
    judged = judge_hub(HubSubject("hub", "1", make=hub), plan)
    return [(each.requirement, each.finding) for each in judged if not each.finding.holds]


def test_a_hub_that_raises_is_a_finding_and_no_crash() -> None:
    class Raises(SimpleHub):
        def get_info(self, key: str, default: Any = None) -> Any:
            return self.runtime_info[key]

        def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
            raise OSError("full")

    assert [requirement for requirement, _ in judged(Raises)] == ["HUB-02"]
    requirement, finding = judged(Raises, HubOp("update_info"))[-1]
    assert (requirement, finding.observed) == ("HUB-01", "raises OSError('full')")


def test_a_hub_is_judged_no_further_than_its_first_broken_operation() -> None:
    class Forgets(SimpleHub):
        def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
            pass

    ops = (HubOp("update_info_dict", "epoch", 1), HubOp("pop_info", "epoch"))
    assert {requirement for requirement, _ in judged(Forgets, *ops)} == {"HUB-09"}


def test_what_is_not_published_has_no_flag_to_change() -> None:
    assert judged(SimpleHub, HubOp("flip_resumed", turn=3), HubOp("reload"), HubOp("load_damaged")) == []
