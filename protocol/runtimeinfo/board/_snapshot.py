"""Parse the bytes of a board, and read all of it as of one moment.

Nothing in the bytes is trusted: sizes, counts, kinds and text are checked before they are used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runtimeinfo._errors import BoardError
from runtimeinfo.board import layout
from runtimeinfo.board._folder import check_open, open_board, read_of_board
from runtimeinfo.board._identity import BoardIdentity, parse_identity
from runtimeinfo.board.process import is_elsewhere, is_writer_alive
from runtimeinfo.board.text import NotTextError, decode


@dataclass(frozen=True, slots=True)
class BoardScalar:
    """The latest value of a scalar.

    Attributes:
        value: The value.
        count: The number of samples that the value is the sum of.
        updates: The number of values that the scalar has had.
    """

    value: float
    count: float
    updates: int


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of an entry that is in use."""

    space: int
    name: str
    value: float | bool
    count: float
    updates: int


def slot_value(slot: int, cell: int, path: Path) -> Any:
    """Return the info in a slot, where `holds_value` says that there is one.

    Raises:
        BoardError: If the number has no meaning.
    """
    if cell == layout.NONE:
        return None
    if slot != layout.LOOP_STAGE:
        return cell
    if 0 <= cell < len(layout.STAGES):
        return layout.STAGES[cell]
    raise damage_error(path, f"it says that the stage is number {cell}")


def holds_value(cell: int) -> bool:
    """Tell whether a slot holds its info, which might also be absent, or elsewhere on the board."""
    return cell not in (layout.ABSENT, layout.ELSEWHERE)


def entry_count(cell: int, path: Path) -> int:
    """Return the number of entries in use.

    Raises:
        BoardError: If there is no room for so many.
    """
    if 0 <= cell <= layout.MAX_ENTRIES:
        return cell
    raise damage_error(path, f"it says that it has {cell} entries, where at most {layout.MAX_ENTRIES} have a place")


def entry_key(cells: Sequence[int], raw: bytes | memoryview, at: int, path: Path) -> tuple[int, str]:
    """Return the space and the name of an entry.

    Args:
        cells: The header and the entries, as integers.
        raw: The same, as bytes.
        at: The first cell of the entry.
        path: The board.

    Raises:
        BoardError: If there is no such space, or the name is too long, or not UTF-8.
    """
    space, length = cells[at + layout.SPACE], cells[at + layout.NAME_LENGTH]
    if space not in (layout.SCALAR, layout.INFO):
        raise damage_error(path, f"it has an entry of space {space}, which there is not")
    if not 0 < length <= layout.MAX_NAME:
        raise damage_error(path, f"it says that a name has {length} bytes, where one has 1 to {layout.MAX_NAME}")
    begin = (at + layout.NAME) * layout.CELL
    try:
        return space, bytes(raw[begin : begin + length]).decode()
    except UnicodeDecodeError:
        raise damage_error(path, "a name is not UTF-8") from None


def entries(cells: Sequence[int], floats: Sequence[float], raw: bytes | memoryview, path: Path) -> Iterator[Entry]:
    """Yield the entries in use, without those that are free.

    Args:
        cells: The header and the entries, as integers.
        floats: The same, as floats.
        raw: The same, as bytes.
        path: The board.

    Raises:
        BoardError: If one of them has no meaning.
    """
    # Where the parts are not of one moment, the count might exceed what was copied.
    copied = (len(cells) - layout.HEADER_CELLS) // layout.ENTRY_CELLS
    for index in range(min(entry_count(cells[layout.ENTRIES], path), copied)):
        at = layout.entry_cell(index)
        kind = cells[at + layout.KIND]
        if kind == layout.FREE:
            continue
        space, name = entry_key(cells, raw, at, path)
        value = entry_value(kind, cells[at + layout.VALUE], floats[at + layout.VALUE], path)
        yield Entry(space, name, value, floats[at + layout.COUNT], cells[at + layout.UPDATES])


def entry_value(kind: int, as_int: int, as_float: float, path: Path) -> float | bool:
    """Return the value of an entry that is in use.

    Raises:
        BoardError: If there is no such kind.
    """
    if kind == layout.FLOAT:
        return as_float
    if kind == layout.INT:
        return as_int
    if kind == layout.BOOL:
        return bool(as_int)
    raise damage_error(path, f"it has an entry of kind {kind}, which there is not")


class JsonInfos(NamedTuple):
    """The infos in the JSON of a board, and the keys of those that found no place.

    Attributes:
        infos: The infos by their keys.
        unshared: The keys of infos that found no place, as far as there was room for the keys.
        has_more: Whether there are others, whose keys found no place either.
    """

    infos: dict[str, Any]
    unshared: frozenset[str]
    has_more: bool = False


