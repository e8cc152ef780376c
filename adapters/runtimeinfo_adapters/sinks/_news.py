"""Which scalars of a hub were updated since they were last written."""

from __future__ import annotations

from runtimeinfo import MessageHub, ScalarHistory
from runtimeinfo_adapters.sinks._mark import Mark, counts_updates, updates_of


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
