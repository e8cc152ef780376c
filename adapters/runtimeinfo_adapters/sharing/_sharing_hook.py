"""Sharing for a hub that cannot do it itself."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from runtimeinfo.authoring import SupportsSharing, on_any_event
from runtimeinfo.board import layout
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_adapters.sharing._board import Board
from runtimeinfo_adapters.sharing._other_hub import LiveInfos, LiveScalars
from runtimeinfo_adapters.sharing._sharing import Sharing

_ITERATION = {event for event, arguments in HOOK_POINTS.items() if "batch_idx" in arguments}


@on_any_event(by="hear")
class SharingHook:
    """Shares the runner's hub during each run, where the hub cannot do it itself: mmengine's cannot.

    What the hub holds after `RuntimeInfoHook` has published at an event is on the board before any other hook hears of
    the event. The bundled adapters have it where their hub needs it.

    Example:
        >>> from runtimeinfo import RuntimeInfoHook
        >>> from runtimeinfo.authoring import Dispatcher
        >>> hooks = Dispatcher([RuntimeInfoHook(), SharingHook()]).hooks
        >>> [type(hook).__name__ for hook in hooks]
        ['RuntimeInfoHook', 'SharingHook']

    Source: SHARE-01, SHARE-03.
    """

    # That of the hook that publishes: of two hooks with one priority, the one registered first runs first.
    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._current = ExitStack()
        self._sharing: Sharing | None = None
        self._hub: Any = None
        self._written: dict[str, Any] = {}

    def hear(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:  # noqa: ARG002
        """Bring the board up to date."""
        if event == "before_run":
            self._begin(runner.message_hub)
        elif event == "after_run":
            self._end()
        elif self._sharing is not None and self._sharing.board is not None:
            if event in _ITERATION:
                self._write_changed(self._sharing.board)
            else:
                self._written = self._position()
                self._sharing.board.follow_all()

    def _begin(self, hub: Any) -> None:
        self._end()  # a run that was left open
        if not isinstance(hub, SupportsSharing):
            self._hub = hub
            self._sharing = Sharing(LiveInfos(hub), LiveScalars(hub), by_default=True)
            self._current.enter_context(self._sharing.while_current())

    def _end(self) -> None:
        self._current.close()
        self._sharing = self._hub = None
        self._written = {}

    def _write_changed(self, board: Board) -> None:
        # As a rule it is iter alone: each of the others would bring all scalars along.
        before, self._written = self._written, self._position()
        for key, value in self._written.items():
            if key not in before or before[key] is not value:
                board.write_info(key, value)

    def _position(self) -> dict[str, Any]:
        infos = self._hub.runtime_info
        return {key: infos[key] for key in layout.SLOTS if key in infos}
