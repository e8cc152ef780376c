"""The data of a plan: batches, and the datasets and loaders that return them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runtimeinfo_conformance.plans._moments import (
    Item,
    ended_epochs,
    notify_first_read,
    notify_iterator,
    notify_read,
    notify_step,
)

if TYPE_CHECKING:
    from runtimeinfo_conformance.plans._plan import Plan

Stage = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Batch:
    """A batch of the kit's data.

    Attributes:
        stage: The stage of its loader.
        index: Its index in the loader, from 0.
        stop: Whether the user asks to stop the training after it.
    """

    stage: Stage
    index: int
    _outputs: dict[str, Any] = field(repr=False)
    stop: bool = False
    _run: str = field(default="", repr=False)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of a training step on the batch. Reading them raises the plan's fault in a step, if any."""
        if self.stage == "train":
            notify_step(self._run)
        return self._outputs


class PlannedDataset:
    """A dataset of the kit's batches. It has `metainfo` only if the plan does.

    Args:
        plan: The plan.
        stage: The stage that the data is for.
        lengths: The number of batches in each epoch. The last one applies to all later epochs. The length changes as an
            epoch of the training ends.
    """

    def __init__(self, plan: Plan, stage: Stage, lengths: tuple[int, ...]) -> None:
        self._plan = plan
        self.stage: Stage = stage
        self._lengths = lengths
        # The epoch that an item is drawn for. A new one starts where the index does not grow.
        self._epoch = plan.start_epoch
        self._last = -1
        self._process = os.getpid()
        if plan.metainfo is not None and stage == "train":
            self.metainfo: dict[str, Any] = plan.metainfo

    def __len__(self) -> int:
        return self._lengths[0] if len(self._lengths) == 1 else self._length_in(ended_epochs(self._plan.run_name))

    def _length_in(self, epoch: int) -> int:
        return self._lengths[min(epoch, len(self._lengths) - 1)]

    @property
    def run(self) -> str:
        """The name of the run that it belongs to."""
        return self._plan.run_name

    def next_item(self, index: int) -> Item:
        """Return the item that a read of an index would return next."""
        return Item(self.stage, self._epoch + (index <= self._last), index)

    def __getitem__(self, index: int) -> Batch:
        epoch = self.next_item(index).epoch
        if not 0 <= index < self._length_in(epoch):
            raise IndexError(index)
        self._epoch, self._last = epoch, index
        notify_read(self._plan.run_name, Item(self.stage, self._epoch, index), self._process)
        if self.stage != "train":
            return Batch(self.stage, index, {})
        turn = self._plan.iteration_of(self._epoch, index)
        stop = turn + 1 == self._plan.stop_after
        return Batch("train", index, self._plan.outputs_of(turn), stop, self._plan.run_name)


class PlannedLoader:
    """A loader over a `PlannedDataset`, in order, in this process."""

    def __init__(self, dataset: PlannedDataset) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Batch]:
        # Workers would start here, and read ahead. The epoch that they read for is known once a batch is requested.
        return self._batches(notify_iterator(self.dataset.run))

    def _batches(self, seen: object) -> Iterator[Batch]:
        for index in range(len(self.dataset)):
            if index == 0:
                notify_first_read(self.dataset.run, seen, self.dataset.next_item(index))
            yield self.dataset[index]


class SizedPlannedLoader(PlannedLoader):
    """A loader with a length."""

    def __len__(self) -> int:
        return len(self.dataset)
