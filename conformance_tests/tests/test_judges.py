"""Corner cases; that each judge notices what it should is in `test_mutants.py` and `test_broken_runners.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from broken_runners import (
    BeginsTheEpochAnew,
    ClosesTheEpochToValidate,
    CountsTheEpochCutShort,
    EntersItsHubForHooksOnly,
    HasNoName,
    KeepsItsFirstHub,
    NeverEntersItsHub,
    PublishesAfterItsHandlers,
    StopsByAnException,
    TellsItsTotalOnce,
    ValidatesInOneEpoch,
)
from odd_runners import ResizesProgressively
from simple_hub import SimpleHub
from simple_trainer import Optimizers, Trainer, correct, subject_of

from runtimeinfo import use_hub
from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance import Batch, Fault, HubSubject, Plan
from runtimeinfo_conformance.judges import JUDGES, Case, Finding
from runtimeinfo_conformance.judges._judge import judge
from runtimeinfo_conformance.judges.hub import judge_hub
from runtimeinfo_conformance.judges.life import find_batch
from runtimeinfo_conformance.observation._execution import execute
from runtimeinfo_conformance.plans import HubOp, HubPlan


def findings(requirement: str, plan: Plan, kind: type[Trainer] = Trainer) -> list[Finding]:
    return [finding for leg in execute(subject_of(kind), plan) for finding in JUDGES[requirement](Case(leg))]


def broken(requirement: str, plan: Plan, kind: type[Trainer] = Trainer) -> list[Finding]:
    return [finding for finding in findings(requirement, plan, kind) if not finding.holds]


def test_each_requirement_has_one_judge() -> None:
    with pytest.raises(ValueError, match="already has a judge"):
        judge("LIFE-01")
    with pytest.raises(ValueError, match="is not a requirement"):
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
    # How often each of the two events came in all; in the only epoch; and that its batch was read.
    assert len(findings("LIFE-03", plan)) == 4


def test_numbers_are_only_asked_of_a_run_that_ended_well() -> None:
    failing = findings("LIFE-03", Plan(batches=3, fault=Fault("before_train_iter", 1)))
    assert [finding.expected for finding in failing if finding.expected is not None] == []
    well = findings("LIFE-03", Plan(batches=3))
    assert [finding.expected for finding in well if finding.expected is not None] == [
        {"before_train_iter": 3},
        {"after_train_iter": 3},
        {"before_train_iter": 3, "after_train_iter": 3},
    ]


def test_no_epoch_comes_if_none_is_expected() -> None:
    none = [Finding(None, {event: 0}, {event: 0}) for event in ("before_train_epoch", "after_train_epoch")]
    assert findings("LIFE-04", Plan(max_epochs=0)) == none
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
    assert find_batch((batch, "target")) is find_batch({"inputs": [batch], "target": 1}) is batch
    assert (
        find_batch([batch, batch]) is find_batch([[batch, batch], batch]) is find_batch({1: batch, 2: (batch,)}) is None
    )
    assert find_batch(None) is find_batch("batch") is find_batch(()) is None


def test_refusal_of_the_hook_names_its_requirement() -> None:
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
    assert "AssertionError('no scalar')" in {repr(finding.observed) for finding in broken("SCALAR-05", plan, Asserts)}
    assert broken("SCALAR-05", plan) == []


@pytest.mark.parametrize("kind", ["nan", "changing", "vector", "none", "text", "dict"])
def test_metrics_of_each_kind_hold_in_a_correct_runner(kind: str) -> None:
    plan = Plan(max_epochs=3, val_batches=1, test_batches=1, metrics=(("value", kind),))
    for requirement in ("SCALAR-06", "SCALAR-07", "SCALAR-08", "SCALAR-09"):
        assert broken(requirement, plan) == []


def appending_after_the_validation_of(epoch: int) -> type[Trainer]:
    class Stale(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            super().emit(event, **given)
            if event == "after_val_epoch" and self.epoch == epoch:
                self.message_hub.update_scalar("val/changing", 1.0)

    return Stale


def test_a_metric_left_in_its_old_place_is_noticed() -> None:
    plan = Plan(max_epochs=3, val_batches=1, metrics=(("changing", "changing"),))
    assert {finding.observed for finding in findings("SCALAR-08", plan)} == {"an info", "a scalar"}
    # After the first validation the metric is a scalar, after the second one an info.
    assert [each.observed for each in broken("SCALAR-06", plan, appending_after_the_validation_of(1))] == [
        {"val/changing": [1.0]}
    ]
    assert broken("SCALAR-08", plan, appending_after_the_validation_of(1)) == []
    stale = appending_after_the_validation_of(2)
    assert {each.observed for each in broken("SCALAR-08", plan, stale)} == {"a scalar and an info"}
    # The history that begins with the next validation has a value already.
    assert [len(each.observed["val/changing"]) for each in broken("SCALAR-06", plan, stale)] == [2]


def publishing_again(event_changed: str, *keys: str) -> type[Trainer]:
    """Return a runner that publishes the latest values of some scalars, and of infos, once more at an event."""

    class PublishesAgain(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            if event == event_changed:
                for key in keys:
                    if key in self.message_hub.log_scalars:
                        self.message_hub.update_scalar(key, self.message_hub.get_scalar(key).current())
                    elif key in self.message_hub.runtime_info:
                        self.message_hub.update_info(key, "another")
            super().emit(event, **given)

    return PublishesAgain


@pytest.mark.parametrize(
    ("event", "key", "requirement"),
    [
        ("before_train_epoch", "train/lr", "SCALAR-02"),
        ("after_train_iter", "train/lr", "SCALAR-02"),
        ("after_run", "train/lr", "SCALAR-02"),
        ("before_train_iter", "train/loss", "SCALAR-04"),
        ("after_train", "train/loss", "SCALAR-04"),
        ("before_val", "val/acc", "SCALAR-06"),
        ("after_train_epoch", "val/acc", "SCALAR-06"),
        ("before_train_iter", "val/matrix", "SCALAR-07"),
        ("after_run", "test/acc", "SCALAR-09"),
        ("after_run", "test/matrix", "SCALAR-09"),
    ],
)
def test_a_value_that_is_published_at_another_event_is_noticed(event: str, key: str, requirement: str) -> None:
    metrics = (("acc", "float"), ("matrix", "vector"))
    plan = Plan(max_epochs=2, val_batches=1, test_batches=1, outputs=(("loss", "float"),), metrics=metrics)
    assert broken_by_any(plan) == set()
    assert broken_by_any(plan, publishing_again(event, key)) == {requirement}


def test_a_history_that_loses_its_beginning_is_noticed() -> None:
    class Forgets(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            if event == "before_val":
                for history in self.message_hub.log_scalars.values():
                    del history.entries[:2]  # a value and its count
            super().emit(event, **given)

    plan = Plan(batches=2, val_batches=1, outputs=(("loss", "float"),))
    assert broken_by_any(plan, Forgets) >= {"SCALAR-02", "SCALAR-04"}


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

    assert {requirement for requirement, _ in judged(Raises)} == {"HUB-02"}
    requirement, finding = judged(Raises, HubOp("update_info"))[-1]
    assert (requirement, finding.observed) == ("HUB-01", "raises OSError('full')")


def test_a_hub_is_judged_no_further_than_its_first_broken_operation() -> None:
    class Forgets(SimpleHub):
        def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
            pass

    ops = (HubOp("update_info_dict", "epoch", 1), HubOp("pop_info", "epoch"))
    assert {requirement for requirement, _ in judged(Forgets, *ops)} == {"HUB-09"}


def test_unpublished_keys_have_no_flag() -> None:
    assert judged(SimpleHub, HubOp("flip_resumed", turn=3), HubOp("reload"), HubOp("load_damaged")) == []


# -- what came with spec 0.2: in a good case, in bad ones, and where it does not matter


def second_run(kind: type[Trainer], **given: Any) -> list[Finding]:
    return broken("LIFE-10", Plan(batches=2, repeat=True, **given), kind)


def test_a_second_run_like_the_first() -> None:
    assert second_run(Trainer) == []
    plan = Plan(batches=2, val_batches=1, repeat=True, fault=Fault("before_val_iter", kind="interrupt"))
    assert broken("LIFE-10", plan) == []
    # An entry for each event, and one for how many there were.
    assert len(findings("LIFE-10", Plan(repeat=True))) == len(execute(correct(), Plan())[0].records) + 1
    assert findings("LIFE-10", Plan(batches=2)) == []


def test_a_second_run_that_goes_on_where_the_first_ended() -> None:
    class KeepsItsCounters(Trainer):
        done = 0

        def __init__(self, plan: Plan, hooks: Any) -> None:
            super().__init__(plan, hooks)
            self.iter = KeepsItsCounters.done

        def run(self) -> None:
            super().run()
            KeepsItsCounters.done = self.iter

    class KeepsItsInfos(Trainer):
        kept: ClassVar[dict[str, Any]] = {}

        def __init__(self, plan: Plan, hooks: Any) -> None:
            super().__init__(plan, hooks)
            self.message_hub.update_info_dict(self.kept)

        def run(self) -> None:
            super().run()
            self.kept["of the run before"] = 1

    class TrainsButOnce(Trainer):
        has_trained = False

        def train(self) -> None:
            if not TrainsButOnce.has_trained:
                super().train()
            TrainsButOnce.has_trained = True

    observed = second_run(KeepsItsCounters)[0].observed
    assert (observed["event"], observed["iter"]) == ("before_train", 2)
    assert "of the run before" in second_run(KeepsItsInfos)[0].observed["infos"]
    assert second_run(TrainsButOnce)[-1].at is None


def test_a_second_run_after_a_first_that_failed_is_compared_with_nothing() -> None:
    class FailsAtFirst(Trainer):
        runs = 0

        def run(self) -> None:
            FailsAtFirst.runs += 1
            if FailsAtFirst.runs == 1:
                raise ZeroDivisionError
            super().run()

    assert findings("LIFE-10", Plan(repeat=True), FailsAtFirst) == []


def test_a_training_that_is_made_again_is_like_the_first() -> None:
    plan = Plan(max_epochs=2, batches=2, val_batches=1, metrics=(("acc", "float"),), again=True)
    assert broken_by_any(plan) == set()
    assert len(findings("LIFE-10", plan)) == len(execute(correct(), plan)[0].records) + 1
    assert broken_by_any(plan, KeepsItsFirstHub) == {"LIFE-10"}
    kept = broken("LIFE-10", plan, KeepsItsFirstHub)[-1].observed["val/acc"]
    assert kept == kept[:2] * 2


def test_each_loader_has_an_epoch() -> None:
    class OnlyTheFirst(Trainer):
        def evaluate(self, stage: str, loaders: Any) -> None:
            super().evaluate(stage, loaders[:1])

    class InReverse(Trainer):
        def evaluate(self, stage: str, loaders: Any) -> None:
            super().evaluate(stage, loaders[::-1])

    class InTwoValidations(Trainer):
        def evaluate(self, stage: str, loaders: Any) -> None:
            for loader in loaders:
                super().evaluate(stage, [loader])

    plan = Plan(max_epochs=2, val_batches=1, val_loaders=2)
    assert [each.expected for each in findings("LIFE-11", plan)] == [{"batches of each epoch": [1, 2]}] * 2
    assert broken("LIFE-11", plan) == []
    assert broken("LIFE-11", plan, ValidatesInOneEpoch)[0].observed == {"batches of each epoch": [3]}
    assert broken("LIFE-11", plan, OnlyTheFirst)[0].observed == {"batches of each epoch": [1]}
    assert broken("LIFE-11", plan, InReverse)[0].observed == {"batches of each epoch": [2, 1]}
    assert len(broken("LIFE-11", plan, InTwoValidations)) == 4


def test_loaders_of_an_aborted_validation_are_not_counted() -> None:
    plan = Plan(val_batches=1, val_loaders=2, fault=Fault("before_val_iter", 1))
    assert findings("LIFE-11", plan) == []


@pytest.mark.parametrize(
    "plan", [Plan(val_batches=1), Plan(val_loaders=2), Plan(max_epochs=0, val_batches=1)], ids=repr
)
def test_without_several_loaders_it_does_not_matter(plan: Plan) -> None:
    assert findings("LIFE-11", plan) == []


class FinishesItsEpoch(Trainer):
    """Looks whether to stop when an epoch is over, as some frameworks do."""

    def train_batches(self) -> None:
        for index, batch in enumerate(self.train_dataloader):
            self.train_iter(index, batch)
            self.iter += 1
            self.has_stopped = self.has_stopped or batch.stop


class NeverStops(Trainer):
    def train_batches(self) -> None:
        super().train_batches()
        self.has_stopped = False


class StopsBefore(Trainer):
    """Leaves out the very iteration that asks to stop."""

    def train_iter(self, index: int, batch: Any) -> None:
        if not batch.stop:
            super().train_iter(index, batch)


class LeavesTheEpochOpen(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        if event != "after_train_epoch" or not self.has_stopped:
            super().emit(event, **given)


class RaisesAtTheEnd(Trainer):
    def fit(self) -> None:
        super().fit()
        if self.has_stopped:
            raise RuntimeError("stopped")


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("kind", [Trainer, FinishesItsEpoch])
def test_to_stop_at_once_or_with_the_epoch(stop_after: int, kind: type[Trainer]) -> None:
    plan = Plan(max_epochs=2, batches=3, stop_after=stop_after)
    assert broken("LIFE-12", plan, kind) == []
    assert findings("LIFE-12", plan, kind) != []


@pytest.mark.parametrize(
    ("kind", "observed"),
    [
        (NeverStops, ["5 iterations", {"before_train_epoch": 2}, {"after_train_epoch": 2}]),
        (StopsBefore, ["1 iterations"]),
        (LeavesTheEpochOpen, [{"after_train_epoch": 0}]),
        (StopsByAnException, [{"on_exception": 1}]),
    ],
)
def test_to_stop_in_another_way(kind: type[Trainer], observed: list[Any]) -> None:
    plan = Plan(max_epochs=2, batches=3, stop_after=2)
    assert [finding.observed for finding in broken("LIFE-12", plan, kind)] == observed


def test_to_stop_and_raise_at_the_end() -> None:
    (finding,) = broken("LIFE-12", Plan(max_epochs=2, batches=3, stop_after=2), RaisesAtTheEnd)
    assert (finding.expected, repr(finding.observed)) == ("no exception", "RuntimeError('stopped')")


@pytest.mark.parametrize("plan", [Plan(batches=2), Plan(batches=2, stop_after=1, fault=Fault("before_run"))], ids=repr)
def test_early_stop_rule_needs_a_stop(plan: Plan) -> None:
    assert findings("LIFE-12", plan) == []


def test_a_training_that_is_stopped_has_no_numbers_of_others() -> None:
    plan = Plan(max_epochs=2, batches=3, val_batches=1, stop_after=1)
    in_all = [finding for id in ("LIFE-03", "LIFE-06") for finding in findings(id, plan) if finding.at is None]
    assert in_all == findings("LIFE-04", plan) == []


class ValidatesLate(Trainer):
    """Makes the validations of an epoch when it is over."""

    def after_iter(self, index: int) -> None:
        self.iter_due = getattr(self, "iter_due", 0) + self.plan.validates_after(index)

    def train_epoch(self) -> None:
        super().train_epoch()
        for _ in range(getattr(self, "iter_due", 0)):
            self.validate(is_due=True)
        self.iter_due = 0


class ValidatesOnceMore(Trainer):
    def after_iter(self, index: int) -> None:
        super().after_iter(index)
        self.validate(self.plan.validates_after(index))


class ValidatesTooSoon(Trainer):
    def after_iter(self, index: int) -> None:
        self.validate(self.plan.validates_after(index + 1))


def test_a_validation_stands_inside_its_epoch() -> None:
    plan = Plan(max_epochs=2, batches=3, val_batches=1, val_interval=2)
    assert broken("LIFE-13", plan) == []
    # When each iteration begins, and when the epoch ends.
    expected = [finding.expected["validations inside this epoch"] for finding in findings("LIFE-13", plan)]
    assert expected == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("kind", [ValidatesLate, ValidatesOnceMore, ValidatesTooSoon, ClosesTheEpochToValidate])
def test_a_validation_stands_somewhere_else(kind: type[Trainer]) -> None:
    assert broken("LIFE-13", Plan(max_epochs=2, batches=3, val_batches=1, val_interval=2), kind) != []


def test_a_validation_inside_an_epoch_that_goes_on() -> None:
    plan = Plan(batches=3, val_batches=1, val_interval=2, resume_after=0, resume_batch=1)
    assert broken("LIFE-13", plan) == []
    assert findings("LIFE-13", plan) != []


@pytest.mark.parametrize(
    "plan",
    [Plan(val_batches=1), Plan(val_interval=1), Plan(max_epochs=0, val_batches=1, val_interval=1)],
    ids=repr,
)
def test_without_validations_inside_it_does_not_matter(plan: Plan) -> None:
    assert findings("LIFE-13", plan) == []


class SkipsOneTooMany(Trainer):
    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load({**checkpoint, "batches": checkpoint["batches"] + 1})


class SkipsTheEpoch(Trainer):
    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load({**checkpoint, "batches": 9})


class RepeatsTheFirst(Trainer):
    """Makes as many iterations as are left, but on the first batches."""

    def train_batches(self) -> None:
        left = len(self.train_dataloader) - self.batches_to_skip
        for index, batch in zip(range(left), list(self.train_dataloader), strict=False):
            self.train_iter(index, batch)
            self.iter += 1
            self.after_iter(index)


def test_an_epoch_goes_on_with_the_next_batch() -> None:
    plan = Plan(max_epochs=2, batches=3, resume_after=0, resume_batch=1)
    assert broken("RESUME-03", plan) == []
    assert {"batch": 1} in [finding.expected for finding in findings("RESUME-03", plan)]


@pytest.mark.parametrize(
    ("kind", "observed"),
    [
        (BeginsTheEpochAnew, [{"batches left": 3}, {"batch": 0}]),
        (SkipsOneTooMany, [{"batches left": 1}, {"batch": 2}]),
        (SkipsTheEpoch, [{"batches left": 0}, {"batch": 0}]),
        (RepeatsTheFirst, [{"batch": 0}]),
    ],
)
def test_an_epoch_goes_on_with_another_batch(kind: type[Trainer], observed: list[Any]) -> None:
    plan = Plan(max_epochs=2, batches=3, resume_after=0, resume_batch=1)
    found = [finding.observed for finding in broken("RESUME-03", plan, kind)]
    assert [each for each in observed if each not in found] == []


def test_a_batch_that_is_not_shown_is_no_wrong_one() -> None:
    class ShowsNone(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            super().emit(event, **{**given, "data_batch": None})

    plan = Plan(max_epochs=2, batches=3, resume_after=0, resume_batch=1)
    assert broken("RESUME-03", plan, ShowsNone) == []


@pytest.mark.parametrize("plan", [Plan(batches=3), Plan(max_epochs=2, batches=3, resume_after=1)], ids=repr)
def test_an_epoch_that_begins_with_its_first_batch_does_not_matter(plan: Plan) -> None:
    assert findings("RESUME-03", plan) == []


def test_a_batch_of_an_evaluation_is_only_a_should() -> None:
    class GivesTheLast(Trainer):
        def scope(self, name: str, body: Any, **given: Any) -> None:
            if name in {"val_iter", "test_iter"}:
                given["data_batch"] = Batch(name.removesuffix("_iter"), given["batch_idx"] - 1, {})  # type: ignore[arg-type]
            super().scope(name, body, **given)

    plan = Plan(val_batches=2, test_batches=1)
    assert REQUIREMENTS["LIFE-14"].level == "SHOULD"
    assert broken("LIFE-14", plan) == broken("LIFE-09", plan, GivesTheLast) == []
    assert {finding.observed for finding in broken("LIFE-14", plan, GivesTheLast)} == {
        ("val", -1), ("val", 0), ("test", -1),
    }  # fmt: skip
    assert findings("LIFE-14", Plan()) == []


# -- what current_hub() answers


class EntersAWrapper(Trainer):
    """Has a reader for components, which is not the hub, nor a hub at all."""

    def fit(self) -> None:
        hub = self.message_hub
        with use_hub(SimpleNamespace(get_info=hub.get_info, get_scalar=hub.get_scalar)):
            self.scope("run", self.run)


class EntersOutsideItsThread(Trainer):
    def fit(self) -> None:
        thread = threading.Thread(target=super().fit)
        with use_hub(self.message_hub):
            thread.start()
            thread.join()


class SavesOutsideTheRun(Trainer):
    def fit(self) -> None:
        self.message_hub.update_info("myfw/saved", 1)
        self.emit("before_save_checkpoint", checkpoint={})
        super().fit()
        self.emit("before_save_checkpoint", checkpoint={})


class RefusedWithoutHub(HasNoName, NeverEntersItsHub):
    pass


@pytest.mark.parametrize("kind", [Trainer, EntersAWrapper, EntersOutsideItsThread, SavesOutsideTheRun])
def test_a_component_finds_the_run(kind: type[Trainer]) -> None:
    plan = Plan(outputs=(("loss", "float"),), val_batches=1, test_batches=1)
    assert broken("LIFE-15", plan, kind) == []
    (leg,) = execute(subject_of(kind), plan)
    inside = [record for record in leg.records if record.event != "before_save_checkpoint"]
    looks = 2  # as the batch begins, and in the step
    assert len(findings("LIFE-15", plan, kind)) == len(inside) + 3 + looks, "at each event, each read and each look"


def test_empty_hub_has_nothing_to_find() -> None:
    assert findings("LIFE-15", Plan(), RefusedWithoutHub) == []


class EntersInItsTraining(NeverEntersItsHub):
    def train(self) -> None:
        with use_hub(self.message_hub):
            super().train()


class LeavesAtAnException(NeverEntersItsHub):
    def fit(self) -> None:
        with ExitStack() as self.entered:
            self.entered.enter_context(use_hub(self.message_hub))
            super().fit()

    def announce(self, error: BaseException) -> None:
        self.entered.close()
        super().announce(error)


class EntersTheHubOfAnotherRun(NeverEntersItsHub):
    def fit(self) -> None:
        another = SimpleHub()
        for key in ("iter", "epoch"):
            another.update_info(key, 0)
        with use_hub(another):
            super().fit()


@pytest.mark.parametrize(
    ("kind", "events"),
    [
        (EntersInItsTraining, ["before_run", "before_train", "after_train", "after_run"]),
        (LeavesAtAnException, ["on_exception", "after_train_iter", "after_train_epoch", "after_train", "after_run"]),
    ],
)
def test_a_component_does_not_find_the_run_everywhere(kind: type[Trainer], events: list[str]) -> None:
    plan = Plan(fault=Fault("before_train_iter") if kind is LeavesAtAnException else None)
    (leg,) = execute(subject_of(kind), plan)
    assert [leg.records[finding.at or 0].event for finding in broken("LIFE-15", plan, kind)] == events


def test_a_component_does_not_find_the_run_between_the_events() -> None:
    found = broken("LIFE-15", Plan(batches=2), EntersItsHubForHooksOnly)
    (first, second) = [each for each in found if "where data is read" in each.expected]
    assert first.expected["where data is read"].keys() > {"iter", "epoch", "loop_stage", "seed"}
    assert set(first.observed["where data is read"].values()) == {"nothing published"}
    assert (first.at, second.at) == (2, 4)
    looks = [each for each in found if "where data is read" not in each.expected]
    assert [next(iter(each.observed.items())) for each in looks] == [("batch_begin", "none"), ("step", "none")] * 2


def test_a_component_finds_another_run() -> None:
    plan = Plan(batches=2)
    last = [each for each in broken("LIFE-15", plan, EntersTheHubOfAnotherRun) if "seed" in each.expected][-1]
    assert (last.expected["iter"], last.observed["iter"]) == (2, 0)
    assert last.observed["experiment_name"] == "nothing published"
    first = broken("LIFE-15", plan, EntersTheHubOfAnotherRun)[1]
    assert "iter" not in first.expected, "what is the same is not told"


# -- hubs: what NumPy says of infinities


def test_infinities_of_both_signs_are_no_warning() -> None:
    ops = (HubOp("update_scalar", "train/loss", "inf"), HubOp("update_scalar", "train/loss", "minus_inf"))
    assert judged(SimpleHub, *ops) == []


# -- what a training that was stopped goes on with


def broken_by_any(plan: Plan, kind: type[Trainer] = Trainer) -> set[str]:
    cases = [Case(leg) for leg in execute(subject_of(kind), plan)]
    return {id for id in JUDGES for case in cases for finding in JUDGES[id](case) if not finding.holds}


class BeginsWithTheNextEpoch(Trainer):
    """Passes over an epoch whose batches are all done, instead of opening it once more."""

    def load(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint["batches"] == self.plan.batches:
            checkpoint = {**checkpoint, "epoch": checkpoint["epoch"] + 1, "batches": 0}
        super().load(checkpoint)


class TakesIterationsForOneEpoch(Trainer):
    """Goes through the data as often as it takes, in a single epoch that does not count."""

    def train(self) -> None:
        if self.plan.iterations is None:
            super().train()
            return
        self.scope("train_epoch", self.train_on)

    def train_on(self) -> None:
        while not self.has_stopped:
            super().train_batches()

    def train_iter(self, index: int, batch: Any) -> None:
        super().train_iter(index if self.plan.iterations is None else self.iter, batch)


RESUMED_AT_END = [
    Plan(max_epochs=2, batches=2, resume_after=0, resume_batch=2, val_batches=1),
    Plan(max_epochs=2, batches=2, resume_after=1, resume_batch=2, val_batches=1),
]


@pytest.mark.parametrize("kind", [Trainer, BeginsWithTheNextEpoch])
@pytest.mark.parametrize("plan", RESUMED_AT_END, ids=repr)
def test_an_epoch_whose_batches_are_done_is_opened_once_more_or_passed_over(kind: type[Trainer], plan: Plan) -> None:
    assert broken_by_any(plan, kind) == set()


def test_an_epoch_whose_batches_are_done_does_not_count_twice() -> None:
    class CountsItTwice(Trainer):
        def load(self, checkpoint: dict[str, Any]) -> None:
            super().load({**checkpoint, "epoch": checkpoint["epoch"] + 1})

        def train(self) -> None:
            self.train_epoch()
            self.epoch += 1
            super().train()

    (finding,) = broken("COUNT-12", RESUMED_AT_END[1], CountsItTwice)
    assert (finding.expected, finding.observed) == ({"epoch": 2, "iter": 4}, {"epoch": 3, "iter": 4})


@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", [Trainer, TakesIterationsForOneEpoch])
def test_a_training_by_iterations(kind: type[Trainer], iterations: int) -> None:
    assert broken_by_any(Plan(max_epochs=9, batches=2, iterations=iterations, val_batches=1), kind) == set()


@pytest.mark.parametrize("stopped_by", ["interrupt", "stop", "iterations"])
def test_an_epoch_that_was_cut_short_goes_on(stopped_by: Any) -> None:
    bound = {"iterations": 6} if stopped_by == "iterations" else {}
    plan = Plan(max_epochs=2, batches=3, resume_after=1, resume_batch=1, stopped_by=stopped_by, **bound)
    assert broken_by_any(plan) == set()
    assert findings("RESUME-04", plan) != []


@pytest.mark.parametrize("stopped_by", ["stop", "iterations"])
def test_an_epoch_that_was_cut_short_counts_as_completed(stopped_by: Any) -> None:
    bound = {"iterations": 6} if stopped_by == "iterations" else {}
    plan = Plan(max_epochs=2, batches=3, resume_after=0, resume_batch=1, stopped_by=stopped_by, **bound)
    (finding,) = broken("RESUME-01", plan, CountsTheEpochCutShort)
    assert (finding.expected, finding.observed) == ({"epoch": 0, "iter": 1}, {"epoch": 1, "iter": 1})
    assert broken_by_any(plan, CountsTheEpochCutShort) >= {"COUNT-03", "COUNT-12", "RESUME-03", "RESUME-04"}
    assert broken_by_any(Plan(max_epochs=2, batches=3, resume_after=0, resume_batch=1), CountsTheEpochCutShort) == set()


def test_an_epoch_that_failed_is_not_counted() -> None:
    class CountsTheEpoch(Trainer):
        def train_epoch(self) -> None:
            with ExitStack() as counting:
                counting.callback(lambda: setattr(self, "epoch", self.epoch + 1))
                super().train_epoch()
                counting.pop_all()

    plan = Plan(batches=2, fault=Fault("before_train_iter", 1))
    (leg,) = execute(subject_of(CountsTheEpoch), plan)
    found = broken("FAIL-04", plan, CountsTheEpoch)
    assert [leg.records[finding.at or 0].event for finding in found] == ["after_train", "after_run"]
    for finding in found:
        assert (finding.expected, finding.observed) == ({"epoch": 0, "iter": 1}, {"epoch": 1, "iter": 1})


def test_the_epoch_does_not_change_while_it_lasts() -> None:
    class CountsAtTheFirstBatch(Trainer):
        def train_iter(self, index: int, batch: Any) -> None:
            self.epoch += index == 1
            super().train_iter(index, batch)
            self.epoch -= index == 1

    assert len(findings("COUNT-04", Plan(batches=2))) == 5
    assert len(broken("COUNT-04", Plan(batches=2), CountsAtTheFirstBatch)) == 2


# -- how long a training is


class KnowsAllLengths(Trainer):
    def train_epoch(self) -> None:
        self.max_iters = self.plan.max_iters
        self.scope("train_epoch", self.train_batches)


class KnowsNoLength(Trainer):
    def train_epoch(self) -> None:
        self.max_iters = None
        self.scope("train_epoch", self.train_batches)


def test_the_total_follows_the_length_of_each_epoch() -> None:
    plan = Plan(max_epochs=3, lengths=(1, 3, 2), outputs=(("loss", "float"),), schedule=True, val_batches=1)
    assert broken_by_any(plan) == broken_by_any(plan, KnowsAllLengths) == broken_by_any(plan, KnowsNoLength) == set()
    assert [finding.observed for finding in findings("COUNT-13", plan)] == [3, 7, 7, 7, 6, 6]
    assert {finding.observed for finding in broken("COUNT-13", plan, TellsItsTotalOnce)} == {3}
    assert broken_by_any(plan, TellsItsTotalOnce) == {"COUNT-13"}
    assert findings("COUNT-08", plan) == findings("COUNT-13", Plan()) == []


def test_a_total_is_looked_at_to_the_end() -> None:
    class LosesItsTotals(Trainer):
        def train(self) -> None:
            super().train()
            self.message_hub.pop_info("max_epochs")
            self.message_hub.update_info("max_iters", 9)

    for requirement, observed in (("COUNT-07", "nothing published"), ("COUNT-08", 9)):
        assert [finding.observed for finding in broken(requirement, Plan(), LosesItsTotals)] == [observed] * 2


# -- what is told as a batch begins


class PublishesAheadOfItsHandlers(PublishesAfterItsHandlers):
    def train_iter(self, index: int, batch: Any) -> None:
        self.message_hub.update_info("iter", self.iter)
        super().train_iter(index, batch)


def test_a_component_is_told_the_iteration_that_begins() -> None:
    plan = Plan(max_epochs=2, batches=2, outputs=(("loss", "float"),), schedule=True)
    assert broken_by_any(plan) == broken_by_any(plan, PublishesAheadOfItsHandlers) == set()
    assert len(findings("COUNT-14", plan)) == 8
    late = broken("COUNT-14", plan, PublishesAfterItsHandlers)
    assert [(finding.expected, finding.observed) for finding in late] == [
        ({"batch_begin": {"epoch": 0, "iter": 1}}, {"batch_begin": {"epoch": 0, "iter": 0}}),
        ({"batch_begin": {"epoch": 1, "iter": 3}}, {"batch_begin": {"epoch": 1, "iter": 2}}),
    ]


def test_a_component_in_a_step_alone_does_not_matter() -> None:
    class HasNoHandlers(Trainer):
        def train_iter(self, index: int, batch: Any) -> None:
            self.scope("train_iter", lambda: {"outputs": batch.outputs}, batch_idx=index, data_batch=batch)

    assert findings("COUNT-14", Plan(outputs=(("loss", "float"),)), HasNoHandlers) == []


# -- the learning rate of what failed


class KeepsItsRates(Trainer):
    """Has a hub that takes nothing back."""

    def __init__(self, plan: Plan, hooks: Any) -> None:
        super().__init__(plan, hooks)
        self.message_hub.drop_latest = lambda _key: None


IN_AN_ITERATION = [Fault(event, 1) for event in ("before_train_iter", "train_step", "after_train_iter")]


@pytest.mark.parametrize("fault", IN_AN_ITERATION, ids=repr)
def test_an_iteration_that_failed_leaves_no_rate(fault: Fault) -> None:
    plan = Plan(batches=3, outputs=(("loss", "float"),), schedule=True, optimizers=("a", "b"), fault=fault)
    assert {str(finding.expected) for finding in findings("SCALAR-11", plan)} == {
        "{'train/a.lr': [1.0]}", "{'train/b.lr': [1.0625]}"
    }  # fmt: skip
    assert broken("SCALAR-11", plan) == []
    (finding, _) = broken("SCALAR-11", plan, KeepsItsRates)
    assert finding.observed == {"train/a.lr": [1.0, 0.5]}


@pytest.mark.parametrize("place", ["before_run", "before_train_epoch", "train_data", "before_val", "after_run"])
def test_rates_stay_if_no_iteration_fails(place: str) -> None:
    plan = Plan(max_epochs=2, val_batches=1, fault=Fault(place, int(place in {"before_train_epoch", "train_data"})))
    assert findings("SCALAR-11", plan) == []
    assert findings("SCALAR-11", Plan(batches=2)) == []


# -- validations that are due, counters at each event, and rates of all groups


class ValidatesAtTheEndOnly(Trainer):
    def validate(self, is_due: bool) -> None:
        super().validate(is_due and (self.epoch == self.plan.epochs or self.plan.val_interval is not None))


class SkipsTheLastValidation(Trainer):
    def validate(self, is_due: bool) -> None:
        super().validate(is_due and self.epoch < self.plan.epochs)


class ValidatesBeforeItsEpoch(Trainer):
    def train_batches(self) -> None:
        super().validate(self.plan.validates_after_epoch)
        super().train_batches()

    def validate(self, is_due: bool) -> None:
        super().validate(is_due and not self.plan.validates_after_epoch)


@pytest.mark.parametrize("kind", [ValidatesAtTheEndOnly, SkipsTheLastValidation, ValidatesBeforeItsEpoch])
def test_a_validation_that_is_due_is_made(kind: type[Trainer]) -> None:
    plan = Plan(max_epochs=3, val_batches=0)
    assert [finding.holds for finding in findings("LIFE-16", plan)] == [True] * 4
    assert broken_by_any(plan, kind) == {"LIFE-16"}


@pytest.mark.parametrize("where", ["val_before", "val_after"])
def test_a_validation_around_the_training_is_made(where: str) -> None:
    class OnlyInBetween(Trainer):
        def validate(self, is_due: bool) -> None:
            super().validate(is_due and self.is_training)

        is_training = False

        def train(self) -> None:
            self.is_training = True
            super().train()
            self.is_training = False

    for interval in (None, 1):
        plan = Plan(val_batches=0, val_interval=interval, **{where: True})
        assert broken_by_any(plan) == set()
        assert broken_by_any(plan, OnlyInBetween) == {"LIFE-16"}


def test_stop_may_skip_a_due_validation() -> None:
    plan = Plan(max_epochs=3, batches=2, val_batches=0, stop_after=3)
    assert broken("LIFE-16", plan, SkipsTheLastValidation) == []
    assert [finding.at for finding in broken("LIFE-16", plan, ValidatesAtTheEndOnly)] == [2]


class CountsTheEpochAfterItsValidation(Trainer):
    def train(self) -> None:
        while not self.has_stopped and self.epoch < self.plan.epochs:
            self.train_epoch()
            self.validate(self.plan.validates_after_epoch)
            self.epoch += 1


def test_the_counters_are_right_at_each_event() -> None:
    plan = Plan(max_epochs=2, batches=2, val_batches=1)
    assert broken_by_any(plan) == set()
    assert broken_by_any(plan, CountsTheEpochAfterItsValidation) == {"COUNT-15"}


def with_rates(change: Callable[[dict[str, list[float]]], dict[str, list[float]]]) -> type[Trainer]:
    class Changed(Optimizers):
        def get_lr(self) -> dict[str, list[float]]:
            return change(self.rates)

    class ChangesItsRates(Trainer):
        make_optimizers = Changed

    return ChangesItsRates


def exchanged(rates: dict[str, list[float]]) -> dict[str, list[float]]:
    return dict(zip(rates, reversed(rates.values()), strict=True))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rates: {name: each[:1] for name, each in rates.items()}, id="without the second group"),
        pytest.param(lambda rates: dict(list(rates.items())[:1]), id="without the second optimizer"),
        pytest.param(exchanged, id="with exchanged names"),
        pytest.param(
            lambda rates: {f"SGD{index}": each for index, each in enumerate(rates.values())}, id="without names"
        ),
    ],
)
def test_each_optimizer_has_the_rates_of_its_groups(change: Any) -> None:
    plan = Plan(optimizers=("generator", "critic"), groups=2)
    assert broken_by_any(plan) == set()
    assert broken_by_any(plan, with_rates(change)) == {"SCALAR-12"}


def test_exchanged_rates_are_noticed_under_a_schedule() -> None:
    plan = Plan(batches=2, optimizers=("generator", "critic"), schedule=True)
    assert broken_by_any(plan, with_rates(exchanged)) == {"SCALAR-03"}


# -- several trainings in one run, and the same runner twice


def test_a_training_of_several_has_no_other_totals_than_its_own() -> None:
    class AnnouncesTooMany(ResizesProgressively):
        def begin(self, until: int) -> None:
            super().begin(until)
            self.max_epochs = self.max_iters = self.plan.max_iters + 1

    plan = Plan(max_epochs=3, batches=2)
    assert broken_by_any(plan, ResizesProgressively) == set()
    assert broken_by_any(plan, AnnouncesTooMany) == {"COUNT-07", "COUNT-08"}


def test_a_training_that_was_asked_for_epochs_tells_their_number() -> None:
    class TellsNothing(Trainer):
        def __init__(self, plan: Plan, hooks: Any) -> None:
            super().__init__(plan, hooks)
            self.max_epochs = None

    assert broken_by_any(Plan(max_epochs=2, sized=False), TellsNothing) == {"COUNT-07"}


def test_a_total_that_was_known_stays_known() -> None:
    class Forgets(Trainer):
        def train_epoch(self) -> None:
            super().train_epoch()
            self.max_iters = None

    assert broken_by_any(Plan(max_epochs=2), Forgets) == {"COUNT-08"}


class TrainsTwice(Trainer):
    """Trains twice with the same object, which forgets all of the first time but what it is told to keep."""

    keeps: tuple[str, ...] = ()

    def fit_as_often_as_planned(self) -> None:
        self.fit()
        kept = {name: getattr(self, name) for name in self.keeps}
        type(self).__init__(self, self.plan, self.given)
        vars(self).update(kept)
        self.fit()


@pytest.mark.parametrize(
    "kept", [(), ("epoch",), ("iter",), ("message_hub",), ("validated",), ("max_iters", "max_epochs"), ("seed",)]
)
def test_a_runner_that_trains_twice_begins_with_nothing(kept: tuple[str, ...]) -> None:
    class Keeps(TrainsTwice):
        keeps = kept

        def fit(self) -> None:
            super().fit()
            self.max_iters, self.max_epochs, self.seed = 99, 98, 97

    plan = Plan(max_epochs=2, batches=2, val_batches=1, metrics=(("acc", "float"),), again=True)
    assert ("LIFE-10" in broken_by_any(plan, Keeps)) == bool(kept)
