"""Read a board as of one moment, once or again and again."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from struct import Struct
from typing import Any, Literal

from runtimeinfo._errors import BoardError
from runtimeinfo.board import layout
from runtimeinfo.board._folder import check_open, open_board, open_unfollowed, read_at, unreadable_error
from runtimeinfo.board._identity import BoardIdentity, parse_identity
from runtimeinfo.board._snapshot import (
    BoardScalar,
    BoardSnapshot,
    JsonInfos,
    damage_error,
    entry_count,
    entry_key,
    entry_value,
    holds_value,
    json_length,
    parse_json,
    slot_value,
)
from runtimeinfo.board.process import is_alive, is_elsewhere

PATIENCE_S = 0.2
"""How long to wait for the end of a write. One takes a microsecond, and that of a stopped process never ends."""

# The header up to the claimed workers, which nobody needs here.
_HEAD = Struct(f"={layout.FIRST_CLAIM}q")
_BEGIN = layout.MAGIC + Struct("=2q").pack(layout.VERSION, layout.SIZE)
# An entry: its value, kind, updates and count, and as bytes its space and its name.
_ENTRY = Struct(f"=dqqd{layout.ENTRY_SIZE - layout.SPACE * layout.CELL}s")
_INT = Struct("=q")


def read_board(path: str | os.PathLike[str]) -> BoardSnapshot:
    """Return the contents of a board now, also if its writer is dead.

    The file is read and not mapped: if it shrinks meanwhile, that is an error here, whereas a mapped file would end
    the process.

    Raises:
        BoardError: If the board does not exist, cannot be trusted, or is damaged.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-read-board", runtime_info={"epoch": 3})
        >>> read_board(hub.share().path).infos
        {'epoch': 3}
        >>> hub.unshare()

    Source: SHARE-04 to SHARE-06.
    """
    return OpenBoard(Path(path), is_kept_open=False).read()


class OpenBoard:
    """Read one board repeatedly, each time only the parts that have changed.

    Where it is kept open, its last content can be read after its run has removed it. It is read and not mapped.

    Args:
        path: The board.
        owner: The id of the user that the board must belong to; this one by default.
        is_kept_open: Whether the file stays open between two reads, which takes a descriptor.

    Raises:
        BoardError: If it is to be kept open, and cannot be opened.
    """

    def __init__(self, path: Path, *, owner: int | None = None, is_kept_open: bool = True) -> None:
        self._path = path
        self._owner = owner
        self._descriptor: int | None = None
        self._deadline = 0.0
        self.close: Callable[[], object] = _nothing
        self._forget()
        if is_kept_open:
            try:
                self._descriptor = open_unfollowed(path)
            except OSError as error:
                raise BoardError(
                    f"the board {path} cannot be opened: {error}. If no run of yours has made it, remove it", path=path
                ) from error
            self.close = weakref.finalize(self, os.close, self._descriptor)

    @property
    def is_kept_open(self) -> bool:
        """Whether the file stays open between two reads."""
        return self._descriptor is not None

    def read(self, patience_s: float = PATIENCE_S) -> BoardSnapshot:
        """Return the present content: the same object as the last time if nothing has changed.

        Args:
            patience_s: The seconds to wait for the end of a write. After that, not all values are of one moment.

        Raises:
            BoardError: If the board does not exist, cannot be trusted, or is damaged.

        Source: SHARE-04 to SHARE-06.
        """
        self._deadline = time.monotonic() + patience_s
        try:
            if self._descriptor is not None:
                return self._read(self._descriptor)
            with open_board(self._path, self._owner) as descriptor:
                return self._read(descriptor)
        except OSError as error:
            raise unreadable_error(self._path, error) from error

    def _forget(self) -> None:
        """Forget the parts read so far."""
        self._checked: tuple[int, ...] = ()
        self._head = b""
        self._sequence = self._json_at = self._identity_at = (-1, -1)
        # The space and the name of each entry, by their bytes.
        self._keys: dict[bytes, tuple[int, str]] = {}
        self._infos: dict[str, Any] = {}
        self._scalars: dict[str, BoardScalar] = {}
        self._json = JsonInfos({}, frozenset())
        self._identity: BoardIdentity | None = None
        self._snapshot: BoardSnapshot | None = None

    def _read(self, descriptor: int) -> BoardSnapshot:
        self._check(descriptor)
        head, before = _read(descriptor, _HEAD.size, 0, self._path), self._snapshot
        if head == self._head and before is not None:
            state = _state(_HEAD.unpack(head), is_away=before.is_elsewhere, is_running=False)
            if state != before.state:
                self._snapshot = replace(before, state=state)
            return self._snapshot or before
        cells = _HEAD.unpack(head)
        if not head.startswith(_BEGIN):
            check_open(descriptor, self._path, self._owner)  # which says what is wrong
        is_whole = True
        if (cells[layout.SEQUENCE], cells[layout.ENTRIES]) != self._sequence or (
            # Else `iter` alone was written, unless a write has begun while the header was read.
            _cell(descriptor, layout.SEQUENCE, self._path) != cells[layout.SEQUENCE]
        ):
            part, is_whole = self._read_head(descriptor, cells)
            cells = _HEAD.unpack_from(part)
            self._parse_entries(part, cells)
            self._sequence = (cells[layout.SEQUENCE], cells[layout.ENTRIES]) if is_whole else (-1, -1)
        is_whole &= self._read_json(descriptor, cells) & self._read_identity(descriptor, cells)
        self._head = head if is_whole else b""
        self._snapshot = self._parse(cells, is_whole=is_whole)
        return self._snapshot

    def _check(self, descriptor: int) -> None:
        """Check that the file can be trusted, unless nothing that matters has changed since the last time."""
        found = os.fstat(descriptor)
        checked = (found.st_mode, found.st_uid, found.st_size, found.st_ino, found.st_mtime_ns)
        if checked != self._checked:
            self._forget()  # it is another file, or was written by another program: a run writes by its mapping
            check_open(descriptor, self._path, self._owner)
            self._checked = checked

    def _read_head(self, descriptor: int, cells: tuple[int, ...]) -> tuple[bytes, bool]:
        """Return header and entries, and whether they are of one moment."""
        sequence, count = cells[layout.SEQUENCE], cells[layout.ENTRIES]
        if not sequence & 1 and 0 <= count <= layout.MAX_ENTRIES:
            # Nearly always nothing is written meanwhile: this takes half of the calls.
            part = _read(descriptor, layout.HEADER_SIZE + count * layout.ENTRY_SIZE, 0, self._path)
            if _cell(descriptor, layout.SEQUENCE, self._path) == sequence:
                return part, True
        return _read_consistent(descriptor, layout.SEQUENCE, _used_head, self._path, self._deadline)

    def _parse_entries(self, part: bytes, cells: tuple[int, ...]) -> None:
        infos: dict[str, Any] = {}
        scalars: dict[str, BoardScalar] = {}
        # Where the parts are not of one moment, the count might exceed what was read.
        count = min(entry_count(cells[layout.ENTRIES], self._path), len(part) // layout.ENTRY_SIZE)
        for begin in range(layout.HEADER_SIZE, layout.HEADER_SIZE + count * layout.ENTRY_SIZE, layout.ENTRY_SIZE):
            value, kind, updates, samples, raw = _ENTRY.unpack_from(part, begin)
            if kind == layout.FREE:
                continue
            key = self._keys.get(raw)
            if key is None:  # an entry never changes its name, which is parsed once
                if len(self._keys) > layout.MAX_ENTRIES:  # nothing that a run has written
                    self._keys.clear()
                at = begin // layout.CELL
                key = self._keys[raw] = entry_key(memoryview(part).cast("q"), part, at, self._path)
            space, name = key
            if kind != layout.FLOAT:
                value = entry_value(kind, _INT.unpack_from(part, begin)[0], value, self._path)
            if space == layout.SCALAR:
                scalars[name] = BoardScalar(value, samples, updates)
            else:
                infos[name] = value
        self._infos, self._scalars = infos, scalars

    def _read_json(self, descriptor: int, cells: tuple[int, ...]) -> bool:
        """Read the JSON if it has changed, and tell whether it is of one moment."""
        at = (cells[layout.INFO_SEQUENCE], cells[layout.INFO_LENGTH])
        if at == self._json_at:
            return True
        raw, is_whole = _read_consistent(descriptor, layout.INFO_SEQUENCE, _used_json, self._path, self._deadline)
        self._json = parse_json(raw, self._path)
        self._json_at = at if is_whole else (-1, -1)
        return is_whole

    def _read_identity(self, descriptor: int, cells: tuple[int, ...]) -> bool:
        """Read the identity if it has changed, and tell whether it is of one moment."""
        at = (cells[layout.IDENTITY_SEQUENCE], cells[layout.IDENTITY_LENGTH])
        if at == self._identity_at:
            return True
        raw, is_whole = _read_consistent(
            descriptor, layout.IDENTITY_SEQUENCE, _used_identity, self._path, self._deadline
        )
        self._identity = parse_identity(raw)
        self._identity_at = at if is_whole else (-1, -1)
        return is_whole

    def _parse(self, cells: tuple[int, ...], *, is_whole: bool) -> BoardSnapshot:
        infos = {**self._json.infos, **self._infos}
        for key, slot in layout.SLOTS.items():
            cell = cells[slot]
            if cell >= 0 and slot != layout.LOOP_STAGE:
                infos[key] = cell
            elif holds_value(cell):
                infos[key] = slot_value(slot, cell, self._path)
            elif cell == layout.ABSENT:  # an earlier value might still be elsewhere
                infos.pop(key, None)
        before, updated_ns = self._snapshot, cells[layout.UPDATED_NS]
        is_running = before is not None and before.state == "live" and before.updated_ns != updated_ns
        is_away = is_elsewhere(cells)
        snapshot = object.__new__(BoardSnapshot)
        # As its constructor does with a call for each attribute, which would take a fifth of the time of a read.
        snapshot.__dict__.update(
            path=self._path,
            pid=cells[layout.PID],
            state=_state(cells, is_away=is_away, is_running=is_running),
            is_whole=is_whole,
            is_current=cells[layout.CURRENT] == 1,
            is_elsewhere=is_away,
            created_ns=cells[layout.CREATED_NS],
            updated_ns=updated_ns,
            infos=infos,
            scalars=self._scalars,
            unshared=self._json.unshared,
            unshared_numbers=cells[layout.UNSHARED_NUMBERS],
            identity=self._identity,
        )
        return snapshot


def _nothing() -> None:
    """Do nothing."""


def _state(cells: tuple[int, ...], *, is_away: bool, is_running: bool) -> Literal["live", "ended", "dead"]:
    """Return the state of a run.

    Args:
        cells: The header of its board.
        is_away: Whether its process is in another container.
        is_running: Whether its process has written since the last look: then its id is that of no later process.
    """
    if cells[layout.CLOSED]:
        return "ended"
    if is_away or is_alive(cells[layout.PID], 0 if is_running else cells[layout.STARTED]):
        return "live"
    return "dead"


def _used_head(descriptor: int, path: Path) -> bytes:
    count = entry_count(_cell(descriptor, layout.ENTRIES, path), path)
    return _read(descriptor, layout.HEADER_SIZE + count * layout.ENTRY_SIZE, 0, path)


def _used_json(descriptor: int, path: Path) -> bytes:
    length = json_length(_cell(descriptor, layout.INFO_LENGTH, path), path)
    return _read(descriptor, length, layout.INFO_OFFSET, path)


def _used_identity(descriptor: int, path: Path) -> bytes:
    length = _cell(descriptor, layout.IDENTITY_LENGTH, path)
    # Without an identity the rest is as good: a length that cannot be is not an error.
    return _read(descriptor, length if 0 < length <= layout.IDENTITY_CAPACITY else 0, layout.IDENTITY_OFFSET, path)


def _read_consistent(
    descriptor: int, sequence: int, used: Callable[[int, Path], bytes], path: Path, deadline: float
) -> tuple[bytes, bool]:
    """Return a part of the board, and whether it is of one moment: the sequence was even and stayed the same."""
    while True:
        before = _cell(descriptor, sequence, path)
        part = used(descriptor, path)
        if not before & 1 and _cell(descriptor, sequence, path) == before:
            return part, True
        if time.monotonic() > deadline:
            return part, False


def _cell(descriptor: int, cell: int, path: Path) -> int:
    found: int = _INT.unpack(_read(descriptor, layout.CELL, cell * layout.CELL, path))[0]
    return found


def _read(descriptor: int, length: int, offset: int, path: Path) -> bytes:
    part = read_at(descriptor, length, offset)
    if len(part) != length:
        raise damage_error(path, f"it ends after {offset + len(part):,} bytes")
    return part
