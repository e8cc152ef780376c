"""Finding the board of a process."""

from __future__ import annotations

import time
from pathlib import Path

from runtimeinfo._errors import BoardError
from runtimeinfo.board._folder import board_files, board_folder, pid_in
from runtimeinfo.board._reader import BoardReader

# The clock of a file system ticks every few milliseconds: a board made in the same tick as the last look does not
# show in the folder's time.
_TICK_NS = 100_000_000


def find_board(pid: int) -> Path | None:
    """Return the board of the run that a process entered last, or None if it shares none.

    Args:
        pid: The process.

    Raises:
        BoardError: If the folder is somebody else's, or open to others.

    Example:
        >>> import os
        >>> from runtimeinfo import use_hub
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-find-board")
        >>> with use_hub(hub):
        ...     find_board(os.getpid()) == hub.board_path
        True
        >>> find_board(os.getpid()) is None
        True

    Source: SHARE-01.
    """
    reader = _find(pid)
    return None if reader is None else reader.path


def _find(pid: int) -> BoardReader | None:
    """Return an open reader of the board: the run may end at any moment, and take the file away."""
    fault: BoardError | None = None
    for path in board_files():
        if pid_in(path) == pid:
            reader = BoardReader(path)
            try:
                if reader.is_current and reader.is_of(pid):
                    return reader
                reader.close()
            except BoardError as error:
                if path.exists():
                    fault = error
    if fault is not None:  # rather than to act as if there were no run
        raise fault
    return None


class BoardFinder:
    """Keeps up which board is the one of a process, at little cost.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self.pid: int = pid
        self._reader: BoardReader | None = None
        self._looked_at_ns = -1

    def reader(self) -> BoardReader | None:
        """Return the reader of the run that the process entered last, or None while there is none.

        Raises:
            BoardError: As `find_board`.
        """
        reader = self._reader
        if reader is not None and reader.is_current:
            return reader
        changed_ns = self._folder_changed_ns()
        if changed_ns == self._looked_at_ns and reader is None:
            return None
        self._reader = _find(self.pid)
        # A look is good until the folder changes, but only if the folder's clock has ticked since its last change.
        self._looked_at_ns = changed_ns if time.time_ns() - changed_ns > _TICK_NS else -1
        return self._reader

    def _folder_changed_ns(self) -> int:
        try:
            return board_folder().stat().st_mtime_ns
        except OSError:
            return 0
