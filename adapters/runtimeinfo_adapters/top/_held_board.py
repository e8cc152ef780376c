"""A board that is kept open, since a run takes it away when it ends."""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from runtimeinfo import BoardError
from runtimeinfo.board import BoardSnapshot, layout, read_board
from runtimeinfo.board.process import pid_namespace


class HeldBoard:
    """Keeps a board open, and so can tell what it said last after its run has taken it away.

    It only reads, and maps nothing.

    Args:
        path: The board.

    Attributes:
        is_elsewhere: Whether its process is in another container.

    Raises:
        BoardError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            # As `read_board` does: no link is followed, and no writer of a named pipe is waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            self._descriptor = descriptor
            self.close: Callable[[], object] = weakref.finalize(self, os.close, descriptor)
            namespace = os.pread(descriptor, layout.CELL, layout.PID_NAMESPACE * layout.CELL)
        except OSError as error:
            raise BoardError(
                f"the board {path} cannot be opened: {error}. If no run of yours has made it, remove it", path=path
            ) from error
        self.is_elsewhere: bool = int.from_bytes(namespace, sys.byteorder) != pid_namespace()

    def last_words(self) -> BoardSnapshot:
        """Return what it says now, also if it has no name any more.

        Raises:
            BoardError: If it is damaged.
        """
        # `read_board` takes a name: it gets one for a copy, which is its user's own, as mkstemp makes it.
        descriptor, name = tempfile.mkstemp(suffix=".board")
        copy = Path(name)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
                file.write(os.pread(self._descriptor, layout.SIZE, 0))
            return read_board(copy)
        except OSError as error:
            raise BoardError(
                f"a board cannot be copied to {copy.parent}: {error}. Make room there", path=copy
            ) from error
        finally:
            copy.unlink(missing_ok=True)
