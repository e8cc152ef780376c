"""Scalars of a hub that were updated since they were last written."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from runtimeinfo import MessageHub, ScalarHistory
from runtimeinfo_adapters.hub._scalar_history import update_count


class Mark:
    """A place in a history, from which one can tell whether it was updated since, at no cost that grows with it.

    - A history that has an `update_count`, as the reference hub's, is asked for it.
    - mmengine's HistoryBuffer makes a new array at each update: whether it is still the same one tells.
    - Of any other, the length and the latest value are compared. An update is missed if it changes neither: the
      same value once more, in a history that has reached its greatest length.

    Args:
        history: The history, as it is now.
    """

    __slots__ = ("_array", "_count", "_history", "_length", "_value")

    def __init__(self, history: ScalarHistory) -> None:
        self._history = history
        self._count = update_count(history)
        self._array: weakref.ref[Any] | None = None
        self._length = 0
        self._value: Any = None
        if self._count is None:
            values = history.data[0]
            self._length = len(values)
            if _makes_new_arrays(history):
                self._array = weakref.ref(values)
            else:
                self._value = _latest(history, self._length)

    def is_of(self, history: ScalarHistory) -> bool:
        """Tell whether it is a place in this history, and not in one that has been replaced meanwhile."""
        return self._history is history

    def updates_of(self, history: ScalarHistory) -> int:
        """Return how many updates came since; at least, where the history cannot tell any more."""
        if self._history is not history:
            return updates_of(history)
        count = update_count(history)
        if count is not None and self._count is not None:
            return count - self._count
        values = history.data[0]
        length = len(values)
        if self._array is not None:
            is_same = self._array() is values
        else:
            is_same = length == self._length and _is_same(self._value, _latest(history, length))
        return 0 if is_same else max(length - self._length, 1)


def updates_of(history: ScalarHistory) -> int:
    """Return how many updates a history has had in its life.

    One that came out of a checkpoint counts from there, if it counts at all; otherwise these are its values.
    """
    count = update_count(history)
    return len(history.data[0]) if count is None else count


def counts_updates(history: ScalarHistory) -> bool:
    """Tell whether a history counts its updates, and so knows itself what came out of a checkpoint."""
    return update_count(history) is not None


def _makes_new_arrays(history: ScalarHistory) -> bool:
    logging: Any = sys.modules.get("mmengine.logging")  # whoever has such a history has loaded it
    return logging is not None and isinstance(history, logging.HistoryBuffer)


def _latest(history: ScalarHistory, length: int) -> float | None:
    return float(history.current()) if length else None


def _is_same(one: float | None, other: float | None) -> bool:
    return one == other or (one != one and other != other)  # one NaN is as good as another


class News:
    """Knows for each scalar of a hub how far it has been taken.

    What the hub holds at the beginning is no news.

    Args:
        hub: The hub.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("news")
        >>> news = News(hub)
        >>> hub.update_scalar("train/loss", 0.5)
        >>> [(key, updates) for key, _, updates in news.take()]
        [('train/loss', 1)]
        >>> news.take()
        []
    """

    def __init__(self, hub: MessageHub) -> None:
        self.hub: MessageHub = hub
        self._marks: dict[str, Mark] = {key: Mark(history) for key, history in hub.log_scalars.items()}
        self._held: dict[str, Mark] = {}

    def skip_loaded(self) -> None:
        """Let histories that were replaced meanwhile count as old: a checkpoint was loaded.

        One that counts its updates knows better, and is left alone.
        """
        for key, history in self.hub.log_scalars.items():
            mark = self._marks.get(key)
            if not counts_updates(history) and (mark is None or not mark.is_of(history)):
                self._marks[key] = Mark(history)

    def hold(self) -> None:
        """Keep the news of now for the next `take` without `only_since_hold`."""
        self._held = {
            key: Mark(history)
            for key, history in self.hub.log_scalars.items()
            if self._updates(self._marks.get(key), history)
        }

    def take(self, *, only_since_hold: bool = False) -> list[tuple[str, ScalarHistory, int]]:
        """Return each scalar that was updated, with its history and the number of updates; from now on it is old.

        Args:
            only_since_hold: Whether what was held stays news.
        """
        taken: list[tuple[str, ScalarHistory, int]] = []
        for key, history in self.hub.log_scalars.items():
            mark = self._marks.get(key)
            if only_since_hold:
                mark = self._held.get(key, mark)
            updates = self._updates(mark, history)
            if updates:
                self._marks[key] = Mark(history)
                self._held.pop(key, None)
                taken.append((key, history, updates))
        return taken

    @staticmethod
    def _updates(mark: Mark | None, history: ScalarHistory) -> int:
        return updates_of(history) if mark is None else mark.updates_of(history)
