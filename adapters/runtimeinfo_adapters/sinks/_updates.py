"""The scalars of a hub that were updated since their last row."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from runtimeinfo import MessageHub, ScalarHistory
from runtimeinfo_adapters._numbers import is_same_number
from runtimeinfo_adapters.hub._scalar_history import update_count


class UpdateTracker:
    """Track, for each scalar of a hub, up to which update it has been taken.

    What the hub holds at the beginning counts as taken.

    Args:
        hub: The hub.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("tracked")
        >>> tracker = UpdateTracker(hub)
        >>> hub.update_scalar("train/loss", 0.5)
        >>> [(key, updates) for key, _, updates in tracker.take()]
        [('train/loss', 1)]
        >>> tracker.take()
        []
    """

    def __init__(self, hub: MessageHub) -> None:
        self.hub: MessageHub = hub
        self._taken: dict[str, HistoryPosition] = {
            key: HistoryPosition(history) for key, history in hub.log_scalars.items()
        }
        self._held: dict[str, HistoryPosition] = {}

    def skip_loaded(self) -> None:
        """Count histories that were replaced as taken, because a checkpoint was loaded.

        A history that counts its updates knows itself what came out of the checkpoint, and is left alone.
        """
        for key, history in self.hub.log_scalars.items():
            position = self._taken.get(key)
            if update_count(history) is None and (position is None or not position.is_in(history)):
                self._taken[key] = HistoryPosition(history)

    def hold(self) -> None:
        """Keep what is new at present for the next `take` without `only_since_hold`."""
        self._held = {
            key: HistoryPosition(history)
            for key, history in self.hub.log_scalars.items()
            if _updates_since(self._taken.get(key), history) > 0
        }

    def take(self, *, only_since_hold: bool = False) -> list[tuple[str, ScalarHistory, int]]:
        """Return each updated scalar with its history and the number of updates, and count it as taken.

        Args:
            only_since_hold: Whether to leave out what is held.
        """
        updated: list[tuple[str, ScalarHistory, int]] = []
        for key, history in self.hub.log_scalars.items():
            position = self._taken.get(key)
            if only_since_hold:
                position = self._held.get(key, position)
            updates = _updates_since(position, history)
            if updates:
                self._taken[key] = HistoryPosition(history)
                self._held.pop(key, None)
                if updates > 0:  # otherwise its latest value was taken back
                    updated.append((key, history, updates))
        return updated


class HistoryPosition:
    """A position in a history, which tells later updates from earlier ones without reading the values.

    - A history with an `update_count`, such as the reference hub's, is asked for it.
    - mmengine's HistoryBuffer makes a new array at each update, so the identity of the array tells.
    - Of any other history, the length and the latest value are compared. An update that changes neither is missed:
      the same value again, in a history that has reached its greatest length.

    Args:
        history: The history, as it is now.
    """

    __slots__ = ("_array", "_count", "_history", "_length", "_value")

    def __init__(self, history: ScalarHistory) -> None:
        self._history = history
        self._count = update_count(history)
        self._array: weakref.ref[Any] | None = None
        self._length = 0
        self._value: float | None = None
        if self._count is None:
            values = history.data[0]
            self._length = len(values)
            if _makes_new_arrays(history):
                self._array = weakref.ref(values)
            else:
                self._value = _latest(history, self._length)

    def is_in(self, history: ScalarHistory) -> bool:
        """Tell whether this is a position in the given history, not in one that it has replaced."""
        return self._history is history

    def updates_since(self, history: ScalarHistory) -> int:
        """Return the number of later updates; the least possible one where the history does not count them.

        It is negative if updates that came before this position were taken back.
        """
        if self._history is not history:
            return total_updates(history)
        count = update_count(history)
        if count is not None and self._count is not None:
            return count - self._count
        values = history.data[0]
        length = len(values)
        if self._array is not None:
            is_unchanged = self._array() is values
        else:
            is_unchanged = length == self._length and _is_same(self._value, _latest(history, length))
        return 0 if is_unchanged else max(length - self._length, 1)


def total_updates(history: ScalarHistory) -> int:
    """Return the number of updates of a history in its lifetime.

    A history that counts its updates starts at the checkpoint it came out of. Of any other, it is the number of
    values.
    """
    count = update_count(history)
    return len(history.data[0]) if count is None else count


def _updates_since(position: HistoryPosition | None, history: ScalarHistory) -> int:
    return total_updates(history) if position is None else position.updates_since(history)


def _makes_new_arrays(history: ScalarHistory) -> bool:
    logging: Any = sys.modules.get("mmengine.logging")  # loaded, if such a history exists
    return logging is not None and isinstance(history, logging.HistoryBuffer)


def _latest(history: ScalarHistory, length: int) -> float | None:
    return float(history.current()) if length else None


def _is_same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else is_same_number(one, other)
