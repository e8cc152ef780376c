"""A user's script around an instrumented loop, independent of its steps, loaders and checkpoints."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_conformance.plans import Batch, Plan

CAPABILITIES = frozenset(
    {
        "val",
        "val_before",
        "val_inside",
        "val_after",
        "val_loaders",
        "test",
        "outputs",
        "metrics",
        "metainfo",
        "unsized",
        "changing_length",
        "batch_begin",
        "scheduler",
        "optimizers",
        "accumulation",
        "iterations",
        "early_stop",
        "again",
        "resume",
        "share",
        "resume_mid_epoch",
        "beside",
        "nested",
        "in_turn",
    }
)
"""What such a script can do."""


class LoopScript(ABC):
    """Does what a plan says, the way a user writes it.

    Args:
        plan: The plan.
        loop: The loop.
        schedulers: One for each optimizer.
    """

    def __init__(self, plan: Plan, loop: Loop[Batch], schedulers: list[LRScheduler]) -> None:
        self.plan: Plan = plan
        self.loop: Loop[Batch] = loop
        self.schedulers: list[LRScheduler] = schedulers
        self._validated = 0  # loaders

    @abstractmethod
    def step(self, batch: Batch) -> None:
        """Step the optimizers on a batch."""

    @abstractmethod
    def loader_of(self, stage: str, index: int) -> Any:
        """Return a loader of a validation or test."""

    @abstractmethod
    def save(self) -> None:
        """Save a checkpoint."""

    @abstractmethod
    def load(self) -> None:
        """Go on from the plan's checkpoint."""

    def run(self) -> None:
        """Make the run."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """Make the run, a step for each batch."""
        if self.plan.resume_from is not None:
            self.load()
        with self.loop.run():
            if self.plan.val_before and self.plan.val_batches is not None:
                self._validate()
            yield from self._train()
            if self.plan.val_after and self.plan.val_batches is not None:
                self._validate()
            if self.plan.test_batches is not None:
                self._test()

    def _train(self) -> Iterator[None]:
        """Train, with all that lies between the epochs."""
        for _ in self.loop.epochs():
            for batch in self.loop.train():
                self._train_on(batch)
                yield
                if batch.stop:
                    return
            if self.plan.validates_after_epoch:
                self._validate()
            if self.plan.checkpoint is not None and self.plan.checkpoint_epochs:
                self.save()

    def _train_on(self, batch: Batch) -> None:
        """Train on a batch, with all that lies between the batches."""
        self.plan.on_batch_begin()
        self.step(batch)
        self.loop.log(batch.outputs)
        if self.plan.schedule:
            self._step_schedulers()
        if self.plan.checkpoint_iterations:
            self.save()
        if self.plan.validates_after(batch.index):
            self._validate()

    def _validate(self) -> None:
        """Validate over each loader."""
        with self.loop.val() as val:
            for loader in range(self.plan.val_loaders):
                for _ in val.batches(self.loader_of("val", loader)):
                    pass
                val.log_metrics(self.plan.metrics_of(self._validated))
                self._validated += 1

    def _test(self) -> None:
        with self.loop.test() as test:
            for _ in test.batches(self.loader_of("test", 0)):
                pass
            test.log_metrics(self.plan.metrics_of(0))

    def _step_schedulers(self) -> None:
        with warnings.catch_warnings():
            # With accumulation a scheduler steps before its optimizer has: that is what the plan wants.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for scheduler in self.schedulers:
                scheduler.step()
