"""A training loop as somebody else may write it, without any of our adapters."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from simple_hub import SimpleHub

from runtimeinfo import use_hub
from runtimeinfo.authoring import Dispatcher
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_adapters.sharing import SharingHook
from runtimeinfo_conformance import Plan, Subject


class Optimizers:
    """Rates by name."""

    def __init__(self, plan: Plan) -> None:
        self.rates = {
            f"{name}.lr" if name else "lr": [plan.lr_of(0, group, index) for group in range(plan.groups)]
            for index, name in enumerate(plan.optimizers or ("",))
        }

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
    make_hub: Callable[[], Any] = SimpleHub
    make_optimizers: Callable[[Plan], Any] = Optimizers
    lacks = ""
    """What this runner cannot do, with blanks between: it does not declare these capabilities."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        self.plan = plan
        self.given = hooks
        self.dispatcher = Dispatcher([SharesLast(), *hooks])
        self.message_hub: Any = type(self).make_hub()
        self.cfg: Any = SimpleNamespace(pretty_text=f"epochs: {plan.max_epochs}")
        self.seed = plan.seed
        self.experiment_name = plan.experiment_name
        self.optim_wrapper: Any = type(self).make_optimizers(plan)
        self.train_dataloader: Any = plan.train_dataloader()
        self.epoch = self.iter = 0
        self.max_epochs: int | None = plan.max_epochs if plan.iterations is None else None
        self.max_iters = self.count_iters()
        self.has_announced = self.has_stopped = self.is_cut_short = False
        self.batches_to_skip = self.validated = 0
        if plan.resume_from is not None:
            self.load(pickle.loads(plan.resume_from.read_bytes()))

    def fit_as_often_as_planned(self) -> None:
        self.fit()
        if self.plan.again:
            type(self).__init__(self, self.plan, self.given)  # it begins with nothing
            self.fit()

    def steps(self) -> Iterator[None]:
        """Do the same with a step for each batch."""
        with use_hub(self.message_hub):
            yield from self.stepped("run", self.run_in_steps())

    def run_in_steps(self) -> Iterator[None]:
        self.validate(self.plan.val_before)
        yield from self.stepped("train", self.train_in_steps())
        self.validate(self.plan.val_after)
        if self.plan.test_batches is not None:
            self.evaluate("test", [self.plan.test_dataloader()])

    def train_in_steps(self) -> Iterator[None]:
        while self.epoch < self.plan.epochs and not self.has_stopped:
            self.expect_epoch()
            yield from self.stepped("train_epoch", self.train_batches_in_steps())
            self.epoch += 1
            self.validate(self.plan.validates_after_epoch)

    def train_batches_in_steps(self) -> Iterator[None]:
        for index, batch in enumerate(self.train_dataloader):
            self.train_iter(index, batch)
            self.iter += 1
            self.after_iter(index)
            yield
            self.has_stopped = batch.stop or self.iter == self.plan.iterations
            if self.has_stopped:
                return

    def stepped(self, name: str, steps: Iterator[None]) -> Iterator[None]:
        try:
            self.emit(f"before_{name}")
            yield from steps
        except BaseException as error:
            self.announce(error)
            raise
        finally:
            self.emit(f"after_{name}")

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
        while not self.has_stopped and self.epoch < (self.plan.epochs if self.max_epochs is None else self.max_epochs):
            self.train_epoch()
            self.epoch += 1
            self.validate(self.plan.validates_after_epoch)
            self.save_checkpoint(self.plan.checkpoint_epochs and not self.is_cut_short)

    def expect_epoch(self) -> None:
        if self.plan.lengths:
            self.max_iters = self.iter + len(self.train_dataloader) * ((self.max_epochs or 0) - self.epoch)

    def train_epoch(self) -> None:
        self.expect_epoch()
        self.scope("train_epoch", self.train_batches)

    def train_batches(self) -> None:
        for index, batch in enumerate(self.train_dataloader):
            if index < self.batches_to_skip:
                continue
            self.train_iter(index, batch)
            self.iter += 1
            self.after_iter(index)
            if batch.stop or self.iter == self.plan.iterations:
                self.has_stopped = True
                self.is_cut_short = index + 1 < self.plan.batches
                break
        self.batches_to_skip = 0

    def after_iter(self, index: int) -> None:
        if self.plan.schedule:
            self.optim_wrapper.halve()
        self.save_checkpoint(self.plan.checkpoint_iterations, index + 1)
        self.validate(self.plan.validates_after(index))

    def train_iter(self, index: int, batch: Any) -> None:
        def step() -> dict[str, Any]:
            self.plan.on_batch_begin()
            return {"outputs": batch.outputs}

        self.scope("train_iter", step, batch_idx=index, data_batch=batch)

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
        if self.max_epochs is None:
            return self.plan.iterations
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


_CAPABILITIES = {
    "val", "val_before", "val_inside", "val_after", "val_loaders", "test", "outputs", "metrics", "metainfo",
    "unsized", "scheduler", "optimizers", "accumulation", "iterations", "early_stop", "resume",
    "resume_mid_epoch", "share", "again", "changing_length", "batch_begin", "beside", "nested", "in_turn",
}  # fmt: skip


def subject_of(kind: type[Trainer]) -> Subject:
    """Return a runner as a subject."""

    def run(plan: Plan, hooks: Sequence[Any]) -> Iterator[None] | None:
        trainer = kind(plan, hooks)
        return trainer.steps() if plan.company == "in_turn" else trainer.fit_as_often_as_planned()

    return Subject(kind.__name__, kind.framework_version, run=run, capabilities=_CAPABILITIES - {*kind.lacks.split()})


def correct() -> Subject:
    """Return the runner which does everything right."""
    return subject_of(Trainer)
