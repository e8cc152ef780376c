"""The data of a plan: batches, and the datasets and loaders that hand them out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runtimeinfo_conformance.plans._moments import (
    Item,
    ended_epochs,
    tell_of_first_read,
    tell_of_iterator,
    tell_of_read,
    tell_of_step,
)

if TYPE_CHECKING:
    from runtimeinfo_conformance.plans._plan import Plan

Stage = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Batch:
    """A batch of the kit's data.

    Attributes:
        stage: Whose loader it comes from.
        index: Its place in the loader, from 0.
        stop: Whether the user asks to stop the training after it.
    """

    stage: Stage
    index: int
    _outputs: dict[str, Any] = field(repr=False)
    stop: bool = False
    _run: str = field(default="", repr=False)

    @property
    def outputs(self) -> dict[str, Any]:
        """What a training step on it is to return. To ask for it may raise what the plan raises in a step."""
        if self.stage == "train":
            tell_of_step(self._run)
        return self._outputs


class PlannedDataset:
    """A dataset of the kit's batches; `metainfo` only if the plan has some.

    Args:
        plan: The plan.
        stage: Which part of the data.
        lengths: How many batches: in each epoch, the last of them in all that follow. The length changes as an epoch of
            the training ends.
    """

    def __init__(self, plan: Plan, stage: Stage, lengths: tuple[int, ...]) -> None:
        self._plan = plan
        self.stage: Stage = stage
        self._lengths = lengths
        # The epoch that an item is drawn for: another one begins where the index does not grow.
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
        """The name of the run that it is made for."""
        return self._plan.run_name

    def next_item(self, index: int) -> Item:
        """Return which item is read if one of an index is read next."""
        return Item(self.stage, self._epoch + (index <= self._last), index)

    def __getitem__(self, index: int) -> Batch:
        epoch = self.next_item(index).epoch
        if not 0 <= index < self._length_in(epoch):
            raise IndexError(index)
        self._epoch, self._last = epoch, index
        tell_of_read(self._plan.run_name, Item(self.stage, self._epoch, index), self._process)
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
        # Here workers would start, and read ahead; for which epoch, shows once a batch is asked for.
        return self._batches(tell_of_iterator(self.dataset.run))

    def _batches(self, seen: object) -> Iterator[Batch]:
        for index in range(len(self.dataset)):
            if index == 0:
                tell_of_first_read(self.dataset.run, seen, self.dataset.next_item(index))
            yield self.dataset[index]


class SizedPlannedLoader(PlannedLoader):
    """A loader which knows its length."""

    def __len__(self) -> int:
        return len(self.dataset)
