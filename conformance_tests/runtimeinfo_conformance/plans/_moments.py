"""The moments between events at which a run uses the plan's data, and can fail."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MOMENTS = ("train_data", "val_data", "test_data", "train_step")
"""A read of a data item, and a training step's read of its outputs."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the plan's data.

    Attributes:
        stage: The stage that the data belongs to.
        epoch: The epoch that it is read for, from 0. Meaningful for training data only.
        index: Its index, from 0.
    """

    stage: str
    epoch: int
    index: int


class Listener(Protocol):
    """A listener to moments that may raise at them. It knows the number of completed training epochs."""

    @property
    def ended_epochs(self) -> int:
        """The number of training epochs that have ended."""
        ...

    def on_read(self, item: Item) -> None:
        """Handle the read of an item."""
        ...

    def on_iterator(self) -> object:
        """Handle the creation of an iterator, and return another process's view at that time."""
        ...

    def on_first_read(self, seen: object, item: Item) -> None:
        """Handle the first read through an iterator, given the view from when that was created."""
        ...

    def on_batch_begin(self) -> None:
        """Handle the start of a training batch."""
        ...

    def on_step(self) -> None:
        """Handle a training step's read of its outputs."""
        ...


# Indexed by the name of the run, because several may be open at once in any thread. They cannot be kept in the plan,
# because frameworks copy data sets.
_listeners: dict[str, list[Listener]] = {}


def notify_read(run: str, item: Item, process: int) -> None:
    """Notify the listener of a run that an item is read.

    Args:
        run: The experiment name of the plan.
        item: The item.
        process: The process that created the data set. Workers have no listener, so a file keeps their items until the
            end of the run.
    """
    if os.getpid() != process:
        with _reads_file(run, process).open("a", encoding="utf-8") as file:
            file.write(f"{item.stage}\n")
        return
    for listener in _listeners_of(run):
        listener.on_read(item)


def notify_iterator(run: str) -> object:
    """Notify the listener of a run of a new iterator over its data, and return the listener's view."""
    return next((listener.on_iterator() for listener in _listeners_of(run)), None)


def notify_first_read(run: str, seen: object, item: Item) -> None:
    """Notify the listener of a run of an iterator's first item, with the view from the iterator's creation."""
    for listener in _listeners_of(run):
        listener.on_first_read(seen, item)


def reads_elsewhere(run: str) -> Counter[str]:
    """Return the number of items of each stage that workers of this process read for a run, and reset it."""
    file = _reads_file(run, os.getpid())
    try:
        stages = file.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return Counter()
    file.unlink()
    return Counter(stages)


def _reads_file(run: str, process: int) -> Path:
    digest = hashlib.blake2s(run.encode(errors="replace"), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir(), f"runtimeinfo-reads-{process}-{digest}")


def notify_batch_begin(run: str) -> None:
    """Notify the listener of a run that a training batch starts."""
    for listener in _listeners_of(run):
        listener.on_batch_begin()


def notify_step(run: str) -> None:
    """Notify the listener of a run that a training step reads its outputs."""
    for listener in _listeners_of(run):
        listener.on_step()


def ended_epochs(run: str) -> int:
    """Return the number of ended epochs of a training, or 0 if nothing listens to it."""
    return next((listener.ended_epochs for listener in _listeners_of(run)), 0)


def _listeners_of(run: str) -> list[Listener]:
    """Return the last listener of a run, in a list that may be empty."""
    return _listeners.get(run, [])[-1:]


@contextmanager
def hearing(run: str, listener: Listener) -> Generator[None]:
    """Notify a listener of each moment of a run within the context.

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
