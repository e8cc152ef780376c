"""The adapter for Accelerate as a subject: a hand-written loop over what a real Accelerator has prepared."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from runtimeinfo_adapters._framework import import_framework
from runtimeinfo_adapters.accelerate import attach
from runtimeinfo_conformance._plan import Batch, Plan
from runtimeinfo_conformance._subject import Subject

_accelerate: Any = import_framework(
    "accelerate", distribution="accelerate", extra="accelerate", at_least="1.10", below="2"
)


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


class _Script:
    """Does what a plan says, the way a user writes it."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        self.plan = plan
        # Each process iterates over a stream itself: what one sends to the others has to be tensors.
        loading = _accelerate.DataLoaderConfiguration(dispatch_batches=False)
        self.accelerator: Any = _accelerate.Accelerator(
            cpu=True, gradient_accumulation_steps=plan.accumulation, dataloader_config=loading
        )
        self.model: Any = self.accelerator.prepare(_Model(plan))
        self.optimizers: dict[str, Any] = {}
        self.schedulers: list[torch.optim.lr_scheduler.LRScheduler] = []
        for index, name in enumerate(plan.optimizers or ("",)):
            optimizer = _optimizer(plan, list(self.model.weights)[index * plan.groups : (index + 1) * plan.groups])
            # Not prepared: it would step with the optimizer, and the plan wants it to for each batch.
            self.schedulers.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
            self.optimizers[name] = self.accelerator.prepare(optimizer)
        self.accelerator.register_for_checkpointing(*self.schedulers)
        dataset = plan.train_dataset()
        self.validated = 0  # loaders
        self.loop = attach(
            self.accelerator,
            self.optimizers if plan.optimizers else self.optimizers[""],
            self._loader(dataset if plan.sized else _Stream(dataset)),
            max_epochs=plan.max_epochs,
            cfg={"batches": plan.batches},
            seed=plan.seed,
            experiment_name=plan.experiment_name,
            hooks=hooks,
        )

    def run(self) -> None:
        """Make the run."""
        if self.plan.resume_from is not None:
            self.accelerator.load_state(str(self.plan.resume_from))
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
        with self.accelerator.accumulate(self.model):
            self.accelerator.backward(self.model())
            for optimizer in self.optimizers.values():
                optimizer.step()
                optimizer.zero_grad()
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
                for _ in val.batches(self._loader(self.plan.val_dataset(loader))):
                    pass
                val.metrics(self.plan.metrics_of(self.validated))
                self.validated += 1

    def test(self) -> None:
        """Test."""
        with self.loop.test() as test:
            for _ in test.batches(self._loader(self.plan.test_dataset())):
                pass
            test.metrics(self.plan.metrics_of(0))

    def save(self) -> None:
        """Save a checkpoint, if the plan wants any."""
        if self.plan.checkpoint is not None:
            self.accelerator.save_state(str(self.plan.checkpoint))

    def _loader(self, dataset: Any) -> Any:
        data: Dataset[Batch] = dataset
        return self.accelerator.prepare(DataLoader(data, batch_size=1, collate_fn=_only_item))


def run(plan: Plan, hooks: Sequence[Any]) -> None:
    """Do what a plan says."""
    _Script(plan, hooks).run()


def subject() -> Subject:
    """Return the subject."""
    return Subject(
        "accelerate",
        str(_accelerate.__version__),
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


def _only_item(items: list[Batch]) -> Batch:
    (item,) = items
    return item


def _step(schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler]) -> None:
    with warnings.catch_warnings():
        # With accumulation a scheduler steps before its optimizer has: that is what the plan wants.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for scheduler in schedulers:
            scheduler.step()


def _optimizer(plan: Plan, weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    groups = [{"params": [weight], "lr": plan.lr_of(0, group)} for group, weight in enumerate(weights)]
    return torch.optim.SGD(groups, lr=1.0)
