"""A training loop as somebody else may write it, without any of our adapters; and what goes wrong in such loops."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

from simple_hub import SimpleHub

from runtimeinfo import HOOK_POINTS, Dispatcher, use_hub
from runtimeinfo_adapters.sharing import SharingHook
from runtimeinfo_conformance import Plan, Subject


class Optimizers:
    """Rates by name."""

    def __init__(self, names: Sequence[str], groups: int) -> None:
        rates = [1 / (group + 1) for group in range(groups)]
        self.rates = {f"{name}.lr" if name else "lr": rates for name in names or [""]}

    def get_lr(self) -> dict[str, list[float]]:
        return self.rates

    def halve(self) -> None:
        self.rates = {name: [rate / 2 for rate in rates] for name, rates in self.rates.items()}


class SharesLast(SharingHook):
    """Comes after all others, so that faults in their order are not its own."""

    priority = "LOWEST"


class Trainer:
    """Does everything right. Each scope is a function that is run between two events."""

    framework_name = "handmade"
    framework_version = "3.2.1"

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        self.plan = plan
        self.message_hub: Any = SimpleHub()
        self.cfg: Any = SimpleNamespace(pretty_text=f"epochs: {plan.max_epochs}")
        self.seed = plan.seed
        self.experiment_name = plan.experiment_name
        self.dispatcher = Dispatcher([SharesLast(), *hooks])
        self.optim_wrapper: Any = Optimizers(plan.optimizers, plan.groups)
        self.train_dataloader: Any = plan.train_dataloader()
        self.epoch = self.iter = 0
        self.max_epochs = plan.max_epochs
        self.max_iters = self.count_iters()
        self.has_announced = self.has_stopped = False
        self.batches_to_skip = self.validated = 0
        if plan.resume_from is not None:
            self.load(pickle.loads(plan.resume_from.read_bytes()))

    def fit(self) -> None:
        with use_hub(self.message_hub):
            self.scope("run", self.run)

    def run(self) -> None:
        self.validate(self.plan.val_before)
        self.scope("train", self.train)
        self.validate(self.plan.val_after)
        if self.plan.test_batches is not None:
            self.evaluate("test", [self.plan.test_dataloader()])

    def train(self) -> None:
        while self.epoch < self.max_epochs and not self.has_stopped:
            self.train_epoch()
            self.epoch += 1
            self.validate(self.plan.validates_after_epoch)
            self.save_checkpoint(self.plan.checkpoint is not None)

    def train_epoch(self) -> None:
        self.scope("train_epoch", self.train_batches)

    def train_batches(self) -> None:
        for index, batch in enumerate(self.train_dataloader):
            if index < self.batches_to_skip:
                continue
            self.train_iter(index, batch)
            self.iter += 1
            self.after_iter(index)
            if batch.stop:
                self.has_stopped = True
                break
        self.batches_to_skip = 0

    def after_iter(self, index: int) -> None:
        if self.plan.schedule:
            self.optim_wrapper.halve()
        self.save_checkpoint(self.plan.checkpoint_iterations, index + 1)
        self.validate(self.plan.validates_after(index))

    def train_iter(self, index: int, batch: Any) -> None:
        self.scope("train_iter", lambda: {"outputs": batch.outputs}, batch_idx=index, data_batch=batch)

    def validate(self, is_due: bool) -> None:
        if is_due and self.plan.val_batches is not None:
            self.evaluate("val", [self.plan.val_dataloader(each) for each in range(self.plan.val_loaders)])

    def evaluate(self, stage: str, loaders: Sequence[Any]) -> None:
        def over_each() -> None:
            for loader in loaders:
                self.scope(f"{stage}_epoch", partial(self.evaluate_batches, stage, loader))

        self.scope(stage, over_each)

    def evaluate_batches(self, stage: str, loader: Any) -> dict[str, Any]:
        for index, batch in enumerate(loader):
            self.scope(f"{stage}_iter", lambda: None, batch_idx=index, data_batch=batch)
        return {"metrics": self.metrics(stage)}

    def metrics(self, stage: str) -> dict[str, Any]:
        if stage == "test":
            return self.plan.metrics_of(0)
        self.validated += 1
        return self.plan.metrics_of(self.validated - 1)

    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        results = None
        try:
            self.emit(f"before_{name}", **given)
            results = body()
        except BaseException as error:
            self.announce(error)
            raise
        finally:
            self.emit(f"after_{name}", **given, **(results or {}))

    def announce(self, error: BaseException) -> None:
        if not self.has_announced:
            self.has_announced = True
            self.emit("on_exception", exception=error)

    def emit(self, event: str, **given: Any) -> None:
        self.dispatcher.dispatch(event, self, **{name: given.get(name) for name in HOOK_POINTS[event]})

    def count_iters(self) -> Any:
        loader = self.train_dataloader
        return self.max_epochs * len(loader) if hasattr(loader, "__len__") else None

    def save_checkpoint(self, is_due: bool, batches: int = 0) -> None:
        if is_due and self.plan.checkpoint is not None:
            self.plan.checkpoint.write_bytes(pickle.dumps({**self.save(), "batches": batches}))

    def save(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "iter": self.iter,
            "rates": self.optim_wrapper.rates,
            "hub": self.message_hub.state_dict(),
        }

    def load(self, checkpoint: dict[str, Any]) -> None:
        self.epoch, self.iter = checkpoint["epoch"], checkpoint["iter"]
        self.batches_to_skip = checkpoint["batches"]
        self.optim_wrapper.rates = checkpoint["rates"]
        self.message_hub.load_state_dict(checkpoint["hub"])


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


class SwallowsInterrupts(Trainer):
    def fit(self) -> None:
        with suppress(KeyboardInterrupt):
            super().fit()


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


BROKEN: dict[type[Trainer], str] = {
    CountsOptimizerSteps: "COUNT-10",
    LeavesEmptyEpochOpen: "LIFE-04",
    LeavesScopesOpen: "FAIL-06",
    SwallowsInterrupts: "FAIL-01",
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
    ValidatesInOneEpoch: "LIFE-11",
    StopsByAnException: "LIFE-12",
    ClosesTheEpochToValidate: "LIFE-13",
    NeverEntersItsHub: "LIFE-15",
    EntersItsHubForHooksOnly: "LIFE-15",
    BeginsTheEpochAnew: "RESUME-03",
}
"""Each broken runner, and the requirement that it breaks."""


def subject_of(kind: type[Trainer]) -> Subject:
    """Return a runner as a subject."""
    return Subject(
        kind.__name__,
        kind.framework_version,
        run=lambda plan, hooks: kind(plan, hooks).fit(),
        capabilities={
            "val", "val_before", "val_inside", "val_after", "val_loaders", "test", "outputs", "metrics", "metainfo",
            "unsized", "scheduler", "optimizers", "accumulation", "early_stop", "resume", "resume_mid_epoch", "share",
        },
    )  # fmt: skip


def correct() -> Subject:
    """Return the runner which does everything right."""
    return subject_of(Trainer)
