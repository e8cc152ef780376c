"""What goes wrong in training loops that somebody else may write."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from simple_hub import SimpleHub
from simple_trainer import Trainer

from runtimeinfo import use_hub
from runtimeinfo.authoring import Dispatcher
from runtimeinfo_conformance import Plan

# -- what goes wrong


class CountsOptimizerSteps(Trainer):
    def after_iter(self, index: int) -> None:
        self.iter -= (index + 1) % self.plan.accumulation != 0
        super().after_iter(index)


class LeavesEmptyEpochOpen(Trainer):
    def train_epoch(self) -> None:
        if not self.plan.batches:
            self.emit("before_train_epoch")
            return
        super().train_epoch()


class LeavesScopesOpen(Trainer):
    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        self.emit(f"before_{name}", **given)
        try:
            results = body()
        except BaseException as error:
            self.announce(error)
            raise
        self.emit(f"after_{name}", **given, **(results or {}))


class StaysStopped(Trainer):
    """Keeps the wish to stop for the next training."""

    def fit_as_often_as_planned(self) -> None:
        self.fit()
        if self.plan.again:
            was_stopped = self.has_stopped
            type(self).__init__(self, self.plan, self.given)
            self.has_stopped = was_stopped
            self.fit()


class LeavesItsHubInSteps(Trainer):
    """Enters its hub for hooks, data and the handlers of a batch, and another one for the step."""

    def train_iter(self, index: int, batch: Any) -> None:
        def step() -> dict[str, Any]:
            self.plan.on_batch_begin()
            with use_hub(SimpleHub()):
                return {"outputs": batch.outputs}

        self.scope("train_iter", step, batch_idx=index, data_batch=batch)


class SwallowsInterrupts(Trainer):
    def fit(self) -> None:
        with suppress(KeyboardInterrupt):
            super().fit()


class SwallowsInterruptsOfSteps(Trainer):
    """Takes an interrupt in a step for the wish to stop, and lets through what a hook raises."""

    is_step_interrupted = False

    def train_iter(self, index: int, batch: Any) -> None:
        def body() -> dict[str, Any]:
            try:
                return {"outputs": batch.outputs}
            except KeyboardInterrupt:
                self.is_step_interrupted = True
                raise

        self.scope("train_iter", body, batch_idx=index, data_batch=batch)

    def fit(self) -> None:
        try:
            super().fit()
        except KeyboardInterrupt:
            if not self.is_step_interrupted:
                raise


class UndamagedItems:
    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.dataset = loader.dataset

    def __iter__(self) -> Iterator[Any]:
        items = iter(self.loader)
        while True:
            try:
                item = next(items)
            except Exception:
                return
            yield item


class SkipsDamagedData(Trainer):
    """Goes on with the next epoch where the data cannot be read."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.train_dataloader = UndamagedItems(self.train_dataloader)


class DressesUpErrors(Trainer):
    def fit(self) -> None:
        try:
            super().fit()
        except Exception as error:
            raise RuntimeError(f"training failed in epoch {self.epoch}") from error


class StepsSchedulerFirst(Trainer):
    def train_iter(self, index: int, batch: Any) -> None:
        if self.plan.schedule and not self.iter:
            self.optim_wrapper.halve()
        super().train_iter(index, batch)


class ValidatesSilently(Trainer):
    def evaluate_batches(self, stage: str, loader: Any) -> dict[str, Any]:
        for _ in loader:
            pass
        return {"metrics": self.metrics(stage)}


class ValidatesWithoutEpoch(Trainer):
    def evaluate(self, stage: str, loaders: Sequence[Any]) -> None:
        self.scope(stage, lambda: self.evaluate_batches(stage, loaders[0]) and None)


class TrainsInfinitely(Trainer):
    def count_iters(self) -> Any:
        return math.inf if super().count_iters() is None else super().count_iters()


class TrainsMinusOne(Trainer):
    def count_iters(self) -> Any:
        return -1 if super().count_iters() is None else super().count_iters()


