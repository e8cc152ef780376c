"""The numbers by which the workers of a process know its hubs and runs."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

lock = threading.RLock()
"""Guards the numbers and the open scopes; it is held during a fork."""


class _Numbers:
    """Numbers objects by their identity, without keeping them alive."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Any], int]] = {}

    def get(self, key: object) -> int | None:
        found = self._found.get(id(key))
        return found[1] if found is not None and found[0]() is key else None

    def put(self, key: object, number: int) -> None:
        """Give an object a number; raise `TypeError` if it does not support weak references."""
        self._found[id(key)] = weakref.ref(key, partial(self._forget, id(key))), number

    def _forget(self, key: int, reference: weakref.ref[Any]) -> None:
        found = self._found.get(key)
        if found is not None and found[0] is reference:  # another object might have the id by now
            self._found.pop(key, None)


_hub_numbers = _Numbers()
_run_numbers = _Numbers()
_next_hub_number = count(1)
_runs = 0
_last_run: Callable[[], object] = object  # refers to the hub that was entered last
_run_of_another = 0  # the number of the run of another hub before

shared_hubs: set[int] = set()
"""The numbers of the hubs that workers can read now."""

on_new_run: list[Callable[[], None]] = []
"""Called when a run begins: a hub was entered that was not open."""


def hub_number(hub: object) -> int:
    """Return the number by which a hub is known in this process and to its workers; 0 if it cannot have one."""
    with lock:
        number = _hub_numbers.get(hub)
        if number is None:
            number = next(_next_hub_number)
            try:
                _hub_numbers.put(hub, number)
            except TypeError:
                return 0
        return number


def reference(hub: object) -> Callable[[], object]:
    """Return a weak reference to a hub, or to nothing if it does not support these."""
    try:
        return weakref.ref(hub)
    except TypeError:
        return lambda: None


def run_number(hub: object) -> int:
    """Return the number of a hub's last run in this process, or 0 if it had none."""
    return _run_numbers.get(hub) or 0


def other_run_number(hub: object) -> int:
    """Return the number of the last run of any other hub in this process, or 0 if there was none."""
    return _run_of_another if _last_run() is hub else _runs


def run_count() -> int:
    """Return how many runs this process has had so far."""
    return _runs


def number_run(hub: object) -> None:
    """Give the run that begins now its number. The caller holds the lock."""
    global _runs, _last_run, _run_of_another  # noqa: PLW0603
    if _last_run() is not hub:
        _run_of_another, _last_run = _runs, reference(hub)
    _runs += 1
    with suppress(TypeError):
        _run_numbers.put(hub, _runs)
