"""The adapter for plain PyTorch as a subject: a hand-written loop, instrumented."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from runtimeinfo_adapters.pytorch import Evaluation, Loop
from runtimeinfo_conformance._plan import Plan, PlannedLoader
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

    with loop.run():
        for epoch in loop.epochs():
            for batch in loop.train():
                for optimizer in optimizers.values():
                    if (batch.index + 1) % plan.accumulation == 0:
                        optimizer.step()
                loop.log(batch.outputs)
                if plan.schedule:
                    _step(schedulers)
            if plan.val_batches is not None:
                with loop.val() as val:
                    _evaluate(val, plan.val_dataloader(), plan.metrics_of(epoch))
            if plan.checkpoint is not None:
                states = [part.state_dict() for part in parts]
                torch.save({"loop": loop.state_dict(), "parts": states}, plan.checkpoint)
        if plan.test_batches is not None:
            with loop.test() as test:
                _evaluate(test, plan.test_dataloader(), plan.metrics_of(0))


def _evaluate(evaluation: Evaluation, loader: PlannedLoader, metrics: dict[str, Any]) -> None:
    for _ in evaluation.batches(loader):
        pass
    evaluation.metrics(metrics)


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
            "test",
            "outputs",
            "metrics",
            "metainfo",
            "unsized",
            "scheduler",
            "optimizers",
            "accumulation",
            "resume",
        },
    )


def _optimizer(plan: Plan) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(plan.groups)]
    return torch.optim.SGD(groups, lr=1.0)
