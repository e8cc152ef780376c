"""The adapter for plain PyTorch as a subject: a hand-written loop, instrumented."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_conformance._plan import Plan
from runtimeinfo_conformance._subject import Subject


def run(plan: Plan, hooks: Sequence[Any]) -> None:
    """Do what a plan says, the way a user writes it."""
    optimizers = {name: _optimizer(plan) for name in plan.optimizers or ("",)}
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(each, gamma=0.5) for each in optimizers.values()]
    parts: list[Any] = [*schedulers, *optimizers.values()]
    loop = Loop(
        optimizers if plan.optimizers else optimizers[""],
        plan.train_dataloader(),
        max_epochs=plan.max_epochs,
        cfg={"batches": plan.batches},
        seed=plan.seed,
        experiment_name=plan.experiment_name,
        hooks=hooks,
    )
    if plan.resume_from is not None:
        checkpoint = torch.load(plan.resume_from, weights_only=True)
        loop.load_state_dict(checkpoint["loop"])
        for part, state in zip(parts, checkpoint["parts"], strict=True):
            part.load_state_dict(state)

    evaluator = _Evaluator(plan)

    def save() -> None:
        torch.save({"loop": loop.state_dict(), "parts": [part.state_dict() for part in parts]}, plan.checkpoint)

    def train() -> None:
        for _ in loop.epochs():
            for batch in loop.train():
                for optimizer in optimizers.values():
                    if (batch.index + 1) % plan.accumulation == 0:
                        optimizer.step()
                loop.log(batch.outputs)
                if plan.schedule:
                    _step(schedulers)
                if plan.checkpoint_iterations:
                    save()
                if plan.validates_after(batch.index):
                    evaluator.validate(loop)
                if batch.stop:
                    return
            if plan.validates_after_epoch:
                evaluator.validate(loop)
            if plan.checkpoint is not None:
                save()

    with loop.run():
        if plan.val_before:
            evaluator.validate(loop)
        train()
        if plan.val_after:
            evaluator.validate(loop)
        if plan.test_batches is not None:
            with loop.test() as test:
                for _ in test.batches(plan.test_dataloader()):
                    pass
                test.metrics(plan.metrics_of(0))


class _Evaluator:
    """Validates, and knows how often it has."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._turn = 0

    def validate(self, loop: Loop[Any]) -> None:
        """Validate over each loader."""
        with loop.val() as val:
            for loader in range(self._plan.val_loaders):
                for _ in val.batches(self._plan.val_dataloader(loader)):
                    pass
                val.metrics(self._plan.metrics_of(self._turn))
                self._turn += 1


def _step(schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler]) -> None:
    with warnings.catch_warnings():
        # With accumulation a scheduler steps before its optimizer has: that is what the plan wants.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for scheduler in schedulers:
            scheduler.step()


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


def _optimizer(plan: Plan) -> torch.optim.Optimizer:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": plan.lr_of(0, group)} for group in range(plan.groups)
    ]
    return torch.optim.SGD(groups, lr=1.0)
