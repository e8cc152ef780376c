"""The adapter for plain PyTorch as a subject: a hand-written loop, instrumented."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_conformance._plan import Batch, Plan
from runtimeinfo_conformance._subject import Subject


class _Script:
    """Does what a plan says, the way a user writes it."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        self.plan = plan
        self.optimizers = {name: _optimizer(plan) for name in plan.optimizers or ("",)}
        self.schedulers = [torch.optim.lr_scheduler.ExponentialLR(each, 0.5) for each in self.optimizers.values()]
        self.parts: list[Any] = [*self.schedulers, *self.optimizers.values()]
        self.validated = 0  # loaders
        self.loop = Loop(
            self.optimizers if plan.optimizers else self.optimizers[""],
            plan.train_dataloader(),
            max_epochs=plan.max_epochs,
            cfg={"batches": plan.batches},
            seed=plan.seed,
            experiment_name=plan.experiment_name,
            hooks=hooks,
        )

    def run(self) -> None:
        """Make the run."""
        if self.plan.resume_from is not None:
            checkpoint = torch.load(self.plan.resume_from, weights_only=True)
            self.loop.load_state_dict(checkpoint["loop"])
            for part, state in zip(self.parts, checkpoint["parts"], strict=True):
                part.load_state_dict(state)
        with self.loop.run():
            if self.plan.val_before:
                self.validate()
            self.train()
            if self.plan.val_after:
                self.validate()
            if self.plan.test_batches is not None:
                self.test()

    def train(self) -> None:
        """Train, with all that lies between the epochs."""
        for _ in self.loop.epochs():
            for batch in self.loop.train():
                self.step(batch)
                if batch.stop:
                    return
            if self.plan.validates_after_epoch:
                self.validate()
            self.save()

    def step(self, batch: Batch) -> None:
        """Train on a batch, with all that lies between the batches."""
        if (batch.index + 1) % self.plan.accumulation == 0:
            for optimizer in self.optimizers.values():
                optimizer.step()
        self.loop.log(batch.outputs)
        if self.plan.schedule:
            _step(self.schedulers)
        if self.plan.checkpoint_iterations:
            self.save()
        if self.plan.validates_after(batch.index):
            self.validate()

    def validate(self) -> None:
        """Validate over each loader."""
        with self.loop.val() as val:
            for loader in range(self.plan.val_loaders):
                for _ in val.batches(self.plan.val_dataloader(loader)):
                    pass
                val.metrics(self.plan.metrics_of(self.validated))
                self.validated += 1

    def test(self) -> None:
        """Test."""
        with self.loop.test() as test:
            for _ in test.batches(self.plan.test_dataloader()):
                pass
            test.metrics(self.plan.metrics_of(0))

    def save(self) -> None:
        """Save a checkpoint, if the plan wants any."""
        if self.plan.checkpoint is not None:
            states = [part.state_dict() for part in self.parts]
            torch.save({"loop": self.loop.state_dict(), "parts": states}, self.plan.checkpoint)


def run(plan: Plan, hooks: Sequence[Any]) -> None:
    """Do what a plan says."""
    _Script(plan, hooks).run()


def subject() -> Subject:
    """Return the subject."""
    return Subject(
        "pytorch",
        str(torch.__version__),
        run=run,
        capabilities={
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
            "scheduler",
            "optimizers",
            "accumulation",
            "early_stop",
            "resume",
            "resume_mid_epoch",
        },
    )


def _step(schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler]) -> None:
    with warnings.catch_warnings():
        # With accumulation a scheduler steps before its optimizer has: that is what the plan wants.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for scheduler in schedulers:
            scheduler.step()


def _optimizer(plan: Plan) -> torch.optim.Optimizer:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": plan.lr_of(0, group)} for group in range(plan.groups)
    ]
    return torch.optim.SGD(groups, lr=1.0)
