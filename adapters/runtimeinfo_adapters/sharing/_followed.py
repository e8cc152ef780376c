"""The copy of a hub in a worker process: it follows the hub in the process that trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtimeinfo import BoardError
from runtimeinfo._user_warning import warn_user
from runtimeinfo._worker_run import WorkerOrigin
from runtimeinfo.board import BoardReader, UnsharedWarning
from runtimeinfo.board._reader import find_hub_board, folder_stamp
from runtimeinfo_adapters.sharing._board import HasLatest

_ABSENT: Any = object()


class Followed:
    """The hub that a copy in a worker process follows, while and after it is the hub of a run.

    The copy answers with what is on the board of the hub. Where the board has nothing, it keeps what it had at first,
    and it keeps what the worker itself has published to it. After the run it answers with what the run had last.

    Args:
        origin: The process that trains, and the number of the hub in it.
        infos: The infos of the copy.
        scalars: Its histories.
        is_in_run: Whether a run publishes to the hub: then the copy must not be asked without a board.

    Source: SCOPE-06.
    """

    def __init__(
        self, origin: WorkerOrigin, infos: Mapping[str, Any], scalars: Mapping[str, HasLatest], *, is_in_run: bool
    ) -> None:
        self.origin = origin
        self._infos = infos
        self._scalars = scalars
        self._at_first = dict(infos)
        self._reader: BoardReader | None = None
        self._stamp: int | None = None
        self._warns = is_in_run

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return an info of the hub, or else of the copy."""
        if not self._is_own(key):
            found = self._ask("get_info", key, _ABSENT)
            if found is not _ABSENT:
                return found
        return self._infos.get(key, default)

    def get_scalar(self, key: str) -> Any:
        """Return the latest value of a scalar of the hub; None if the copy has a newer history, or there is none."""
        found = self._ask("get_scalar", key)
        if found is _ABSENT:
            return None
        history = self._scalars.get(key)
        latest = None if history is None else history.latest()
        return found if latest is None or latest.updates < found.update_count else None

    def infos(self) -> dict[str, Any]:
        """Return all infos: the copy's, overridden by the hub's."""
        snapshot = self._ask("snapshot")
        shared: dict[str, Any] = {} if snapshot is _ABSENT else snapshot.infos
        return {**self._infos, **{key: value for key, value in shared.items() if not self._is_own(key)}}

    def _is_own(self, key: str) -> bool:
        """Tell whether the worker itself has published an info to the copy."""
        return self._infos.get(key, _ABSENT) is not self._at_first.get(key, _ABSENT)

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            reader = self._find()
            return _ABSENT if reader is None else getattr(reader, method)(*arguments)
        except KeyError:  # no such scalar
            return _ABSENT
        except BoardError as error:
            self._warn(error.message)
            return _ABSENT

    def _find(self) -> BoardReader | None:
        reader = self._reader
        if reader is not None and reader.is_in_run:
            return reader
        stamp = folder_stamp(self.origin.folder)
        if stamp is None or stamp != self._stamp:
            self._stamp = stamp
            self._reader = reader = find_hub_board(self.origin) or reader
        if reader is None:
            self._warn("the hub is not shared")
        return reader

    def _warn(self, fault: str) -> None:
        if self._warns:
            self._warns = False
            warn_user(
                "this copy of a hub in a worker process cannot follow the run, and keeps what it had when the worker "
                f"was started: {fault}. Ask current_hub() instead, or share the run [SCOPE-06]",
                UnsharedWarning,
            )
