"""Sharing of a hub: whether it has a board now, and which of the shared hubs is the current one."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtimeinfo import BoardError
from runtimeinfo.board import UnsharedWarning
from runtimeinfo_adapters.sharing._board import Board, HasLatest

SHARE_VARIABLE = "RUNTIMEINFO_SHARE"
"""The environment variable that turns sharing by default off: ``0``, ``false``, ``no`` or ``off``."""

_OFF = ("0", "false", "no", "off")

# Held while a board is made or removed, and during a fork: in the child there is no thread that could release it.
_lock = threading.RLock()
# The boards of the hubs that this process has entered, in the order of entering.
_entered: list[Board] = []
_all: weakref.WeakSet[Sharing] = weakref.WeakSet()


class Sharing:
    """The sharing of one hub: it has a board while it is shared.

    Args:
        infos: A live view of the infos of the hub.
        scalars: A live view of its histories.
        by_default: Whether the hub is shared while it is the current one, without a call of `start`.
    """

    def __init__(self, infos: Mapping[str, Any], scalars: Mapping[str, HasLatest], *, by_default: bool) -> None:
        self.board: Board | None = None
        self.by_default: bool = by_default
        self._infos = infos
        self._scalars = scalars
        self._is_requested = False
        self._times_entered = 0
        self._close: weakref.finalize[..., Any] | None = None
        _all.add(self)

    def start(self) -> Path:
        """Share the hub until `stop`, and return the board.

        Raises:
            BoardError: If no board can be made.
        """
        with _lock:
            self._is_requested = True
            return self._open_board().path

    def stop(self) -> None:
        """Stop sharing the hub, except while it is the current one."""
        with _lock:
            self._is_requested = False
            self._close_if_unused()

    @contextmanager
    def while_current(self) -> Generator[None]:
        """Share the hub as the current one of this process. If no board can be made, warn and continue."""
        board = self._enter()
        try:
            yield
        finally:
            if board is not None:
                self._leave(board)

    def abandon(self) -> None:
        """Stop sharing in a forked child, and leave the board to the parent process."""
        self.board = None
        self._is_requested = False
        self._times_entered = 0

    def _enter(self) -> Board | None:
        if not self.by_default or os.environ.get(SHARE_VARIABLE, "").lower() in _OFF:
            return None
        with _lock:
            try:
                board = self._open_board()
            except BoardError as error:
                warnings.warn(
                    f"this run is not seen from worker processes and other terminals: {error.message}. "
                    f"{SHARE_VARIABLE}=0 turns sharing, and this warning, off",
                    UnsharedWarning,
                    stacklevel=5,
                )
                return None
            self._times_entered += 1
            for other in _entered[-1:]:
                other.set_current(False)
            _entered.append(board)
            board.set_current(True)
            return board

    def _leave(self, board: Board) -> None:
        with _lock:
            if board is not self.board:  # a forked child leaves a scope that its parent has entered
                return
            self._times_entered -= 1
            del _entered[_last_index(board)]
            if board not in _entered:
                board.set_current(False)
            self._close_if_unused()
            for last in _entered[-1:]:
                last.set_current(True)

    def _open_board(self) -> Board:
        if self.board is None:
            board = Board(self._infos, self._scalars)
            self._close = weakref.finalize(self, board.close)  # at the latest when the process ends
            self.board = board  # from now on each update is written to it
            board.refresh_all()
        return self.board

    def _close_if_unused(self) -> None:
        if self.board is not None and self._close is not None and not self._times_entered and not self._is_requested:
            self.board = None
            self._close()


def _last_index(board: Board) -> int:
    return next(index for index in reversed(range(len(_entered))) if _entered[index] is board)


def _after_fork_in_child() -> None:
    _lock.release()
    _entered.clear()
    for sharing in list(_all):
        sharing.abandon()


if hasattr(os, "register_at_fork"):  # where the system can fork
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child)
