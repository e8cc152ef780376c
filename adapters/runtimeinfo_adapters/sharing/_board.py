"""Writing a board: its file, its infos as JSON, and the latest values of a hub."""

from __future__ import annotations

import json
import math
import mmap
import os
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple, Protocol

from runtimeinfo import BoardError
from runtimeinfo.authoring import is_scalar, lies_on_device, scalar_value
from runtimeinfo.board import (
    FOLDER_VARIABLE,
    board_files,
    board_name,
    is_elsewhere,
    is_writer_alive,
    layout,
    make_board_folder,
    open_unfollowed,
    pid_in,
)
from runtimeinfo.board.process import is_alive, pid_namespace, started
from runtimeinfo.board.text import NotTextError, encode


class Latest(NamedTuple):
    """The latest value of a history that is known.

    Attributes:
        value: The value.
        samples: How many samples it is the sum of.
        updates: Which update it came with, counted from 1.
    """

    value: int | float
    samples: int | float
    updates: int


class KnowsLatest(Protocol):
    """What a board wants of a history."""

    def latest(self) -> Latest | None:
        """Return the latest value that is known without a wait, or None."""
        ...


_MOST_OF_A_PROCESS = 10_000


def make_board_file() -> tuple[Path, mmap.mmap]:
    """Make a board without any value on it, and map it.

    Returns:
        The path, and the board, ready to be written.

    Raises:
        BoardError: If there is no place to make it.

    Source: SHARE-05.
    """
    folder = make_board_folder()
    remove_stale_boards()
    descriptor, path = _create(folder)
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask is
        # All of it now: where memory is short, this fails. A hole would end the process at the first write.
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
    """Remove the boards of this user whose processes are gone without having done so themselves.

    Source: SHARE-06.
    """
    for path in board_files():
        if _is_stale(path):
            path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    try:
        descriptor = open_unfollowed(path)
    except OSError:  # gone since, a link, or not ours to read: not ours to remove either
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
        # Its writer was killed before it had begun. Nothing but the name says who that was.
        return not is_alive(pid_in(path), since=0)
    cells = memoryview(head).cast("q")
    return not is_elsewhere(cells) and not is_writer_alive(cells)


def _create(folder: Path) -> tuple[int, Path]:
    for number in range(_MOST_OF_A_PROCESS):
        path = folder / board_name(os.getpid(), number)
        try:
            # O_EXCL: nobody else's file is written to, nor is a link followed.
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), path
        except FileExistsError:
            continue
        except OSError as error:
            raise BoardError(
                f"no board can be made in {folder}: {error}. Name another folder in {FOLDER_VARIABLE}", path=path
            ) from error
    raise BoardError(f"{folder} has {_MOST_OF_A_PROCESS:,} boards of this process: unshare some hubs", path=folder)


def _write_header(mapped: mmap.mmap) -> None:
    cells = memoryview(mapped).cast("q")
    cells[layout.IS_VERSION] = layout.VERSION
    cells[layout.IS_SIZE] = layout.SIZE
    cells[layout.PID] = os.getpid()
    cells[layout.PID_NAMESPACE] = pid_namespace()
    cells[layout.STARTED] = started(os.getpid())
    cells[layout.CREATED_NS] = cells[layout.UPDATED_NS] = time.time_ns()
    for slot in layout.SLOTS.values():
        cells[slot] = layout.ABSENT
    mapped[: layout.CELL] = layout.MAGIC  # last: before that it is no board


_MOST_UNSHARED = 100
_LONGEST_UNSHARED = 100


