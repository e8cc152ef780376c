"""The process that writes a board, as its header names it."""

from __future__ import annotations

from collections.abc import Sequence

from runtimeinfo.board import layout
from runtimeinfo.board.process import is_alive, pid_namespace


def is_elsewhere(cells: Sequence[int]) -> bool:
    """Tell whether the writer is in another container, of which nobody knows here whether it lives.

    Args:
        cells: The header, as integers.
    """
    return cells[layout.PID_NAMESPACE] != pid_namespace()


def is_writer_alive(cells: Sequence[int]) -> bool:
    """Tell whether the writer lives, as a process of this container.

    Args:
        cells: The header, as integers.
    """
    return not is_elsewhere(cells) and is_alive(cells[layout.PID], cells[layout.STARTED])
