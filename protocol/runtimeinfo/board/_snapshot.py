"""All that a board says, at one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtimeinfo.board import layout
from runtimeinfo.board._file import check_open, opened
from runtimeinfo.board._parse import (
    BoardScalar,
    damaged,
    entries,
    entry_count,
    holds_value,
    parse_texts,
    slot_value,
    text_length,
)
from runtimeinfo.board._writer import is_elsewhere, is_writer_alive

_PATIENCE_S = 0.2
"""How long a writer may be in the middle of a write. It takes a microsecond; a stopped process takes for ever."""


@dataclass(frozen=True)
class BoardSnapshot:
    """All that a board says, at one moment.

    Attributes:
        path: The board.
        pid: The process that writes it.
        state: ``"live"``; ``"ended"`` where the run has ended; ``"dead"`` where its process is gone without a word.
        is_whole: Whether all values are of one moment. False where the writer was stopped amid a write.
        is_current: Whether it is the run that its process entered last.
        is_elsewhere: Whether its process is in another container, of which nobody knows here whether it lives.
        created_ns: When the run began to share, in nanoseconds since 1970.
        updated_ns: When it last wrote.
        infos: The infos by their keys.
        scalars: The latest values by their keys.
        unshared: The keys of infos that found no place.
        unshared_numbers: How many scalars and numbers found no place.
    """

    path: Path
    pid: int
    state: Literal["live", "ended", "dead"]
    is_whole: bool
    is_current: bool
    is_elsewhere: bool
    created_ns: int
    updated_ns: int
    infos: Mapping[str, Any]
    scalars: Mapping[str, BoardScalar]
    unshared: frozenset[str]
    unshared_numbers: int


def read_board(path: str | os.PathLike[str]) -> BoardSnapshot:
    """Return what a board says now, also if its writer is dead.

    It reads the file and does not map it: a file that shrinks meanwhile is an error here, where a mapped one would
    end the process.

    Raises:
        BoardError: If it is not there, not to be trusted, or damaged.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-read-board", runtime_info={"epoch": 3})
        >>> read_board(hub.share().path).infos
        {'epoch': 3}
        >>> hub.unshare()

    Source: SHARE-04 to SHARE-06.
    """
    board = Path(path)
    with opened(board) as descriptor:
        return read_open_board(descriptor, board)


def read_open_board(descriptor: int, path: Path) -> BoardSnapshot:
    """Return what an open board says now, also if its run has ended and taken its name away.

    Args:
        descriptor: The file, open for reading.
        path: The name that it has, or had.

    Raises:
        BoardError: If it is not to be trusted, or damaged.

    Source: SHARE-04 to SHARE-06.
    """
    check_open(descriptor, path)
    head, head_is_whole = _consistent(descriptor, layout.SEQUENCE, _used_head, path)
    text, text_is_whole = _consistent(descriptor, layout.INFO_SEQUENCE, _used_text, path)
    return parse(head, text, path, is_whole=head_is_whole and text_is_whole)


def parse(head: bytes, text: bytes, path: Path, *, is_whole: bool) -> BoardSnapshot:
    """Return what the bytes of a board say.

    Args:
        head: The header, and as many entries as it says.
        text: The JSON.
        path: The board.
        is_whole: Whether they are of one moment.

    Raises:
        BoardError: If they make no sense.
    """
    raw = memoryview(head)
    cells, floats = raw.cast("q"), raw.cast("d")
    texts = parse_texts(text, path)
    infos = dict(texts.infos)
    scalars: dict[str, BoardScalar] = {}
    for entry in entries(cells, floats, raw, path):
        if entry.space == layout.SCALAR:
            scalars[entry.name] = BoardScalar(entry.value, entry.count, entry.updates)
        else:
            infos[entry.name] = entry.value
    for key, slot in layout.SLOTS.items():
        if holds_value(cells[slot]):
            infos[key] = slot_value(slot, cells[slot], path)
        elif cells[slot] == layout.ABSENT:  # what it was earlier may still stand elsewhere
            infos.pop(key, None)
    return BoardSnapshot(
        path=path,
        pid=cells[layout.PID],
        state=_state(cells),
        is_whole=is_whole,
        is_current=cells[layout.CURRENT] == 1,
        is_elsewhere=is_elsewhere(cells),
        created_ns=cells[layout.CREATED_NS],
        updated_ns=cells[layout.UPDATED_NS],
        infos=infos,
        scalars=scalars,
        unshared=texts.unshared,
        unshared_numbers=cells[layout.UNSHARED_NUMBERS],
    )


def _state(cells: memoryview[int]) -> Literal["live", "ended", "dead"]:
    if cells[layout.CLOSED]:
        return "ended"
    return "live" if is_elsewhere(cells) or is_writer_alive(cells) else "dead"


def _used_head(descriptor: int, path: Path) -> bytes:
    count = entry_count(_cell(descriptor, layout.ENTRIES, path), path)
    return _read(descriptor, layout.HEADER_SIZE + count * layout.ENTRY_SIZE, 0, path)


def _used_text(descriptor: int, path: Path) -> bytes:
    length = text_length(_cell(descriptor, layout.INFO_LENGTH, path), path)
    return _read(descriptor, length, layout.INFO_OFFSET, path)


def _consistent(descriptor: int, sequence: int, used: Any, path: Path) -> tuple[bytes, bool]:
    """Return a part of the board, and whether it is of one moment."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        before = _cell(descriptor, sequence, path)
        part = used(descriptor, path)
        if not before & 1 and _cell(descriptor, sequence, path) == before:
            return part, True
        if time.monotonic() > deadline:
            return part, False


def _cell(descriptor: int, cell: int, path: Path) -> int:
    return memoryview(_read(descriptor, layout.CELL, cell * layout.CELL, path)).cast("q")[0]


def _read(descriptor: int, length: int, offset: int, path: Path) -> bytes:
    part = os.pread(descriptor, length, offset)
    if len(part) != length:
        raise damaged(path, f"it ends after {offset + len(part):,} bytes")
    return part