def parse_json(raw: bytes, path: Path) -> JsonInfos:
    """Parse the JSON of a board.

    Raises:
        BoardError: If it is not JSON, or not that of a board.
    """
    if not raw:
        return JsonInfos({}, frozenset())
    try:
        match decode(raw):
            case [[*pairs], [*unshared]] | [[*pairs], [*unshared], True] as parts:
                infos = {_key(key, path): value for key, value in pairs}
                return JsonInfos(infos, frozenset(_key(key, path) for key in unshared), has_more=len(parts) > 2)
            case _:
                raise damage_error(path, "its JSON is not that of a board")
    except NotTextError as error:
        raise damage_error(path, f"its JSON cannot be read: {error}") from None
    except (TypeError, ValueError):  # an element that must be a pair is not one
        raise damage_error(path, "its JSON is not that of a board") from None


def json_length(cell: int, path: Path) -> int:
    """Return the length of the JSON in bytes.

    Raises:
        BoardError: If there is no room for so many.
    """
    if 0 <= cell <= layout.INFO_CAPACITY:
        return cell
    raise damage_error(path, f"it says that it has {cell} bytes of JSON, where {layout.INFO_CAPACITY:,} have a place")


def damage_error(path: Path, fault: str) -> BoardError:
    """Return the error for a board whose content is wrong."""
    return BoardError(f"the board {path} is damaged: {fault}. Remove it", path=path, requirement="SHARE-06")


def _key(key: object, path: Path) -> str:
    if isinstance(key, str):
        return key
    raise damage_error(path, f"its JSON has the key {key!r}, where a key is a string")


_PATIENCE_S = 0.2
"""How long to wait for the end of a write. One takes a microsecond, and that of a stopped process never ends."""


@dataclass(frozen=True)
class BoardSnapshot:
    """Everything on a board, as of one moment.

    Attributes:
        path: The board.
        pid: The process that writes it.
        state: ``"live"``; ``"ended"`` once the run has ended; ``"dead"`` if its process disappeared before that.
        is_whole: Whether all values are of one moment. False if the writer was stopped amid a write.
        is_current: Whether it is the run that its process entered last.
        is_elsewhere: Whether its process is in another container, so that this one cannot tell whether it lives.
        created_ns: When the run began to share, in nanoseconds since 1970.
        updated_ns: When it last wrote, in nanoseconds since 1970.
        infos: The infos by their keys.
        scalars: The latest values by their keys.
        unshared: The keys of infos that found no place.
        unshared_numbers: The number of scalars and numbers that found no place.
        identity: The host, rank, job, run id and command; None if they are not on the board, or not to be read.
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
    identity: BoardIdentity | None = None


def read_board(path: str | os.PathLike[str]) -> BoardSnapshot:
    """Return what is on a board now, also if its writer is dead.

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
    board = Path(path)
    with open_board(board) as descriptor:
        return read_open_board(descriptor, board)


def read_open_board(descriptor: int, path: Path) -> BoardSnapshot:
    """Return what is on an open board now, also if its run has ended and removed the name.

    Args:
        descriptor: The file, open for reading.
        path: The name that the file has, or had.

    Raises:
        BoardError: If the board cannot be trusted, or is damaged.

    Source: SHARE-04 to SHARE-06.
    """
    check_open(descriptor, path)
    head, head_is_whole = _read_consistent(descriptor, layout.SEQUENCE, _used_head, path)
    text, text_is_whole = _read_consistent(descriptor, layout.INFO_SEQUENCE, _used_json, path)
    identity, identity_is_whole = _read_consistent(descriptor, layout.IDENTITY_SEQUENCE, _used_identity, path)
    is_whole = head_is_whole and text_is_whole and identity_is_whole
    return _parse(head, text, identity, path, is_whole=is_whole)


def _parse(head: bytes, text: bytes, identity: bytes, path: Path, *, is_whole: bool) -> BoardSnapshot:
    raw = memoryview(head)
    cells, floats = raw.cast("q"), raw.cast("d")
    json_infos = parse_json(text, path)
    infos = dict(json_infos.infos)
    scalars: dict[str, BoardScalar] = {}
    for entry in entries(cells, floats, raw, path):
        if entry.space == layout.SCALAR:
            scalars[entry.name] = BoardScalar(entry.value, entry.count, entry.updates)
        else:
            infos[entry.name] = entry.value
    for key, slot in layout.SLOTS.items():
        if holds_value(cells[slot]):
            infos[key] = slot_value(slot, cells[slot], path)
        elif cells[slot] == layout.ABSENT:  # an earlier value might still be elsewhere
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
        unshared=json_infos.unshared,
        unshared_numbers=cells[layout.UNSHARED_NUMBERS],
        identity=parse_identity(identity),
    )


def _state(cells: memoryview[int]) -> Literal["live", "ended", "dead"]:
    if cells[layout.CLOSED]:
        return "ended"
    return "live" if is_elsewhere(cells) or is_writer_alive(cells) else "dead"


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


def _read_consistent(descriptor: int, sequence: int, used: Any, path: Path) -> tuple[bytes, bool]:
    """Return a part of the board, and whether it is of one moment: the sequence was even and stayed the same."""
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
    part = read_of_board(descriptor, length, offset, path)
    if len(part) != length:
        raise damage_error(path, f"it ends after {offset + len(part):,} bytes")
    return part
