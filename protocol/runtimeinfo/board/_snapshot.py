"""The content of a board, and the parsing of its bytes.

Nothing in the bytes is trusted: sizes, counts, kinds and text are checked before they are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runtimeinfo._errors import BoardError
from runtimeinfo.board import layout
from runtimeinfo.board._identity import BoardIdentity
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
