"""Write a board: its file, the infos that are JSON, and the latest values of a hub.

The layout is that of `runtimeinfo.board.layout`; `runtimeinfo.board.BoardReader` reads it.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple, Protocol

from runtimeinfo import BoardError
from runtimeinfo.authoring import is_scalar, lies_on_device, scalar_value
from runtimeinfo.board import FOLDER_VARIABLE, board_files, board_name, layout, make_board_folder, pid_in
from runtimeinfo.board._folder import open_unfollowed
from runtimeinfo.board.process import is_alive, is_elsewhere, is_writer_alive, pid_namespace, started
from runtimeinfo.board.text import NotTextError, encode


class Latest(NamedTuple):
    """The latest value of a history, as far as it is known without waiting for a device.

    Attributes:
        value: The value.
        samples: The number of samples that the value is the sum of.
        updates: The number of the update that brought it, counted from 1.
    """

    value: int | float
    samples: int | float
    updates: int


class HasLatest(Protocol):
    """A history, as a board needs it."""

    def latest(self) -> Latest | None:
        """Return the latest value that is known without waiting, or None."""
        ...


_MAX_BOARDS = 10_000


def make_board_file() -> tuple[Path, mmap.mmap]:
    """Make the file of a board, without any value in it, and map it.

    Returns:
        The path and the mapped file.

    Raises:
        BoardError: If the file cannot be made.

    Source: SHARE-05.
    """
    folder = make_board_folder()
    remove_stale_boards()
    descriptor, path = _create(folder)
    try:
        os.fchmod(descriptor, 0o600)  # independent of the umask
        # Reserve all of it now, which fails if memory is short. A hole would end the process at its first write.
        os.posix_fallocate(descriptor, 0, layout.SIZE)
        mapped = mmap.mmap(descriptor, layout.SIZE)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BoardError(
            f"no board can be made in {folder}: {error}. Name another folder in {FOLDER_VARIABLE}", path=path
        ) from error
    finally:
        os.close(descriptor)
    _write_header(mapped)
    return path, mapped


def remove_stale_boards() -> None:
    """Remove the boards that this user's dead processes have left behind.

    Source: SHARE-06.
    """
    for path in board_files():
        if _is_stale(path):
            path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    try:
        descriptor = open_unfollowed(path)
    except OSError:  # it is gone, a link, or unreadable: this process must not remove it
        return False
    try:
        found = os.fstat(descriptor)
        head = os.pread(descriptor, layout.HEADER_SIZE, 0)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    if found.st_uid != os.geteuid():
        return False
    if head[: layout.CELL] != layout.MAGIC or len(head) != layout.HEADER_SIZE:
        # Its writer was killed before it wrote the header. Only the file name tells which process that was.
        return not is_alive(pid_in(path), since=0)
    cells = memoryview(head).cast("q")
    return not is_elsewhere(cells) and not is_writer_alive(cells)


def _create(folder: Path) -> tuple[int, Path]:
    for number in range(_MAX_BOARDS):
        path = folder / board_name(os.getpid(), number)
        try:
            # O_EXCL: never write to an existing file, and never follow a link.
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), path
        except FileExistsError:
            continue
        except OSError as error:
            raise BoardError(
                f"no board can be made in {folder}: {error}. Name another folder in {FOLDER_VARIABLE}", path=path
            ) from error
    raise BoardError(f"{folder} has {_MAX_BOARDS:,} boards of this process: unshare some hubs", path=folder)


def _write_header(mapped: mmap.mmap) -> None:
    cells = memoryview(mapped).cast("q")
    cells[layout.IS_VERSION] = layout.VERSION
    cells[layout.IS_SIZE] = layout.SIZE
    cells[layout.PID] = os.getpid()
    cells[layout.PID_NAMESPACE] = pid_namespace()
    cells[layout.STARTED] = started(os.getpid())
    cells[layout.CREATED_NS] = cells[layout.UPDATED_NS] = time_ns()
    for slot in layout.SLOTS.values():
        cells[slot] = layout.ABSENT
    mapped[: layout.CELL] = layout.MAGIC  # last: without it the file is not a board


_MAX_UNSHARED = 100
_MAX_UNSHARED_LENGTH = 100


class JsonStore:
    """Holds the infos that are not numbers, each as JSON, and the keys of those that have no place on a board."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}
        self._unshared: set[str] = set()

    def keys(self) -> set[str]:
        """Return all keys, including those of the infos that have no place."""
        return self._parts.keys() | self._unshared

    def put(self, key: str, value: Any) -> bool:
        """Add or replace an info, and tell whether that changes the JSON."""
        try:
            part = f"[{json.dumps(key)}, {encode(value, layout.MAX_INFO)}]"
        except NotTextError:
            changes = key not in self._unshared
            self.leave_out(key)
            return changes
        changes = self._parts.get(key) != part
        self._unshared.discard(key)
        self._parts[key] = part
        return changes

    def leave_out(self, key: str) -> None:
        """Keep only the key of an info."""
        self._parts.pop(key, None)
        self._unshared.add(key)

    def remove(self, key: str) -> bool:
        """Remove an info, and tell whether that changes the JSON."""
        known = key in self._parts or key in self._unshared
        self._parts.pop(key, None)
        self._unshared.discard(key)
        return known

    def to_bytes(self, capacity: int | None = None) -> bytes:
        """Return the JSON: a list of the infos, and one of the first keys that have no place.

        Args:
            capacity: The number of bytes that it can have. Keys that do not fit are omitted; the infos must fit.
        """
        unshared = [key for key in sorted(self._unshared) if len(key) <= _MAX_UNSHARED_LENGTH][:_MAX_UNSHARED]
        while True:
            raw = f"[[{', '.join(self._parts.values())}], {json.dumps(unshared)}]".encode("ascii")
            if capacity is None or len(raw) <= capacity or not unshared:
                return raw
            del unshared[len(unshared) // 2 :]


# The greatest age of a scalar on the board. An iteration has about four, and comes faster than a person can read them.
_SCALARS_EVERY_NS = 10_000_000

# Each iteration needs these: looking them up in the module would take a tenth of its time.
_ITER = layout.ITER
_UPDATED_NS = layout.UPDATED_NS
_HIGHEST_INT = layout.HIGHEST_INT

_STAGE_CODES = {stage: code for code, stage in enumerate(layout.STAGES)}

_MISSING: Any = object()


class Board:
    """Writes a hub's latest values where other processes of this user read them. It is thread-safe.

    Infos are written at once. Scalars are read from their histories together with the next info: with each ``iter``
    that comes 10 ms or more after the last time, and with every other info of `layout.SLOTS`.

    Args:
        infos: A live view of the infos of the hub.
        scalars: A live view of its histories.

    Raises:
        BoardError: If the file cannot be made.

    Source: SHARE-01 to SHARE-06.
    """

    def __init__(self, infos: Mapping[str, Any], scalars: Mapping[str, HasLatest]) -> None:
        self.path: Path
        self.path, mapped = make_board_file()
        self._pid = os.getpid()
        view = memoryview(mapped)
        self._bytes = view
        self._cells: memoryview[int] = view.cast("q")
        self._floats: memoryview[float] = view.cast("d")
        self._infos = infos
        self._scalars = scalars
        # Re-entrant: a signal handler might publish while this thread does.
        self._lock = threading.RLock()
        self._scalars_due_ns = 0
        # The first cell of each entry by its space and its name.
        self._entries: dict[tuple[int, str], int] = {}
        # The history of each scalar and its number of updates, since another history might have as many.
        self._seen: dict[str, tuple[HasLatest, int]] = {}
        self._unshared_numbers: set[str] = set()
        self._json = JsonStore()

    def write_info(self, key: str, value: Any) -> None:
        """Write an info that the hub has just taken."""
        if key == "iter" and type(value) is int and 0 <= value <= _HIGHEST_INT:
            # The path of each iteration. One cell is never torn, and `iter` is right beside the other numbers both
            # before and after the write, so that it needs neither lock nor sequence, which would double the time.
            now = time_ns()
            self._cells[_ITER] = value
            self._cells[_UPDATED_NS] = now
            is_due = now >= self._scalars_due_ns
        else:
            self._write_any_info(key, value)
            is_due = key in layout.SLOTS
        if self._infos.get(key, _MISSING) is not value:
            self.refresh(key)
        if is_due:
            self.write_scalars()

    def write_infos(self, infos: Mapping[str, Any]) -> None:
        """Write infos that the hub has just taken; those of `layout.SLOTS` become visible at once."""
        slots = {key: _cell_for(layout.SLOTS[key], value) for key, value in infos.items() if key in layout.SLOTS}
        with self._lock:
            with self._write_section(layout.SEQUENCE):
                for key, cell in slots.items():
                    if cell != layout.ELSEWHERE:
                        self._cells[layout.SLOTS[key]] = cell
            for key, value in infos.items():
                if slots.get(key, layout.ELSEWHERE) == layout.ELSEWHERE:
                    self._write_any_info(key, value)
        for key, value in infos.items():
            if self._infos.get(key, _MISSING) is not value:
                self.refresh(key)
        if slots:
            self.write_scalars()

    def refresh(self, key: str) -> None:
        """Write the current value of a key, or remove it: another thread might have changed it meanwhile."""
        self._refresh(key)
        if key in layout.SLOTS:
            self.write_scalars()

    def refresh_all(self) -> None:
        """Write everything that the hub has now, and remove what it no longer has."""
        written = {name for space, name in list(self._entries) if space == layout.INFO}
        for key in (*layout.SLOTS, *written, *self._json.keys(), *list(self._infos)):
            self._refresh(key)
        self.write_scalars()

    def write_scalars(self) -> None:
        """Write each scalar that has a new value, as far as it is known without waiting for a device."""
        with self._lock:
            scalars = list(self._scalars.items())
            for key in self._seen.keys() - self._scalars.keys():
                del self._seen[key]
                self._free(layout.SCALAR, key)
            for key, history in scalars:
                latest = history.latest()
                if latest is None or not self._is_new(key, history, latest.updates):
                    continue
                if not self._write_entry(layout.SCALAR, key, latest.value, latest.samples, latest.updates):
                    self._unshared_numbers.add(key)
                    self._write_cell(layout.UNSHARED_NUMBERS, len(self._unshared_numbers))
            self._scalars_due_ns = time_ns() + _SCALARS_EVERY_NS

    def set_current(self, is_current: bool) -> None:
        """Write whether the hub is the one that this process has entered last."""
        with self._lock:
            self._write_cell(layout.CURRENT, int(is_current))
        self.path.parent.touch()  # a process that waits for a run looks again

    def close(self) -> None:
        """Write that the run has ended, and remove the file. Readers that have it open keep its last values."""
        if os.getpid() != self._pid:  # a forked child inherits the board of its parent, which still uses it
            return
        with self._lock:
            self._write_cell(layout.CURRENT, 0)
            self._write_cell(layout.CLOSED, 1)
        self.path.unlink(missing_ok=True)

    def _refresh(self, key: str) -> None:
        while True:
            value = self._infos.get(key, _MISSING)
            if value is _MISSING:
                self._remove_info(key)
            else:
                self._write_any_info(key, value)
            if self._infos.get(key, _MISSING) is value:
                return

    def _remove_info(self, key: str) -> None:
        with self._lock:
            if key in layout.SLOTS:
                self._write_cell(layout.SLOTS[key], layout.ABSENT)
            self._free(layout.INFO, key)
            if self._json.remove(key):
                self._write_json()

    def _write_any_info(self, key: str, value: Any) -> None:
        with self._lock:
            slot = layout.SLOTS.get(key)
            cell = layout.ELSEWHERE if slot is None else _cell_for(slot, value)
            if cell == layout.ELSEWHERE:
                self._write_outside_slot(key, value)
            if slot is not None:
                self._write_cell(slot, cell)

    # The methods below require that the caller holds the lock.

    def _is_new(self, key: str, history: HasLatest, updates: int) -> bool:
        seen = self._seen.get(key)
        if seen is not None and seen[0] is history and seen[1] == updates:
            return False
        self._seen[key] = history, updates
        return True

    def _write_outside_slot(self, key: str, value: Any) -> None:
        # The old value is removed after the new one is written: a reader finds one of them.
        if type(value) not in (bool, int, float, str) and not lies_on_device(value) and is_scalar(value):
            value = scalar_value(value)
        if _fits_a_cell(value) and self._write_entry(layout.INFO, key, value):
            if self._json.remove(key):
                self._write_json()
            return
        if self._json.put(key, value):
            self._write_json(newest=key)
        self._free(layout.INFO, key)

    def _write_json(self, newest: str | None = None) -> None:
        raw = self._json.to_bytes()
        if len(raw) > layout.INFO_CAPACITY and newest is not None:
            self._json.leave_out(newest)
        if len(raw) > layout.INFO_CAPACITY:
            raw = self._json.to_bytes(layout.INFO_CAPACITY)
        with self._write_section(layout.INFO_SEQUENCE):
            self._bytes[layout.INFO_OFFSET : layout.INFO_OFFSET + len(raw)] = raw
            self._cells[layout.INFO_LENGTH] = len(raw)

    def _write_cell(self, cell: int, value: int) -> None:
        with self._write_section(layout.SEQUENCE):
            self._cells[cell] = value

    @contextmanager
    def _write_section(self, sequence: int) -> Generator[None]:
        """Make what is written in this scope visible at once, to readers that compare the sequence."""
        cells = self._cells
        cells[sequence] |= 1
        try:
            yield
        finally:
            cells[layout.UPDATED_NS] = time_ns()
            # Read the sequence again: a signal handler might have written meanwhile, in this thread.
            cells[sequence] = (cells[sequence] & ~1) + 2

    def _write_entry(self, space: int, name: str, value: float, count: float = 1, updates: int = 0) -> bool:
        """Write an entry, and tell whether there is room for it."""
        at = self._entries.get((space, name))
        if at is None:
            at = self._add_entry(space, name)
            if at is None:
                return False
        if isinstance(value, int) and not _fits_a_cell(value):
            value = _as_float(value)
        kind = layout.BOOL if isinstance(value, bool) else layout.INT if isinstance(value, int) else layout.FLOAT
        cells, floats = self._cells, self._floats
        with self._write_section(layout.SEQUENCE):
            if kind == layout.FLOAT:
                floats[at + layout.VALUE] = value
            else:
                cells[at + layout.VALUE] = int(value)
            cells[at + layout.KIND] = kind
            cells[at + layout.UPDATES] = updates
            floats[at + layout.COUNT] = _as_float(count)
        return True

    def _add_entry(self, space: int, name: str) -> int | None:
        try:
            raw = name.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            return None
        if not 0 < len(raw) <= layout.MAX_NAME or len(self._entries) == layout.MAX_ENTRIES:
            return None
        at = layout.entry_cell(len(self._entries))
        cells = self._cells
        cells[at + layout.KIND] = layout.FREE
        cells[at + layout.SPACE] = space
        cells[at + layout.NAME_LENGTH] = len(raw)
        name_at = (at + layout.NAME) * layout.CELL
        self._bytes[name_at : name_at + len(raw)] = raw
        self._entries[space, name] = at
        self._write_cell(layout.ENTRIES, len(self._entries))  # last: a reader must find the entry complete
        return at

    def _free(self, space: int, name: str) -> None:
        at = self._entries.get((space, name))
        if at is not None:
            self._write_cell(at + layout.KIND, layout.FREE)


def _fits_a_cell(value: object) -> bool:
    return type(value) in (bool, float) or (type(value) is int and -(2**63) <= value <= layout.HIGHEST_INT)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # another hub keeps integers of any size
        return math.inf if number > 0 else -math.inf


def _cell_for(slot: int, value: Any) -> int:
    if value is None:
        return layout.NONE
    if slot == layout.LOOP_STAGE:
        return _STAGE_CODES.get(value, layout.ELSEWHERE) if isinstance(value, str) else layout.ELSEWHERE
    if type(value) is int and layout.LOWEST_INT <= value <= layout.HIGHEST_INT:
        return value
    return layout.ELSEWHERE