class TrainsVeryLong(Trainer):
    def count_iters(self) -> Any:
        return sys.maxsize if super().count_iters() is None else super().count_iters()


class RunsHooksAsGiven(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.dispatcher = Dispatcher()
        for hook in hooks:
            self.dispatcher.register(hook, "NORMAL")


class CountsEpochsFromOne(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.epoch += 1

    def train(self) -> None:
        if self.max_epochs is not None:
            self.max_epochs += 1
        super().train()

    def save(self) -> dict[str, Any]:
        return {**super().save(), "epoch": self.epoch - 1}


class SaysNothingOfErrors(Trainer):
    def announce(self, error: BaseException) -> None:
        pass


class AnnouncesInEachScope(Trainer):
    def announce(self, error: BaseException) -> None:
        self.has_announced = False
        super().announce(error)


class EndsValidationTwice(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        super().emit(event, **given)
        if event == "after_val_epoch":
            super().emit(event, **given)


class LogsMetricsToo(Trainer):
    def evaluate_batches(self, stage: str, loader: Any) -> dict[str, Any]:
        results = super().evaluate_batches(stage, loader)
        for name, value in results["metrics"].items():
            if isinstance(value, float):
                self.message_hub.update_scalar(f"{stage}/{name}", value)
        return results


class CountsBatchesWrong(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        if event == "after_train_iter":
            given["batch_idx"] += 1
        super().emit(event, **given)


class CountsAheadOfIteration(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        self.iter += event == "after_train_iter"
        super().emit(event, **given)
        self.iter -= event == "after_train_iter"


class CountsAheadOfEpoch(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        self.epoch += event == "after_train_epoch"
        super().emit(event, **given)
        self.epoch -= event == "after_train_epoch"


class CountsValidationBatches(Trainer):
    def evaluate_batches(self, stage: str, loader: Any) -> dict[str, Any]:
        if stage == "val":
            self.iter += len(loader)
        return super().evaluate_batches(stage, loader)


class CountsWhatFailed(Trainer):
    def train_iter(self, index: int, batch: Any) -> None:
        try:
            super().train_iter(index, batch)
        except BaseException:
            self.iter += 1
            raise


class PublishesHalfAValidation(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        if event == "after_val_epoch" and given.get("metrics") is None:
            given["metrics"] = self.plan.metrics_of(0)
        super().emit(event, **given)


class SmoothsItsOutputs(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        if event == "after_train_iter" and given.get("outputs"):
            given["outputs"] = {
                name: value * 0.9 if isinstance(value, float) else value for name, value in given["outputs"].items()
            }
        super().emit(event, **given)


class DropsTheLastBatch(Trainer):
    def train_batches(self) -> None:
        self.train_dataloader = list(self.plan.train_dataloader())[:-1]
        super().train_batches()


class ForgetsItsHub(Trainer):
    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load({**checkpoint, "hub": {"info": {}, "scalars": {}}})


class StartsCountingAnew(Trainer):
    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load({**checkpoint, "epoch": 0, "iter": 0})


class GoesByItsOldName(Trainer):
    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load(checkpoint)
        self.experiment_name = checkpoint["hub"]["info"]["experiment_name"]


class WrapsItsDataset(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.train_dataloader = _Wrapped(self.train_dataloader)


class _Wrapped:
    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.dataset = object()

    def __iter__(self) -> Any:
        return iter(self.loader)


class HasNoName(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        del self.experiment_name


class HasOneRate(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.optim_wrapper.rates = {name: rates[0] for name, rates in self.optim_wrapper.rates.items()}


class KeepsTestMetrics(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        super().emit(event, **({} if event == "after_test_epoch" else given))


class ForgetsAfterRun(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        if event != "after_run":
            super().emit(event, **given)


class KeepsItsHub(Trainer):
    """Finds the hub of the run before, as a framework does whose hub is a global by name."""

    hub = SimpleHub()

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.message_hub = self.hub
        # Not this one: a run in which it is not published, as where a fault was put in, would be taken for a good one.
        self.hub.pop_info("dataset_meta")


class KeepsItsFirstHub(Trainer):
    """Publishes all trainings of one object to one hub, as an adapter does that makes its hub when it is attached."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        kept = getattr(self, "message_hub", None)
        super().__init__(plan, hooks)
        self.message_hub = kept or self.message_hub


class ValidatesInOneEpoch(Trainer):
    def evaluate(self, stage: str, loaders: Sequence[Any]) -> None:
        super().evaluate(stage, [[batch for loader in loaders for batch in loader]])


class StopsByAnException(Trainer):
    def train_iter(self, index: int, batch: Any) -> None:
        super().train_iter(index, batch)
        if batch.stop:
            self.iter += 1
            raise StopIteration

    def fit(self) -> None:
        with suppress(StopIteration):
            super().fit()


class ClosesTheEpochToValidate(Trainer):
    def after_iter(self, index: int) -> None:
        if self.plan.validates_after(index):
            self.emit("after_train_epoch")
            super().after_iter(index)
            self.emit("before_train_epoch")
        else:
            super().after_iter(index)


class NeverEntersItsHub(Trainer):
    def fit(self) -> None:
        self.scope("run", self.run)


class EntersItsHubForHooksOnly(NeverEntersItsHub):
    def emit(self, event: str, **given: Any) -> None:
        with use_hub(self.message_hub):
            super().emit(event, **given)


class BeginsTheEpochAnew(Trainer):
    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load({**checkpoint, "batches": 0})


class CountsTheEpochCutShort(Trainer):
    """Saves as the training ends, and takes the epoch in which it was stopped for completed."""

    def train(self) -> None:
        super().train()
        self.save_checkpoint(self.is_cut_short)


class NumbersItsBatchesAnew(Trainer):
    def train_iter(self, index: int, batch: Any) -> None:
        goes_on = self.epoch == self.plan.start_epoch
        super().train_iter(index - self.plan.start_batch * goes_on, batch)


class EndsInAnEpochTooMany(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        self.epoch += event == "after_train"
        super().emit(event, **given)
        self.epoch -= event == "after_train"


class AsksForAnEpoch(Trainer):
    def train(self) -> None:
        if self.plan.iterations is not None:
            self.max_epochs = None
        super().train()

    def emit(self, event: str, **given: Any) -> None:
        if event == "before_train" and self.max_epochs is None:
            self.max_epochs = 1
        super().emit(event, **given)


class TellsItsTotalOnce(Trainer):
    def train_epoch(self) -> None:
        self.scope("train_epoch", self.train_batches)


class PublishesAfterItsHandlers(Trainer):
    def train_iter(self, index: int, batch: Any) -> None:
        self.plan.on_batch_begin()
        super().train_iter(index, batch)


class SavesIfItCan(Trainer):
    """Goes on without a checkpoint, also where a hook raised as it was saved."""

    def save_checkpoint(self, is_due: bool, batches: int = 0) -> None:
        if is_due and self.plan.checkpoint is not None:
            with suppress(Exception):
                self.emit("before_save_checkpoint", checkpoint={})
        super().save_checkpoint(is_due, batches)


class LoadsInSilence(Trainer):
    """Announces no exception of a hook that hears of the loaded checkpoint."""

    def run(self) -> None:
        if self.plan.resume_from is not None:
            self.has_announced = True
            self.emit("after_load_checkpoint", checkpoint={})
            self.has_announced = False
        super().run()


class TrainsAsLongAgain(Trainer):
    """Makes as many iterations as it is asked for after those of the checkpoint."""

    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load(checkpoint)
        if self.plan.iterations is not None:
            self.plan = replace(self.plan, iterations=self.plan.iterations + self.iter)


class RaisesInTheEnd(Trainer):
    """Keeps the exception of a step, goes on, and raises it when the training is over."""

    kept: Exception | None = None

    def train_iter(self, index: int, batch: Any) -> None:
        def step() -> dict[str, Any]:
            try:
                self.plan.on_batch_begin()
                return {"outputs": batch.outputs}
            except Exception as error:
                self.kept = self.kept or error
                return {"outputs": None}

        self.scope("train_iter", step, batch_idx=index, data_batch=batch)

    def train(self) -> None:
        super().train()
        if self.kept is not None:
            raise self.kept


class TakesBackItsWindow(Trainer):
    """Goes back to the begin of the window of accumulation at an exception."""

    def announce(self, error: BaseException) -> None:
        if not self.has_announced:
            self.iter -= self.iter % self.plan.accumulation
        super().announce(error)


class HasAnEmptyName(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.experiment_name = plan.experiment_name or ""


class IsSeededWithNothing(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.seed = plan.seed or 0


class KeepsTheSavedName(Trainer):
    """Goes by the name of the checkpoint if it has none."""

    def load(self, checkpoint: dict[str, Any]) -> None:
        super().load(checkpoint)
        self.experiment_name = self.experiment_name or checkpoint["hub"]["info"]["experiment_name"]


BROKEN: dict[type[Trainer], str] = {
    CountsOptimizerSteps: "COUNT-10",
    LeavesEmptyEpochOpen: "LIFE-04",
    LeavesScopesOpen: "FAIL-06",
    SwallowsInterrupts: "FAIL-01",
    SwallowsInterruptsOfSteps: "FAIL-01",
    SkipsDamagedData: "FAIL-01",
    DressesUpErrors: "FAIL-01",
    StepsSchedulerFirst: "SCALAR-03",
    ValidatesSilently: "LIFE-06",
    ValidatesWithoutEpoch: "LIFE-01",
    TrainsInfinitely: "COUNT-09",
    TrainsMinusOne: "COUNT-09",
    TrainsVeryLong: "COUNT-08",
    RunsHooksAsGiven: "ORDER-01",
    CountsEpochsFromOne: "COUNT-03",
    SaysNothingOfErrors: "FAIL-02",
    AnnouncesInEachScope: "FAIL-02",
    EndsValidationTwice: "LIFE-01",
    LogsMetricsToo: "SCALAR-06",
    CountsBatchesWrong: "LIFE-08",
    CountsAheadOfIteration: "COUNT-02",
    CountsAheadOfEpoch: "COUNT-04",
    CountsValidationBatches: "COUNT-11",
    CountsWhatFailed: "FAIL-04",
    PublishesHalfAValidation: "FAIL-05",
    SmoothsItsOutputs: "SCALAR-04",
    DropsTheLastBatch: "LIFE-03",
    ForgetsItsHub: "RESUME-02",
    StartsCountingAnew: "RESUME-01",
    GoesByItsOldName: "META-08",
    WrapsItsDataset: "META-07",
    HasNoName: "META-06",
    HasOneRate: "SCALAR-02",
    KeepsTestMetrics: "SCALAR-09",
    ForgetsAfterRun: "LIFE-02",
    KeepsItsHub: "LIFE-10",
    KeepsItsFirstHub: "LIFE-10",
    StaysStopped: "LIFE-10",
    TellsItsTotalOnce: "COUNT-13",
    PublishesAfterItsHandlers: "COUNT-14",
    ValidatesInOneEpoch: "LIFE-11",
    StopsByAnException: "LIFE-12",
    ClosesTheEpochToValidate: "LIFE-13",
    NeverEntersItsHub: "LIFE-15",
    LeavesItsHubInSteps: "LIFE-15",
    EntersItsHubForHooksOnly: "LIFE-15",
    BeginsTheEpochAnew: "RESUME-03",
    CountsTheEpochCutShort: "RESUME-01",
    NumbersItsBatchesAnew: "RESUME-04",
    EndsInAnEpochTooMany: "COUNT-12",
    AsksForAnEpoch: "COUNT-07",
    SavesIfItCan: "FAIL-01",
    LoadsInSilence: "FAIL-02",
    TrainsAsLongAgain: "COUNT-08",
    RaisesInTheEnd: "FAIL-04",
    TakesBackItsWindow: "COUNT-15",
    HasAnEmptyName: "META-03",
    IsSeededWithNothing: "META-02",
    KeepsTheSavedName: "META-08",
}
"""Each broken runner, and the requirement that it breaks."""
