"""From the bytes of a board to what they say. Nothing in them is trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from runtimeinfo._errors import BoardError
from runtimeinfo.board import layout
from runtimeinfo.board.text import NotTextError, decode


@dataclass(frozen=True, slots=True)
class BoardScalar:
    """The latest value of a scalar.

    Attributes:
        value: The value.
        count: How many samples it is the sum of.
        updates: How many values the scalar has had.
    """

    value: float
    count: float
    updates: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says."""

    space: int
    name: str
    value: float | bool
    count: float
    updates: int


def slot_value(slot: int, cell: int, path: Path) -> Any:
    """Return the info in a slot, which holds one.

    Raises:
        BoardError: If the number has no meaning.
    """
    if cell == layout.NONE:
        return None
    if slot != layout.LOOP_STAGE:
        return cell
    if 0 <= cell < len(layout.STAGES):
        return layout.STAGES[cell]
    raise damaged(path, f"it says that the stage is number {cell}")


def holds_value(cell: int) -> bool:
    """Tell whether a slot holds its info: it may be absent, or elsewhere on the board."""
    return cell not in (layout.ABSENT, layout.ELSEWHERE)


def entry_count(cell: int, path: Path) -> int:
    """Return how many entries there are.

    Raises:
        BoardError: If so many have no place.
    """
    if 0 <= cell <= layout.MAX_ENTRIES:
        return cell
    raise damaged(path, f"it says that it has {cell} entries, where at most {layout.MAX_ENTRIES} have a place")


def entry_key(cells: Sequence[int], raw: bytes | memoryview, at: int, path: Path) -> tuple[int, str]:
    """Return the space and the name of an entry.

    Args:
        cells: The header and the entries, as integers.
        raw: The same, as bytes.
        at: The first cell of the entry.
        path: The board.

    Raises:
        BoardError: If there is no such space, or the name is too long, or no text.
    """
    space, length = cells[at + layout.SPACE], cells[at + layout.NAME_LENGTH]
    if space not in (layout.SCALAR, layout.INFO):
        raise damaged(path, f"it has an entry of space {space}, which there is not")
    if not 0 < length <= layout.MAX_NAME:
        raise damaged(path, f"it says that a name has {length} bytes, where one has 1 to {layout.MAX_NAME}")
    begin = (at + layout.NAME) * layout.CELL
    try:
        return space, bytes(raw[begin : begin + length]).decode()
    except UnicodeDecodeError:
        raise damaged(path, "a name is no UTF-8") from None


def entries(cells: Sequence[int], floats: Sequence[float], raw: bytes | memoryview, path: Path) -> Iterator[Entry]:
    """Yield the entries in use, those that are free left out.

    Args:
        cells: The header and the entries, as integers.
        floats: The same, as floats.
        raw: The same, as bytes.
        path: The board.

    Raises:
        BoardError: If one of them has no meaning.
    """
    # Where the parts are not of one moment, it may say more than was copied.
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
    raise damaged(path, f"it has an entry of kind {kind}, which there is not")


class Texts(NamedTuple):
    """What the JSON says: the infos in it, and the keys of those that found no place."""

    infos: dict[str, Any]
    unshared: frozenset[str]


def parse_texts(raw: bytes, path: Path) -> Texts:
    """Return what the JSON says.

    Raises:
        BoardError: If it is none, or says something else.
    """
    if not raw:
        return Texts({}, frozenset())
    try:
        match decode(raw):
            case [[*pairs], [*unshared]]:
                infos = {_key(key, path): value for key, value in pairs}
                return Texts(infos, frozenset(_key(key, path) for key in unshared))
            case _:
                raise damaged(path, "its JSON is not that of a board")
    except NotTextError as error:
        raise damaged(path, f"its JSON cannot be read: {error}") from None
    except (TypeError, ValueError):  # what should be a pair is none
        raise damaged(path, "its JSON is not that of a board") from None


def text_length(cell: int, path: Path) -> int:
    """Return how many bytes of JSON there are.

    Raises:
        BoardError: If so many have no place.
    """
    if 0 <= cell <= layout.INFO_CAPACITY:
        return cell
    raise damaged(path, f"it says that it has {cell} bytes of JSON, where {layout.INFO_CAPACITY:,} have a place")


def damaged(path: Path, fault: str) -> BoardError:
    """Return the error for a board that cannot be right."""
    return BoardError(f"the board {path} is damaged: {fault}. Remove it", path=path, requirement="SHARE-06")


def _key(key: object, path: Path) -> str:
    if isinstance(key, str):
        return key
    raise damaged(path, f"its JSON has the key {key!r}, where a key is a string")
