"""The moments between two events at which a run comes upon the plan, as components do, and can go wrong."""

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

    def on_iterator(self) -> object:
        """Hear that an iterator over some data is made; return what another process sees then."""
        ...

    def on_first_read(self, seen: object, item: Item) -> None:
        """Hear of the first item that is read through an iterator, with what was seen as that was made."""
        ...

    def on_batch_begin(self) -> None:
        """Hear that a training batch begins."""
        ...

    def on_step(self) -> None:
        """Hear that a training step asks its batch what to return."""
        ...


# By the name of the run: several may be open at once, in any thread. Not in the plan: frameworks copy data sets.
_listeners: dict[str, list[Listener]] = {}


def tell_of_read(run: str, item: Item, process: int) -> None:
    """Tell the listener of a run that an item is read.

    Args:
        run: The experiment name of the plan.
        item: The item.
        process: The process in which the data set was made. A worker has no listener: a file keeps the item for
            the end of the run.
    """
    if os.getpid() != process:
        with _reads_file(run, process).open("a", encoding="utf-8") as file:
            file.write(f"{item.stage}\n")
        return
    for listener in _listeners_of(run):
        listener.on_read(item)


def tell_of_iterator(run: str) -> object:
    """Tell the listener of a run that an iterator over its data is made; return what it sees then."""
    return next((listener.on_iterator() for listener in _listeners_of(run)), None)


def tell_of_first_read(run: str, seen: object, item: Item) -> None:
    """Tell the listener of a run which item is the first of an iterator, and what it saw as that was made."""
    for listener in _listeners_of(run):
        listener.on_first_read(seen, item)


def reads_elsewhere(run: str) -> Counter[str]:
    """Return how many items of each stage were read by workers of this process for a run, and forget them."""
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
