"""Another process's view of a run.

It is read in this process, because a board looks the same from any process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtimeinfo import BoardError
from runtimeinfo.board import BoardFinder, BoardReader, board_files, layout, pid_in, read_board

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class SharedView:
    """Another process's view of a run at one moment.

    Attributes:
        position: loop_stage, epoch, iter, max_epochs and max_iters, as far as they are published.
        held: The other infos and the latest values of the scalars, or None if they were not requested.
        modes: The modes of the folder and of the board.
        fault: The reason why the board could not be read, if so. The rest is then unknown.
    """

    position: Mapping[str, Any]
    held: Mapping[str, Any] | None
    modes: tuple[int, int]
    fault: str | None = None


class SharedViewReader:
    """Reader of this process's shared runs, as another process sees them."""

    def __init__(self) -> None:
        self._finder = BoardFinder(os.getpid())
        self._there_before = _own_boards()
        self._reader: BoardReader | None = None
        self._paths = ("", "")

    def read(self, *, at_everything: bool = False) -> SharedView | None:
        """Return the view, or None if no run is found."""
        try:
            reader = self._finder.reader()
        except BoardError as error:
            return SharedView({}, None, _modes(_paths(error.path)), str(error))
        if reader is None:
            return None
        # This is called at each event and for each item of data, so the paths are built only once per board.
        if reader is not self._reader:
            self._reader, self._paths = reader, _paths(reader.path)
        try:
            position: dict[str, Any] = {}
            for key in layout.SLOTS:
                value = reader.get_info(key, _ABSENT)
                if value is not _ABSENT:
                    position[key] = value
            held = _held(reader) if at_everything else None
        except BoardError as error:
            return SharedView({}, None, _modes(self._paths), str(error))
        return SharedView(position, held, _modes(self._paths))

    def left_behind(self) -> list[str]:
        """Return the names of this process's boards that did not exist when this object was created."""
        return sorted(_own_boards() - self._there_before)


def _held(reader: BoardReader) -> dict[str, Any]:
    snapshot = read_board(reader.path)
    infos = {key: value for key, value in snapshot.infos.items() if key not in layout.SLOTS}
    return {**infos, **{key: scalar.value for key, scalar in snapshot.scalars.items()}}


def _own_boards() -> set[str]:
    try:
        return {path.name for path in board_files() if pid_in(path) == os.getpid()}
    except BoardError:
        return set()


def _paths(board: os.PathLike[str]) -> tuple[str, str]:
    """Return the paths of a board's folder and of the board."""
    path = os.fspath(board)
    return os.path.dirname(path), path  # noqa: PTH120  # pathlib takes longer than the look itself


def _modes(paths: tuple[str, str]) -> tuple[int, int]:
    folder, board = paths
    return _mode(folder), _mode(board)


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except OSError:  # it was removed in the meantime
        return 0
