"""The adapter for plain PyTorch as a subject: a hand-written loop, instrumented."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.plans import Batch, Plan
from runtimeinfo_conformance.subjects._loop_script import CAPABILITIES, LoopScript


class _Script(LoopScript):
    """Step its own optimizers, and save with `torch.save`."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        self.optimizers = {name: _optimizer(plan, index) for index, name in enumerate(plan.optimizers or ("",))}
        loop: Loop[Batch] = Loop(
            self.optimizers if plan.optimizers else self.optimizers[""],
            plan.train_dataloader(),
            max_epochs=plan.max_epochs if plan.iterations is None else None,
            max_iters=plan.iterations,
            cfg={"batches": plan.batches},
            seed=plan.seed,
            experiment_name=plan.experiment_name,
            hooks=hooks,
        )
        super().__init__(
            plan, loop, [torch.optim.lr_scheduler.ExponentialLR(each, 0.5) for each in self.optimizers.values()]
        )
        self.parts: list[Any] = [*self.schedulers, *self.optimizers.values()]

    def step(self, batch: Batch) -> None:
        """Step the optimizers, each time that enough batches have been seen."""
        if (batch.index + 1) % self.plan.accumulation == 0:
            for optimizer in self.optimizers.values():
                optimizer.step()

    def loader_of(self, stage: str, index: int) -> Any:
        """Return the plan's own loader."""
        return self.plan.val_dataloader(index) if stage == "val" else self.plan.test_dataloader()

    def save(self) -> None:
        """Save the loop, and all that changes the learning rates."""
        if self.plan.checkpoint is not None:
            states = [part.state_dict() for part in self.parts]
            torch.save({"loop": self.loop.state_dict(), "parts": states}, self.plan.checkpoint)

    def load(self) -> None:
        """Load them."""
        if self.plan.resume_from is not None:
            checkpoint = torch.load(self.plan.resume_from, weights_only=True)
            self.loop.load_state_dict(checkpoint["loop"])
            for part, state in zip(self.parts, checkpoint["parts"], strict=True):
                part.load_state_dict(state)


def run(plan: Plan, hooks: Sequence[Any]) -> Iterator[None] | None:
    """Run a plan. A repeated training gets a new loop and the same hooks."""
    if plan.company == "in_turn":
        return _Script(plan, hooks).steps()
    for _ in range(1 + plan.again):
        _Script(plan, hooks).run()
    return None


def subject() -> Subject:
    """Return the subject."""
    return Subject("pytorch", str(torch.__version__), run=run, capabilities=CAPABILITIES)


# PyTorch wraps these to keep its compiler away from them, and loads the compiler when they are first called: that takes
# as long as a hundred plans.
_WRAPPED = ("step", "add_param_group", "state_dict", "load_state_dict")

_SGD: Any = type("SGD", (torch.optim.SGD,), {name: inspect.unwrap(getattr(torch.optim.SGD, name)) for name in _WRAPPED})


def _optimizer(plan: Plan, index: int) -> torch.optim.Optimizer:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": plan.lr_of(0, group, index)}
        for group in range(plan.groups)
    ]
    optimizer: torch.optim.Optimizer = _SGD(groups, lr=1.0)
    return optimizer
