"""The adapter for Accelerate as a subject: a hand-written loop over what a real Accelerator has prepared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from runtimeinfo_adapters._framework import load_framework
from runtimeinfo_adapters.accelerate import attach
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.plans import Batch, Plan
from runtimeinfo_conformance.subjects._loop_script import CAPABILITIES, LoopScript

_accelerate: Any = load_framework("accelerate")


class _Stream(IterableDataset[Batch]):
    """A dataset without a length."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        if hasattr(dataset, "metainfo"):
            self.metainfo: dict[str, Any] = dataset.metainfo

    def __iter__(self) -> Iterator[Batch]:
        return (self._dataset[index] for index in range(len(self._dataset)))


class _Model(torch.nn.Module):
    """A model of nothing but weights: one for each param group of each optimizer."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        count = max(len(plan.optimizers), 1) * plan.groups
        self.weights = torch.nn.ParameterList([torch.zeros(1) for _ in range(count)])

    def forward(self) -> torch.Tensor:
        """Return something to train on."""
        return torch.stack([weight.sum() for weight in self.weights]).sum()


class _Script(LoopScript):
    """Lets an Accelerator prepare, step, save and load."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        # Each process iterates over a stream itself: what one sends to the others has to be tensors.
        loading = _accelerate.DataLoaderConfiguration(dispatch_batches=False)
        self.accelerator: Any = _accelerate.Accelerator(
            cpu=True, gradient_accumulation_steps=plan.accumulation, dataloader_config=loading
        )
        self.model: Any = self.accelerator.prepare(_Model(plan))
        self.optimizers: dict[str, Any] = {}
        schedulers: list[torch.optim.lr_scheduler.LRScheduler] = []
        for index, name in enumerate(plan.optimizers or ("",)):
            weights = list(self.model.weights)[index * plan.groups : (index + 1) * plan.groups]
            optimizer = _optimizer(plan, weights, index)
            # Not prepared: it would step with the optimizer, and the plan wants it to for each batch.
            schedulers.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
            self.optimizers[name] = self.accelerator.prepare(optimizer)
        self.accelerator.register_for_checkpointing(*schedulers)
        dataset = plan.train_dataset()
        loop = attach(
            self.accelerator,
            self.optimizers if plan.optimizers else self.optimizers[""],
            self._prepared(dataset if plan.sized else _Stream(dataset)),
            max_epochs=plan.max_epochs if plan.iterations is None else None,
            max_iters=plan.iterations,
            cfg={"batches": plan.batches},
            seed=plan.seed,
            experiment_name=plan.experiment_name,
            hooks=hooks,
        )
        super().__init__(plan, loop, schedulers)

    def step(self, batch: Batch) -> None:  # noqa: ARG002  # it trains on nothing
        """Step the optimizers, as often as the accelerator lets them."""
        with self.accelerator.accumulate(self.model):
            self.accelerator.backward(self.model())
            for optimizer in self.optimizers.values():
                optimizer.step()
                optimizer.zero_grad()

    def loader_of(self, stage: str, index: int) -> Any:
        """Return a prepared loader."""
        return self._prepared(self.plan.val_dataset(index) if stage == "val" else self.plan.test_dataset())

    def save(self) -> None:
        """Save all that the accelerator knows of, the loop included."""
        self.accelerator.save_state(str(self.plan.checkpoint))

    def load(self) -> None:
        """Load it."""
        self.accelerator.load_state(str(self.plan.resume_from))

    def _prepared(self, dataset: Any) -> Any:
        data: Dataset[Batch] = dataset
        return self.accelerator.prepare(DataLoader(data, batch_size=1, collate_fn=_only_item))


def run(plan: Plan, hooks: Sequence[Any]) -> Iterator[None] | None:
    """Run a plan. A repeated training gets a new loop and the same hooks."""
    if plan.company == "in_turn":
        return _Script(plan, hooks).steps()
    for _ in range(1 + plan.again):
        _Script(plan, hooks).run()
    return None


def subject() -> Subject:
    """Return the subject."""
    return Subject("accelerate", str(_accelerate.__version__), run=run, capabilities=CAPABILITIES)


def _only_item(items: list[Batch]) -> Batch:
    (item,) = items
    return item


def _optimizer(plan: Plan, weights: list[torch.nn.Parameter], index: int) -> torch.optim.Optimizer:
    groups = [{"params": [weight], "lr": plan.lr_of(0, group, index)} for group, weight in enumerate(weights)]
    return torch.optim.SGD(groups, lr=1.0)
