"""When a run reads an item of a plan's data: between two events, where components are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass


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


Listener = Callable[[Item], None]

# Not a context variable: a run may have a thread of its own. And not in the plan: frameworks copy data sets.
_listeners: list[Listener] = []


def tell_of_read(item: Item) -> None:
    """Tell whoever listens that an item is read."""
    for listener in _listeners[-1:]:
        listener(item)


@contextmanager
def hearing_reads(listener: Listener) -> Generator[None]:
    """Let a function be called for each item that is read inside."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
