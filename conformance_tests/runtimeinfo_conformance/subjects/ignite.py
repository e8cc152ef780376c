"""The adapter for PyTorch-Ignite as a subject: real engines and checkpoints."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, cast

import ignite
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver

from runtimeinfo_adapters.ignite import attach
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.plans import Batch, Plan, PlannedDataset, PlannedLoader

_FILE = "checkpoint.pt"


class _Stream:
    """A loader without a length. It can start in mid-epoch, because Ignite itself continues with the first batch."""

    def __init__(self, loader: PlannedLoader, skip: int = 0) -> None:
        self.dataset: PlannedDataset = loader.dataset
        self._loader = loader
        self._skip = skip

    def __iter__(self) -> Iterator[Batch]:
        skip, self._skip = self._skip, 0
        return itertools.islice(self._loader, skip, None)


class _SizedStream(_Stream):
    """The same with the length of an epoch."""

    def __len__(self) -> int:
        return len(self.dataset)


class _Script:
    """Does what a plan says, the way a user writes it."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        self.plan = plan
        self.optimizers = {name: _optimizer(plan, index) for index, name in enumerate(plan.optimizers or ("",))}
        self.schedulers = [torch.optim.lr_scheduler.ExponentialLR(each, 0.5) for each in self.optimizers.values()]
        self.validated = 0
        self.trainer: Any = Engine(self.step)
        self.evaluator: Any = Engine(_return_batch)
        self.tester: Any = Engine(_return_batch)
        # Ignite refuses data whose length is 0, but not data that turn out to be empty.
        self.trainer.add_event_handler(Events.ITERATION_STARTED, self.look)  # ahead of the adapter, and once more after
        self.has_length = plan.sized and plan.batches > 0
        self.data = self.make_data()
        self.callback = attach(
            self.trainer,
            optimizer=self.optimizers if plan.optimizers else self.optimizers[""],
            evaluators={"val": self.evaluator, "test": self.tester},
            cfg={"batches": plan.batches},
            seed=plan.seed,
            experiment_name=plan.experiment_name,
            hooks=hooks,
        )
        self.is_read = False
        self.parts: dict[str, Any] = {
            "runtimeinfo": self.callback,
            **{f"scheduler{index}": each for index, each in enumerate(self.schedulers)},
            **{f"optimizer{index}": each for index, each in enumerate(self.optimizers.values())},
        }
        if self.has_length:
            self.parts["trainer"] = self.trainer
        self.register()

    def make_data(self) -> _Stream:
        """Return the training data."""
        return (_SizedStream if self.plan.sized else _Stream)(self.plan.train_dataloader(), self.plan.start_batch)

    def register(self) -> None:
        """Register the handlers."""
        plan, on = self.plan, self.trainer.add_event_handler
        on(Events.ITERATION_STARTED, self.look)
        if not self.has_length:
            on(Events.EPOCH_COMPLETED, self.forget_length)
            on(Events.EPOCH_STARTED, self.read_again)
        if plan.val_before:
            on(Events.STARTED, self.validate)
        if plan.schedule:
            on(Events.ITERATION_COMPLETED, self.step_schedulers)
        if plan.checkpoint is not None:
            saver = DiskSaver(str(plan.checkpoint), require_empty=False)
            checkpoint = Checkpoint(self.parts, saver, filename_pattern=_FILE, n_saved=None)
            if plan.checkpoint_epochs:
                on(Events.EPOCH_COMPLETED, checkpoint)
            if plan.checkpoint_iterations:
                on(Events.ITERATION_COMPLETED, checkpoint)
        on(Events.ITERATION_COMPLETED, self.validate_inside)
        if plan.validates_after_epoch:
            on(Events.EPOCH_COMPLETED, self.validate)
        if plan.val_after:
            on(Events.COMPLETED, self.validate)
        for engine in (self.evaluator, self.tester):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.compute_metrics)

    def run(self) -> None:
        """Make the run."""
        plan = self.plan
        if plan.resume_from is not None:
            load = cast("Any", Checkpoint).load_objects
            load(self.parts, str(plan.resume_from / _FILE))
            if not self.has_length:  # without it, Ignite's own state cannot tell the epoch
                runner: Any = self.callback.runner
                state = self.trainer.state
                state.epoch, state.iteration, state.max_epochs = runner.epoch, runner.iter, plan.max_epochs
            if plan.iterations is not None:  # the saved training was asked for fewer
                self.trainer.state.max_iters, self.trainer.state.max_epochs = plan.iterations, None
        # Where nothing is left to do, Ignite would begin a new training.
        if not 0 < plan.max_iters == plan.start_iteration:
            self.train()
        if plan.again:
            self.data = self.make_data()
            self.validated = 0
            self.begin_rates_again()
            # Ignite goes on with a training that was stopped, and takes what it has derived for another bound.
            if plan.iterations is not None or plan.stop_after is not None:
                self.trainer.state.max_epochs = None
            self.train()
        if plan.test_batches is not None:
            _evaluate(self.tester, plan.test_dataloader())

    def begin_rates_again(self) -> None:
        """Reset the rates to the first iteration's."""
        for index, (optimizer, scheduler) in enumerate(zip(self.optimizers.values(), self.schedulers, strict=True)):
            for group, values in enumerate(optimizer.param_groups):
                values["lr"] = self.plan.lr_of(0, group, index)
            scheduler.last_epoch = 0

    def train(self) -> None:
        """Train."""
        plan, data = self.plan, cast("Any", self.data)
        if plan.sized and not self.has_length:
            self.trainer.set_data(data)  # where Ignite does not look at the length
            data = iter(data)
        bound = {"max_epochs": plan.max_epochs} if plan.iterations is None else {"max_iters": plan.iterations}
        self.trainer.run(data, **bound)

    def look(self) -> None:
        """Look at the run."""
        self.plan.on_batch_begin()

    def step(self, engine: Engine, batch: Batch) -> dict[str, Any]:
        """Train on a batch."""
        if (batch.index + 1) % self.plan.accumulation == 0:
            for optimizer in self.optimizers.values():
                optimizer.step()
        if batch.stop:
            engine.terminate()
        return batch.outputs

    def step_schedulers(self) -> None:
        """Halve the rates."""
        with warnings.catch_warnings():
            # With accumulation a scheduler steps before its optimizer has: that is what the plan wants.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for scheduler in self.schedulers:
                scheduler.step()

    def validate_inside(self, engine: Engine) -> None:
        """Validate, if the plan wants it after this batch."""
        batch: Any = engine.state.batch
        if self.plan.validates_after(batch.index):
            self.validate()

    def validate(self) -> None:
        """Validate."""
        _evaluate(self.evaluator, self.plan.val_dataloader())
        self.validated += 1

    def compute_metrics(self, engine: Engine) -> None:
        """Compute the metrics, as a handler of Ignite's does."""
        engine.state.metrics.update(self.plan.metrics_of(self.validated if engine is self.evaluator else 0))

    def forget_length(self, engine: Any) -> None:
        """Let the next epoch be as long as its stream, whatever the last one was."""
        engine.state.epoch_length = None
        self.is_read = True

    def read_again(self, engine: Any) -> None:
        """Begin the stream once more, after the epoch was published: its workers may read that at once (SHARE-02)."""
        if self.is_read:
            engine.set_data(self.data)
            self.is_read = False


def run(plan: Plan, hooks: Sequence[Any]) -> None:
    """Do what a plan says."""
    _Script(plan, hooks).run()


def subject() -> Subject:
    """Return the subject."""
    return Subject(
        "ignite",
        str(ignite.__version__),
        run=run,
        capabilities={
            "share",
            "beside",
            "nested",
            "val",
            "val_before",
            "val_inside",
            "val_after",
            "test",
            "outputs",
            "metrics",
            "metainfo",
            "unsized",
            "batch_begin",
            "scheduler",
            "optimizers",
            "accumulation",
            "iterations",
            "early_stop",
            "again",
            "resume",
            "resume_mid_epoch",
        },
    )


def _return_batch(_engine: Engine, batch: Batch) -> Batch:
    return batch


def _evaluate(engine: Any, loader: PlannedLoader) -> None:
    engine.state.epoch_length = None
    engine.run(loader if len(loader.dataset) else _Stream(loader))


def _optimizer(plan: Plan, index: int) -> torch.optim.Optimizer:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": plan.lr_of(0, group, index)}
        for group in range(plan.groups)
    ]
    return torch.optim.SGD(groups, lr=1.0)
