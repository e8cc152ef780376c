"""The moments between two events at which a run comes upon the plan, as components do, and can go wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

MOMENTS = ("train_data", "val_data", "test_data", "train_step")
"""An item of the data is read; a training step asks its batch what to return."""


@dataclass(frozen=True, slots=True)
class Item:
    """Which item is read.

    Attributes:
        stage: Whose data it is.
        epoch: The epoch that it is for, from 0; of training data only.
        index: Its place, from 0.
    """

    stage: str
    epoch: int
    index: int


class Listener(Protocol):
    """Is told of each moment, and may raise at it; knows how many epochs of the training have ended."""

    @property
    def ended_epochs(self) -> int:
        """How many epochs of the training have ended."""
        ...

    def on_read(self, item: Item) -> None:
        """Hear that an item is read."""
        ...

    def on_batch_begin(self) -> None:
        """Hear that a training batch begins."""
        ...

    def on_step(self) -> None:
        """Hear that a training step asks its batch what to return."""
        ...


# Not a context variable: a run may have a thread of its own. And not in the plan: frameworks copy data sets.
_listeners: list[Listener] = []


def tell_of_read(item: Item) -> None:
    """Tell whoever listens that an item is read."""
    for listener in _listeners[-1:]:
        listener.on_read(item)


def tell_of_batch_begin() -> None:
    """Tell whoever listens that a training batch begins."""
    for listener in _listeners[-1:]:
        listener.on_batch_begin()


def tell_of_step() -> None:
    """Tell whoever listens that a training step asks its batch what to return."""
    for listener in _listeners[-1:]:
        listener.on_step()


def ended_epochs() -> int:
    """Return how many epochs of the training that is listened to have ended; 0 if none is."""
    return _listeners[-1].ended_epochs if _listeners else 0


@contextmanager
def hearing(listener: Listener) -> Generator[None]:
    """Let a listener be told of each moment inside."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
