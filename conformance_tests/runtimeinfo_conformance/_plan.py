"""A plan: one small training, said in data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from runtimeinfo import is_scalar
from runtimeinfo_conformance._values import make_value

Stage = Literal["train", "val", "test"]

Values = tuple[tuple[str, str], ...]
"""Names and kinds of outputs or metrics."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong: the last hook raises at the n-th time of an event.

    Attributes:
        event: At which event.
        occurrence: The how manieth of them, from 0.
        kind: ``"error"`` for an Exception, ``"interrupt"`` for a KeyboardInterrupt.
    """

    event: str
    occurrence: int = 0
    kind: Literal["error", "interrupt"] = "error"


class PlannedError(Exception):
    """What a plan raises on purpose."""


@dataclass(frozen=True)
class Batch:
    """A batch of the kit's data.

    Attributes:
        stage: Whose loader it comes from.
        index: Its place in the loader, from 0.
        outputs: What a training step on it shall return.
    """

    stage: Stage
    index: int
    outputs: dict[str, Any]


class PlannedDataset:
    """A dataset of the kit's batches; `metainfo` only if the plan has some.

    Args:
        plan: The plan.
        stage: Which part of the data.
        length: How many batches.
    """

    def __init__(self, plan: Plan, stage: Stage, length: int) -> None:
        self._plan = plan
        self._stage: Stage = stage
        self._length = length
        self._drawn = plan.start_iteration
        if plan.metainfo is not None and stage == "train":
            self.metainfo: dict[str, Any] = plan.metainfo

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < self._length:
            raise IndexError(index)
        if self._stage != "train":
            return Batch(self._stage, index, {})
        turn, self._drawn = self._drawn, self._drawn + 1
        return Batch("train", index, self._plan.outputs_of(turn))


class PlannedLoader:
    """A loader over a `PlannedDataset`, in order, in this process."""

    def __init__(self, dataset: PlannedDataset) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Batch]:
        for index in range(len(self.dataset)):
            yield self.dataset[index]


class SizedPlannedLoader(PlannedLoader):
    """A loader which knows its length."""

    def __len__(self) -> int:
        return len(self.dataset)


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan:
    """One small training. A subject's `run` shall do what it says, as far as its capabilities go.

    Attributes:
        max_epochs: Epochs of the whole training.
        batches: Batches an epoch; maybe none.
        sized: Whether the training loader has a length.
        val_batches: Batches of the validation after each epoch; None for no validation.
        test_batches: Batches of the test after the training; None for no test.
        outputs: Names and kinds of what a training step returns: see `Batch.outputs`.
        metrics: Names and kinds of the metrics: see `metrics_of`.
        optimizers: Names of the optimizers; empty for one without a name.
        groups: Param groups of each optimizer.
        schedule: Whether each iteration halves the learning rate: see `lr_of`.
        accumulation: Batches for one optimizer step.
        metainfo: The metainfo of the training dataset, or None if it has none.
        seed: The seed of the run. Publish it; nothing here is random.
        experiment_name: The name of the run.
        resume_after: The kit's own: after how many epochs the training is saved, and goes on in a new runner.
        fault: The kit's own: what goes wrong.
        hook_order: The kit's own: in which order the hooks are given.
        start_epoch: How many epochs a resumed training has behind it.
        checkpoint: Where to save a checkpoint after each epoch, or None.
        resume_from: The checkpoint to go on from, or None.
    """

    max_epochs: int = 1
    batches: int = 1
    sized: bool = True
    val_batches: int | None = None
    test_batches: int | None = None
    outputs: Values = ()
    metrics: Values = ()
    optimizers: tuple[str, ...] = ()
    groups: int = 1
    schedule: bool = False
    accumulation: int = 1
    metainfo: dict[str, Any] | None = None
    seed: int = 0
    experiment_name: str = "conformance"
    resume_after: int | None = None
    fault: Fault | None = None
    hook_order: int = 0
    start_epoch: int = 0
    checkpoint: Path | None = None
    resume_from: Path | None = None

    # -- what a subject reads

    def train_dataset(self) -> PlannedDataset:
        """Return the training data, for a framework that makes its own loader (one item a batch, in order)."""
        return PlannedDataset(self, "train", self.batches)

    def train_dataloader(self) -> PlannedLoader:
        """Return a loader of the training data."""
        dataset = self.train_dataset()
        return SizedPlannedLoader(dataset) if self.sized else PlannedLoader(dataset)

    def val_dataset(self) -> PlannedDataset:
        """Return the validation data."""
        return PlannedDataset(self, "val", self.val_batches or 0)

    def val_dataloader(self) -> PlannedLoader:
        """Return a loader of the validation data."""
        return SizedPlannedLoader(self.val_dataset())

    def test_dataset(self) -> PlannedDataset:
        """Return the test data."""
        return PlannedDataset(self, "test", self.test_batches or 0)

    def test_dataloader(self) -> PlannedLoader:
        """Return a loader of the test data."""
        return SizedPlannedLoader(self.test_dataset())

    def outputs_of(self, iteration: int) -> dict[str, Any]:
        """Return what the training step of an iteration returns; `Batch.outputs` has it ready."""
        return {name: make_value(kind, iteration) for name, kind in self.outputs}

    def metrics_of(self, turn: int) -> dict[str, Any]:
        """Return the metrics of the validation after an epoch (from 0), or of the test (turn 0)."""
        return {name: make_value(kind, turn) for name, kind in self.metrics}

    def lr_of(self, iteration: int) -> float:
        """Return the learning rate of an iteration, of every optimizer and group."""
        return 0.5**iteration if self.schedule else 1.0

    @property
    def start_iteration(self) -> int:
        """How many iterations a resumed training has behind it."""
        return self.start_epoch * self.batches

    # -- what the kit expects

    @property
    def max_iters(self) -> int:
        """Iterations of the whole training."""
        return self.max_epochs * self.batches

    def scalar_outputs(self, iteration: int) -> dict[str, Any]:
        """Return the outputs of an iteration that are scalars."""
        return {name: value for name, value in self.outputs_of(iteration).items() if is_scalar(value)}

    def __repr__(self) -> str:
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return f"Plan({', '.join(f'{name}={value!r}' for name, value, default in given if value != default)})"
