"""Whether a hub is shared, and which of the shared hubs is the current one."""

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
from runtimeinfo_adapters.sharing._board import Board, KnowsLatest

SHARE_VARIABLE = "RUNTIMEINFO_SHARE"
"""The environment variable that turns sharing by default off: ``0``, ``false``, ``no`` or ``off``."""

_OFF = ("0", "false", "no", "off")

# Held while a board is made or removed, and during a fork: in the child there is no thread that could release it.
_lock = threading.RLock()
# The boards of this process that are in use as the current one, the last entered one last.
_entered: list[Board] = []
_all: weakref.WeakSet[Sharing] = weakref.WeakSet()


class Sharing:
    """Whether a hub is shared, and its board while it is.

    Args:
        infos: The infos of the hub, as they are at any time.
        scalars: Its histories, likewise.
        by_default: Whether it is shared while it is the current hub, without anybody having asked for it.
    """

    def __init__(self, infos: Mapping[str, Any], scalars: Mapping[str, KnowsLatest], *, by_default: bool) -> None:
        self.board: Board | None = None
        self.by_default: bool = by_default
        self._infos = infos
        self._scalars = scalars
        self._is_asked_for = False
        self._uses = 0
        self._close: weakref.finalize[..., Any] | None = None
        _all.add(self)

    def start(self) -> Path:
        """Share the hub until `stop`, and return the board.

        Raises:
            BoardError: If no board can be made.
        """
        with _lock:
            self._is_asked_for = True
            return self._opened().path

    def stop(self) -> None:
        """Stop sharing it, except while it is the current hub."""
        with _lock:
            self._is_asked_for = False
            self._close_if_unused()

    @contextmanager
    def while_current(self) -> Generator[None]:
        """Share the hub as the current one of this process; where no board can be made, warn and go on."""
        board = self._enter()
        try:
            yield
        finally:
            if board is not None:
                self._leave(board)

    def forget(self) -> None:
        """Be unshared, and leave the board alone: it is that of the process from which this one was forked."""
        self.board = None
        self._is_asked_for = False
        self._uses = 0

    def _enter(self) -> Board | None:
        if not self.by_default or os.environ.get(SHARE_VARIABLE, "").lower() in _OFF:
            return None
        with _lock:
            try:
                board = self._opened()
            except BoardError as error:
                warnings.warn(
                    f"this run is not seen from worker processes and other terminals: {error.message}. "
                    f"{SHARE_VARIABLE}=0 turns sharing, and this warning, off",
                    UnsharedWarning,
                    stacklevel=5,
                )
                return None
            self._uses += 1
            for other in _entered[-1:]:
                other.set_current(False)
            _entered.append(board)
            board.set_current(True)
            return board

    def _leave(self, board: Board) -> None:
        with _lock:
            if board is not self.board:  # a forked child leaves what its parent has entered
                return
            self._uses -= 1
            del _entered[_last_index(board)]
            if board not in _entered:
                board.set_current(False)
            self._close_if_unused()
            for last in _entered[-1:]:
                last.set_current(True)

    def _opened(self) -> Board:
        if self.board is None:
            board = Board(self._infos, self._scalars)
            self._close = weakref.finalize(self, board.close)  # at the end of the process at the latest
            self.board = board  # from now on each update goes there too
            board.follow_all()
        return self.board

    def _close_if_unused(self) -> None:
        if self.board is not None and self._close is not None and not self._uses and not self._is_asked_for:
            self.board = None
            self._close()


def _last_index(board: Board) -> int:
    return next(index for index in reversed(range(len(_entered))) if _entered[index] is board)


def _after_fork_in_child() -> None:
    _lock.release()
    _entered.clear()
    for sharing in list(_all):
        sharing.forget()


if hasattr(os, "register_at_fork"):  # where processes can fork
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child)
