"""A hub as another process sees it."""

from __future__ import annotations

import mmap
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from runtimeinfo._errors import BoardError, MissingScalarError
from runtimeinfo._scalar import shown
from runtimeinfo.board import layout
from runtimeinfo.board._file import opened
from runtimeinfo.board._latest_value import LatestValue
from runtimeinfo.board._parse import (
    BoardScalar,
    Texts,
    damaged,
    entry_count,
    entry_key,
    entry_value,
    holds_value,
    parse_texts,
    slot_value,
    text_length,
)
from runtimeinfo.board._position import Position
from runtimeinfo.board._snapshot import BoardSnapshot, read_board
from runtimeinfo.board._writer import is_writer_alive

_T = TypeVar("_T")

# A write takes a microsecond, and a writer may lose its processor in the middle of one. Longer than a look at the whole
# board waits: that goes on without, while here an error ends a worker.
_TRIES_AT_ONCE = 1000
_PATIENCE_S = 1.0
_PAUSE_S = 0.0001


class UnsharedWarning(UserWarning):
    """An info or a scalar of a run is not seen from other processes."""


class BoardReader:
    """Reads a run's hub from any process of the same user: a worker, another terminal.

    It is small and can be pickled; the board is opened at the first use in each process. Reading an info costs a
    fraction of a microsecond and takes no lock. Of a scalar there is the latest value. Once the run has ended, it goes
    on giving what the run had last.

    Args:
        path: The board, as `MessageHub.share` and `runtimeinfo.board.find_board` give it.

    Raises:
        TypeError: If it is no path: `find_board` gives None where a process shares no run.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-board-reader")
        >>> reader = hub.share()
        >>> hub.update_info("epoch", 3)
        >>> reader.get_info("epoch")
        3
        >>> hub.unshare()

    Source: SHARE-03 to SHARE-06.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._path = Path(path)
        except TypeError:
            raise TypeError(
                f"a board is found by its path, but this is {shown(path)}: where find_board() gives None, that "
                "process shares no run; `runtimeinfo top` shows those that do"
            ) from None
        self._map: mmap.mmap | None = None
        self._bytes: memoryview[int]
        self._cells: memoryview[int]
        self._floats: memoryview[float]
        # The first cell of each entry by its space and its name.
        self._index: dict[tuple[int, str], int] = {}
        self._texts = Texts({}, frozenset())
        self._texts_sequence = -1
        self._warned: set[str] = set()

    @property
    def path(self) -> Path:
        """The board."""
        return self._path

    @property
    def is_current(self) -> bool:
        """Whether the run is the one that its process entered last, and has not ended.

        Raises:
            BoardError: As `get_info`.
        """
        if self._map is None:
            self._open()
        return self._cells[layout.CURRENT] == 1

    def is_of(self, pid: int) -> bool:
        """Tell whether the board is that of the process with an id now, in this container.

        Raises:
            BoardError: As `get_info`.
        """
        if self._map is None:
            self._open()
        return self._cells[layout.PID] == pid and is_writer_alive(self._cells)

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default.

        An info that found no place on the board gives the default as well, with one `UnsharedWarning` a key.

        Raises:
            BoardError: If the board is not there, not to be trusted, or damaged.

        Source: SHARE-03.
        """
        if self._map is None:
            self._open()
        slot = layout.SLOTS.get(key)
        if slot is not None:
            cell = self._cells[slot]
            if cell >= 0 and slot != layout.LOOP_STAGE:
                return cell
            if holds_value(cell):
                return slot_value(slot, cell, self._path)
            if cell == layout.ABSENT:
                return default
        return self._other_info(key, default)

    def get_scalar(self, key: str) -> LatestValue:
        """Return the latest value of a scalar, in the form of a history that holds one.

        Raises:
            MissingScalarError: If nobody has published it, or it found no place on the board.
            BoardError: As `get_info`.

        Source: SHARE-03.
        """
        if self._map is None:
            self._open()
        found = self._entry(layout.SCALAR, key)
        if found is None:
            unshared = self._cells[layout.UNSHARED_NUMBERS]
            hint = f"; {unshared} scalars found no place on it" if unshared else ""
            raise MissingScalarError(
                f"the board {self._path} has no scalar {key!r}{hint}. snapshot() tells which there are; "
                "wait until the run has published it",
                key=key,
                requirement="HUB-07",
            )
        return LatestValue(key, BoardScalar(*found), self._path)

    def position(self) -> Position:
        """Return where the training is, all of one moment, whatever the writer does meanwhile.

        Raises:
            BoardError: As `get_info`, or if the writer was stopped amid a write.

        Source: SHARE-04.
        """
        if self._map is None:
            self._open()
        slots = self._cells[layout.EPOCH : layout.LOOP_STAGE + 1]
        (epoch, completed, max_epochs, max_iters, stage), _ = self._together(layout.SEQUENCE, slots.tolist)
        return Position(
            self._of_slot("loop_stage", layout.LOOP_STAGE, stage),
            epoch if epoch >= 0 else self._of_slot("epoch", layout.EPOCH, epoch),
            completed if completed >= 0 else self._of_slot("iter", layout.ITER, completed),
            max_epochs if max_epochs >= 0 else self._of_slot("max_epochs", layout.MAX_EPOCHS, max_epochs),
            max_iters if max_iters >= 0 else self._of_slot("max_iters", layout.MAX_ITERS, max_iters),
        )

    def snapshot(self) -> BoardSnapshot:
        """Return all that the board says now; see `read_board`."""
        return read_board(self._path)

    def close(self) -> None:
        """Let go of the board; the next use opens it again."""
        if self._map is not None:
            # Unmapped with the last view of it: a thread that is reading has one, and so has a traceback.
            self._map = None
            del self._bytes, self._cells, self._floats

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self._path),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    # -- how

    def _open(self) -> None:
        with opened(self._path) as descriptor:
            try:
                mapped = mmap.mmap(descriptor, layout.SIZE, prot=mmap.PROT_READ)
            except (OSError, ValueError) as error:  # ValueError: it has shrunk since it was looked at
                raise damaged(self._path, str(error)) from error
        view = memoryview(mapped)
        self._bytes, self._cells, self._floats = view, view.cast("q"), view.cast("d")
        self._index.clear()
        self._texts_sequence = -1
        self._map = mapped

    def _of_slot(self, key: str, slot: int, cell: int) -> Any:
        if holds_value(cell):
            return slot_value(slot, cell, self._path)
        return None if cell == layout.ABSENT else self._other_info(key, None)

    def _other_info(self, key: str, default: Any) -> Any:
        found = self._entry(layout.INFO, key)
        if found is not None:
            return found[0]
        texts = self._current_texts()
        if key in texts.infos:
            return texts.infos[key]
        if key in texts.unshared and key not in self._warned:
            self._warned.add(key)
            warnings.warn(
                f"info {key!r} is not seen from other processes, and the default is returned: it is no plain data, or "
                f"takes more than {layout.MAX_INFO:,} bytes. Publish the part that is needed [SHARE-03]",
                UnsharedWarning,
                stacklevel=3,
            )
        return default

    def _entry(self, space: int, name: str) -> tuple[float | bool, float, int] | None:
        """Return value, count and updates of an entry, all of one moment; None if there is none, or it is free."""
        cells, floats = self._cells, self._floats
        at = self._index.get((space, name))
        if at is None:
            self._index_names()
            at = self._index.get((space, name))
            if at is None:
                return None

        def read() -> tuple[int, int, int, float, float]:
            kind, as_int, updates = cells[at + layout.KIND], cells[at + layout.VALUE], cells[at + layout.UPDATES]
            return kind, as_int, updates, floats[at + layout.VALUE], floats[at + layout.COUNT]

        (kind, as_int, updates, as_float, count), _ = self._together(layout.SEQUENCE, read)
        return None if kind == layout.FREE else (entry_value(kind, as_int, as_float, self._path), count, updates)

    def _index_names(self) -> None:
        """Learn the names that have come in since. An entry keeps its name for good."""
        for index in range(len(self._index), entry_count(self._cells[layout.ENTRIES], self._path)):
            at = layout.entry_cell(index)
            key = entry_key(self._cells, self._bytes, at, self._path)
            if key in self._index:
                raise damaged(self._path, f"it has {key[1]!r} twice")
            self._index[key] = at

    def _current_texts(self) -> Texts:
        if self._cells[layout.INFO_SEQUENCE] != self._texts_sequence:

            def read() -> bytes:
                length = text_length(self._cells[layout.INFO_LENGTH], self._path)
                return bytes(self._bytes[layout.INFO_OFFSET : layout.INFO_OFFSET + length])

            raw, sequence = self._together(layout.INFO_SEQUENCE, read)
            self._texts, self._texts_sequence = parse_texts(raw, self._path), sequence
        return self._texts

    def _together(self, sequence: int, read: Callable[[], _T]) -> tuple[_T, int]:
        """Return what a function reads, all of one moment, and which one that is by the sequence.

        Raises:
            BoardError: If the writer was stopped amid a write.
        """
        cells = self._cells
        while True:
            for _ in range(_TRIES_AT_ONCE):
                before = cells[sequence]
                found = read()
                if not before & 1 and cells[sequence] == before:
                    return found, before
            self._wait_for(sequence)

    def _wait_for(self, sequence: int) -> None:
        """Wait until the writer is done.

        Raises:
            BoardError: If it does not come to an end.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while self._cells[sequence] & 1:
            if time.monotonic() > deadline:
                raise BoardError(
                    f"the board {self._path} is stale: process {self._cells[layout.PID]} was stopped amid a write. Let "
                    "it go on, or end it: the next run removes the board of a dead process",
                    path=self._path,
                    requirement="SHARE-04",
                )
            time.sleep(_PAUSE_S)
