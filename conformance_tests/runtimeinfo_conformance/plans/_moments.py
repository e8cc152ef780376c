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


# By the name of the run: several may be open at once, in any thread. Not in the plan: frameworks copy data sets.
_listeners: dict[str, list[Listener]] = {}


def tell_of_read(run: str, item: Item) -> None:
    """Tell the listener of a run that an item is read."""
    for listener in _listeners_of(run):
        listener.on_read(item)


def tell_of_batch_begin(run: str) -> None:
    """Tell the listener of a run that a training batch begins."""
    for listener in _listeners_of(run):
        listener.on_batch_begin()


def tell_of_step(run: str) -> None:
    """Tell the listener of a run that a training step asks its batch what to return."""
    for listener in _listeners_of(run):
        listener.on_step()


def ended_epochs(run: str) -> int:
    """Return how many epochs of a training that is listened to have ended; 0 if it is not."""
    return next((listener.ended_epochs for listener in _listeners_of(run)), 0)


def _listeners_of(run: str) -> list[Listener]:
    """Return the last one that listens to a run, if any does."""
    return _listeners.get(run, [])[-1:]


@contextmanager
def hearing(run: str, listener: Listener) -> Generator[None]:
    """Let a listener be told of each moment of a run inside.

    Args:
        run: The experiment name of the plan.
        listener: The listener.
    """
    _listeners.setdefault(run, []).append(listener)
    try:
        yield
    finally:
        _listeners[run].remove(listener)
        if not _listeners[run]:
            del _listeners[run]
