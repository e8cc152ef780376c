"""A board that is kept open, since a run takes it away when it ends."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path

from runtimeinfo import BoardError
from runtimeinfo.board import BoardSnapshot, open_unfollowed, read_open_board


class HeldBoard:
    """Keeps a board open, and so can tell what it said last after its run has taken it away.

    It only reads, and maps nothing.

    Args:
        path: The board.

    Raises:
        BoardError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = open_unfollowed(path)
        except OSError as error:
            raise BoardError(
                f"the board {path} cannot be opened: {error}. If no run of yours has made it, remove it", path=path
            ) from error
        self._path = path
        self._descriptor = descriptor
        self.close: Callable[[], object] = weakref.finalize(self, os.close, descriptor)

    def last_words(self) -> BoardSnapshot:
        """Return what it says now, also if it has no name any more.

        Raises:
            BoardError: If it is damaged, or no board at all.
        """
        return read_open_board(self._descriptor, self._path)
