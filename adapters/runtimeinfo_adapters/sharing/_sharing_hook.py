"""Share a hub that knows nothing of boards, such as mmengine's, by a hook."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, cast

from runtimeinfo import MessageHub, ScalarHistory
from runtimeinfo.authoring import SupportsSharing, on_any_event
from runtimeinfo.board import layout
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_adapters.sharing._board import Board, Latest
from runtimeinfo_adapters.sharing._sharing import Sharing

# Beyond that, dividing two floats tells nothing about a count.
_INEXACT = 1e300
_ROUNDING = 1e-9


class InfosView(Mapping[str, Any]):
    """A live view of the infos of any hub.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: MessageHub) -> None:
        self._hub = hub

    def __getitem__(self, key: str) -> Any:
        return self._hub.runtime_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._hub.runtime_info))

    def __len__(self) -> int:
        return len(self._hub.runtime_info)


class ScalarsView(Mapping[str, "HistoryView"]):
    """A live view of the latest values of any hub.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: MessageHub) -> None:
        self._hub = hub
        self._histories: dict[str, HistoryView] = {}

    def __getitem__(self, key: str) -> HistoryView:
        history = self._hub.log_scalars[key]
        known = self._histories.get(key)
        if known is None or known.history is not history:
            known = self._histories[key] = HistoryView(history)
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._hub.log_scalars))

    def __len__(self) -> int:
        return len(self._hub.log_scalars)


class HistoryView:
    """The latest value of any history, by the protocol's methods only. These do not tell how often it was updated.

    Args:
        history: The history.
    """

    def __init__(self, history: ScalarHistory) -> None:
        self.history = history
        self._last: tuple[float, float] | None = None
        self._changes = 0

    def latest(self) -> Latest | None:
        """Return the latest value, and the number of changes seen here as its update; None if there is no value."""
        try:
            value, mean = cast("Any", self.history.current()), self.history.mean(1)
        except ValueError:  # it is empty
            return None
        plain = value.item() if hasattr(value, "item") else value
        number = plain if isinstance(plain, int) else float(plain)
        samples = _samples(number, float(mean))
        if self._last != (number, samples):
            self._last = number, samples
            self._changes += 1
        return Latest(number, samples, self._changes)


def _samples(number: float, mean: float) -> float:
    """Return the count of a value whose mean is known: the value divided by the mean."""
    samples = number / mean if mean and math.isfinite(mean) and abs(number) < _INEXACT else 1.0
    return round(samples) if abs(samples - round(samples)) < _ROUNDING else samples


_ITERATION = {event for event, arguments in HOOK_POINTS.items() if "batch_idx" in arguments}


@on_any_event(by="on_event")
class SharingHook:
    """Shares the runner's hub during each run if the hub cannot share itself, such as mmengine's.

    At each event the board has what `RuntimeInfoHook` has published, before any other hook is called. The bundled
    adapters add it where their hub needs it.

    Example:
        >>> from runtimeinfo import RuntimeInfoHook
        >>> from runtimeinfo.authoring import Dispatcher
        >>> hooks = Dispatcher([RuntimeInfoHook(), SharingHook()]).hooks
        >>> [type(hook).__name__ for hook in hooks]
        ['RuntimeInfoHook', 'SharingHook']

    Source: SHARE-01, SHARE-03.
    """

    # The priority of the hook that publishes: of two hooks with one priority, the one registered first runs first.
    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._current = ExitStack()
        self._sharing: Sharing | None = None
        self._hub: Any = None
        self._written: dict[str, Any] = {}

    def __reduce__(self) -> tuple[type[SharingHook], tuple[()]]:
        return SharingHook, ()  # a copy shares nothing until its own run begins

    def on_event(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:  # noqa: ARG002
        """Write to the board what has changed at an event. Whatever happens to the board, it raises nothing."""
        if event == "before_run":
            self._begin(runner.message_hub)
        elif event == "after_run":
            self._end()
        elif self._sharing is not None and self._sharing.board is not None:
            try:
                if event in _ITERATION:
                    self._write_changed(self._sharing.board)
                else:
                    self._written = self._position()
                    self._sharing.board.refresh_all()
            except Exception as error:  # noqa: BLE001  # of a hub that cannot be read
                self._sharing.give_up(error)

    def _begin(self, hub: Any) -> None:
        self._end()  # an earlier run that did not end
        if not isinstance(hub, SupportsSharing):
            self._hub = hub
            self._sharing = Sharing(InfosView(hub), ScalarsView(hub), by_default=True, hub=hub)
            self._current.enter_context(self._sharing.while_current())

    def _end(self) -> None:
        self._current.close()
        self._sharing = self._hub = None
        self._written = {}

    def _write_changed(self, board: Board) -> None:
        # Usually only iter has changed; writing another slot writes all scalars as well.
        before, self._written = self._written, self._position()
        for key, value in self._written.items():
            if key not in before or before[key] is not value:
                board.write_info(key, value)

    def _position(self) -> dict[str, Any]:
        infos = self._hub.runtime_info
        return {key: infos[key] for key in layout.SLOTS if key in infos}