class Texts:
    """Holds the infos that are no numbers, each as JSON, and the keys of those that have no place on a board."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}
        self._unshared: set[str] = set()

    def keys(self) -> set[str]:
        """Return the keys of all that it holds, those that have no place included."""
        return self._parts.keys() | self._unshared

    def put(self, key: str, value: Any) -> bool:
        """Take an info, and tell whether that changes the JSON."""
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
        """Hold the key of an info alone."""
        self._parts.pop(key, None)
        self._unshared.add(key)

    def remove(self, key: str) -> bool:
        """Forget an info, and tell whether that changes the JSON."""
        known = key in self._parts or key in self._unshared
        self._parts.pop(key, None)
        self._unshared.discard(key)
        return known

    def to_bytes(self) -> bytes:
        """Return the JSON: a list of the infos, and one of the keys that have no place, as far as these have one."""
        unshared = [key for key in sorted(self._unshared) if len(key) <= _LONGEST_UNSHARED][:_MOST_UNSHARED]
        return f"[[{', '.join(self._parts.values())}], {json.dumps(unshared)}]".encode("ascii")


# How old a scalar on the board may be: an iteration has four or so, and comes faster than anybody could read them.
_SCALARS_EVERY_NS = 10_000_000

# Needed by each iteration: to look them up in the module would take a tenth of its time.
_ITER = layout.ITER
_UPDATED_NS = layout.UPDATED_NS
_HIGHEST_INT = layout.HIGHEST_INT

_STAGE_CODES = {stage: code for code, stage in enumerate(layout.STAGES)}

_MISSING: Any = object()


class Board:
    """Writes a hub's latest values where other processes of this user read them; any number of threads may.

    Infos are written at once. Scalars are taken from their histories along with the next info: with each ``iter``
    that comes 10 ms or more after the last time, and with every other info of `layout.SLOTS`.

    Args:
        infos: The infos of the hub, as they are at any time.
        scalars: Its histories, likewise.

    Raises:
        BoardError: If there is no place to make it.

    Source: SHARE-01 to SHARE-06.
    """

    def __init__(self, infos: Mapping[str, Any], scalars: Mapping[str, KnowsLatest]) -> None:
        self.path: Path
        self.path, mapped = make_board_file()
        self._pid = os.getpid()
        view = memoryview(mapped)
        self._bytes = view
        self._cells: memoryview[int] = view.cast("q")
        self._floats: memoryview[float] = view.cast("d")
        self._infos = infos
        self._scalars = scalars
        # Re-entrant: a signal handler may publish while this thread does.
        self._lock = threading.RLock()
        self._scalars_due_ns = 0
        # The first cell of each entry by its space and its name.
        self._entries: dict[tuple[int, str], int] = {}
        # The history that a scalar had, and how many values in it: another one may have as many.
        self._seen: dict[str, tuple[KnowsLatest, int]] = {}
        self._unshared_numbers: set[str] = set()
        self._texts = Texts()

    def write_info(self, key: str, value: Any) -> None:
        """Write an info that the hub has just taken."""
        if key == "iter" and type(value) is int and 0 <= value <= _HIGHEST_INT:
            # Each iteration comes this way. One cell is never torn, and `iter` alone is right beside the other numbers
            # whether it has come or not: without the lock and the sequence it takes half the time.
            now = time_ns()
            self._cells[_ITER] = value
            self._cells[_UPDATED_NS] = now
            is_due = now >= self._scalars_due_ns
        else:
            self._write_any_info(key, value)
            is_due = key in layout.SLOTS
        if self._infos.get(key, _MISSING) is not value:
            self.follow(key)
        if is_due:
            self.write_scalars()

    def write_infos(self, infos: Mapping[str, Any]) -> None:
        """Write infos that the hub has just taken; those of `layout.SLOTS` as of one moment."""
        slots = {key: _cell_for(layout.SLOTS[key], value) for key, value in infos.items() if key in layout.SLOTS}
        with self._lock:
            with self._together(layout.SEQUENCE):
                for key, cell in slots.items():
                    if cell != layout.ELSEWHERE:
                        self._cells[layout.SLOTS[key]] = cell
            for key, value in infos.items():
                if slots.get(key, layout.ELSEWHERE) == layout.ELSEWHERE:
                    self._write_any_info(key, value)
        for key, value in infos.items():
            if self._infos.get(key, _MISSING) is not value:
                self.follow(key)
        if slots:
            self.write_scalars()

    def follow(self, key: str) -> None:
        """Write what the hub has now under a key: another thread may have been faster, or may have taken it away."""
        self._follow(key)
        if key in layout.SLOTS:
            self.write_scalars()

    def follow_all(self) -> None:
        """Write all that the hub has now, and take away what it has no longer."""
        written = {name for space, name in list(self._entries) if space == layout.INFO}
        for key in (*layout.SLOTS, *written, *self._texts.keys(), *list(self._infos)):
            self._follow(key)
        self.write_scalars()

    def write_scalars(self) -> None:
        """Write the latest value of each scalar that has a new one which is known without asking a device."""
        with self._lock:
            scalars = list(self._scalars.items())
            for key in self._seen.keys() - self._scalars.keys():
                del self._seen[key]
                self._free(layout.SCALAR, key)
            for key, history in scalars:
                latest = history.latest()
                if latest is None or not self._is_news(key, history, latest.updates):
                    continue
                if not self._write_entry(layout.SCALAR, key, latest.value, latest.samples, latest.updates):
                    self._unshared_numbers.add(key)
                    self._write_cell(layout.UNSHARED_NUMBERS, len(self._unshared_numbers))
            self._scalars_due_ns = time_ns() + _SCALARS_EVERY_NS

    def set_current(self, is_current: bool) -> None:
        """Say whether the hub is the one that this process has entered last."""
        with self._lock:
            self._write_cell(layout.CURRENT, int(is_current))
        self.path.parent.touch()  # whoever waits for a run looks again

    def close(self) -> None:
        """Say that the run has ended, and remove the board. Who has it open reads on what was last there."""
        if os.getpid() != self._pid:  # a forked child has it from its parent, who goes on
            return
        with self._lock:
            self._write_cell(layout.CURRENT, 0)
            self._write_cell(layout.CLOSED, 1)
        self.path.unlink(missing_ok=True)

    # -- how

    def _follow(self, key: str) -> None:
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
            if self._texts.remove(key):
                self._write_texts()

    def _write_any_info(self, key: str, value: Any) -> None:
        with self._lock:
            slot = layout.SLOTS.get(key)
            cell = layout.ELSEWHERE if slot is None else _cell_for(slot, value)
            if cell == layout.ELSEWHERE:
                self._write_elsewhere(key, value)
            if slot is not None:
                self._write_cell(slot, cell)

    # The caller of these holds the lock.

    def _is_news(self, key: str, history: KnowsLatest, updates: int) -> bool:
        seen = self._seen.get(key)
        if seen is not None and seen[0] is history and seen[1] == updates:
            return False
        self._seen[key] = history, updates
        return True

    def _write_elsewhere(self, key: str, value: Any) -> None:
        # What it was before is removed once it is there anew: a reader finds the one or the other.
        if type(value) not in (bool, int, float, str) and not lies_on_device(value) and is_scalar(value):
            value = scalar_value(value)
        if _fits_a_cell(value) and self._write_entry(layout.INFO, key, value):
            if self._texts.remove(key):
                self._write_texts()
            return
        if self._texts.put(key, value):
            self._write_texts(newest=key)
        self._free(layout.INFO, key)

    def _write_texts(self, newest: str | None = None) -> None:
        raw = self._texts.to_bytes()
        if len(raw) > layout.INFO_CAPACITY and newest is not None:
            self._texts.leave_out(newest)
            raw = self._texts.to_bytes()
        with self._together(layout.INFO_SEQUENCE):
            self._bytes[layout.INFO_OFFSET : layout.INFO_OFFSET + len(raw)] = raw
            self._cells[layout.INFO_LENGTH] = len(raw)

    def _write_cell(self, cell: int, value: int) -> None:
        with self._together(layout.SEQUENCE):
            self._cells[cell] = value

    @contextmanager
    def _together(self, sequence: int) -> Generator[None]:
        """Let readers take what is written inside for one moment's, as the sequence tells them."""
        cells = self._cells
        cells[sequence] |= 1
        try:
            yield
        finally:
            cells[layout.UPDATED_NS] = time_ns()
            # Read anew: a signal handler may have written meanwhile, in this very thread.
            cells[sequence] = (cells[sequence] & ~1) + 2

    def _write_entry(self, space: int, name: str, value: float, count: float = 1, updates: int = 0) -> bool:
        """Write an entry, and tell whether there is a place for it."""
        at = self._entries.get((space, name))
        if at is None:
            at = self._add_entry(space, name)
            if at is None:
                return False
        if isinstance(value, int) and not _fits_a_cell(value):
            value = _as_float(value)
        kind = layout.BOOL if isinstance(value, bool) else layout.INT if isinstance(value, int) else layout.FLOAT
        cells, floats = self._cells, self._floats
        with self._together(layout.SEQUENCE):
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
        self._write_cell(layout.ENTRIES, len(self._entries))  # only now: a reader finds it whole
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
