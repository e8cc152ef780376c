"""What another process finds of a run.

It is read in this process: what is on a board is the same from everywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimeinfo import BoardError
from runtimeinfo.board import BoardFinder, board_files, layout, pid_in, read_board


@dataclass(frozen=True, slots=True)
class SharedView:
    """What another process finds of a run at one moment.

    Attributes:
        position: loop_stage, epoch, iter, max_epochs and max_iters, as far as they are there.
        held: The other infos, and the latest values of the scalars; None where they were not asked for.
        modes: The modes of the folder and of the board.
        fault: Why the board could not be read, where that is so; then nothing else is known.
    """

    position: Mapping[str, Any]
    held: Mapping[str, Any] | None
    modes: tuple[int, int]
    fault: str | None = None


class Onlooker:
    """Looks at what this process shares, as another one would."""

    def __init__(self) -> None:
        self._finder = BoardFinder(os.getpid())
        self._there_before = _own_boards()

    def look(self, *, at_everything: bool = False) -> SharedView | None:
        """Return what is seen, or None if nothing is."""
        try:
            reader = self._finder.reader()
        except BoardError as error:
            return SharedView({}, None, (_mode(error.path.parent), _mode(error.path)), str(error))
        if reader is None:
            return None
        try:
            absent = object()
            found = {key: reader.get_info(key, absent) for key in layout.SLOTS}
            position = {key: value for key, value in found.items() if value is not absent}
            held = None
            if at_everything:
                snapshot = read_board(reader.path)
                infos = {key: value for key, value in snapshot.infos.items() if key not in layout.SLOTS}
                held = {**infos, **{key: scalar.value for key, scalar in snapshot.scalars.items()}}
        except BoardError as error:
            return SharedView({}, None, (_mode(reader.path.parent), _mode(reader.path)), str(error))
        return SharedView(position, held, (_mode(reader.path.parent), _mode(reader.path)))

    def left_behind(self) -> list[str]:
        """Return the names of the boards of this process that were not there when this was made."""
        return sorted(_own_boards() - self._there_before)


def _own_boards() -> set[str]:
    try:
        return {path.name for path in board_files() if pid_in(path) == os.getpid()}
    except BoardError:
        return set()


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except OSError:  # it has gone meanwhile
        return 0
