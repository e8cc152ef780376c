"""Write a board: the infos and the latest values of a hub.

The layout is that of `runtimeinfo.board.layout`; `runtimeinfo.board.BoardReader` reads it.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from runtimeinfo import BoardError
from runtimeinfo._user_warning import warn_user
from runtimeinfo.authoring import is_scalar, lies_on_device, scalar_value, shown
from runtimeinfo.board import BoardIdentity, UnsharedWarning, layout
from runtimeinfo_adapters.sharing._board_file import make_board_file
from runtimeinfo_adapters.sharing._json_store import JsonStore


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


# The greatest age of a scalar on the board. An iteration has about four, and comes faster than a person can read them.
_SCALARS_EVERY_NS = 10_000_000

# Each iteration needs these: looking them up in the module would take a tenth of its time.
_ITER = layout.ITER
_UPDATED_NS = layout.UPDATED_NS
_HIGHEST_INT = layout.HIGHEST_INT
# Likewise those that each scalar needs.
_SEQUENCE, _FLOAT = layout.SEQUENCE, layout.FLOAT
_VALUE, _KIND, _UPDATES, _COUNT = layout.VALUE, layout.KIND, layout.UPDATES, layout.COUNT

_STAGE_CODES = {stage: code for code, stage in enumerate(layout.STAGES)}

_MAX_REFRESHES = 100

_MAX_NAMES = 3
"""The greatest number of scalars that a warning names."""

_MISSING: Any = object()


class _Seen(NamedTuple):
    """The history of a scalar on the board, the first cell of its entry, and the number of the update that is there.

    A history that replaces another one might have had as many updates.
    """

    history: HasLatest
    at: int
    updates: int


class _WriteSection:
    # Not a generator with `contextmanager`: one that an interrupt stops before its scope begins would end whenever it
    # is collected, amid another write. What an interrupt leaves here is put right by `Board.handle`.
    __slots__ = ("_cells", "_sequence")

    def __init__(self, cells: memoryview[int], sequence: int) -> None:
        self._cells = cells
        self._sequence = sequence

    def __enter__(self) -> None:
        self._cells[self._sequence] |= 1

    def __exit__(self, *_: object) -> None:
        cells, sequence = self._cells, self._sequence
        cells[layout.UPDATED_NS] = time_ns()
        # Read the sequence again: a signal handler might have written meanwhile, in this thread.
        cells[sequence] = (cells[sequence] & ~1) + 2


_Write = TypeVar("_Write", bound=Callable[..., None])


def _guarded(write: _Write) -> _Write:
    """Let a method of a board raise nothing but an interrupt."""

    @wraps(write)
    def guarded(board: Board, *args: Any) -> None:
        try:
            write(board, *args)
        except BaseException as error:  # noqa: BLE001  # `handle` raises what is not an Exception
            board.handle(error)

    return cast("_Write", guarded)


class Board:
    """Writes a hub's latest values where other processes of this user read them. It is thread-safe.

    Infos are written at once. Scalars are read from their histories together with the next info: with each ``iter``
    that comes 10 ms or more after the last time, and with every other info of `layout.SLOTS`.

    No method raises: a training does not end because it cannot be shown. A place is never given to another key, so that
    a scalar without one is not tried again. One `UnsharedWarning` names the first of them.

    Args:
        infos: A live view of the infos of the hub.
        scalars: A live view of its histories.
        on_fault: It is called with the error if the board cannot be written any more.
        run_id: The id of the run.

    Raises:
        BoardError: If the file cannot be made.

    Source: SHARE-01 to SHARE-06.
    """

    def __init__(
        self,
        infos: Mapping[str, Any],
        scalars: Mapping[str, HasLatest],
        on_fault: Callable[[Exception], object] | None = None,
        *,
        run_id: str = "",
    ) -> None:
        self.path: Path
        self.path, self._mapped, self._inode = make_board_file(BoardIdentity.of_process(run_id))
        self._on_fault = on_fault
        self._pid = os.getpid()
        self._is_closed = False
        view = memoryview(self._mapped)
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
        self._seen: dict[str, _Seen] = {}
        self._unshared_numbers: set[str] = set()
        # Those of them that never get a place, because there is none left or their names are too long.
        self._placeless: set[str] = set()
        self._has_warned = False
        self._json = JsonStore()

    def write_info(self, key: str, value: Any) -> None:
        """Write an info that the hub has just taken."""
        try:  # as `_guarded` does, which would add a call to each iteration; this adds nothing
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
                self._refresh(key)
            if is_due:
                self._write_scalars()
        except BaseException as error:  # noqa: BLE001
            self.handle(error)

    @_guarded
    def write_infos(self, infos: Mapping[str, Any]) -> None:
        """Write infos that the hub has just taken. The slots of `layout.SLOTS` become visible at once."""
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
                self._refresh(key)
        if slots:
            self._write_scalars()

    @_guarded
    def refresh(self, key: str) -> None:
        """Write the current value of a key, or remove it: another thread might have changed it meanwhile."""
        self._refresh(key)
        if key in layout.SLOTS:
            self._write_scalars()

    @_guarded
    def refresh_all(self) -> None:
        """Write everything that the hub has now, and remove what it no longer has."""
        self._refresh_all()

    @_guarded
    def write_scalars(self) -> None:
        """Write each scalar that has a new value, as far as it is known without waiting for a device."""
        self._write_scalars()

    @_guarded
    def write_run(self, hub: int, run: int, other_run: int) -> None:
        """Write the numbers of the hub, of its last run, and of another hub's last run."""
        cells = self._cells
        with self._lock, self._write_section(layout.SEQUENCE):
            cells[layout.HUB], cells[layout.RUN], cells[layout.OTHER_RUN] = hub, run, other_run
            cells[layout.GENERATION] += 1

    @_guarded
    def write_identity(self, run_id: str) -> None:
        """Write the identity of the run again, where its id has changed."""
        raw, cells = BoardIdentity.of_process(run_id).to_json(), self._cells
        with self._lock, self._write_section(layout.IDENTITY_SEQUENCE):
            self._bytes[layout.IDENTITY_OFFSET : layout.IDENTITY_OFFSET + len(raw)] = raw
            cells[layout.IDENTITY_LENGTH] = len(raw)

    @_guarded
    def write_claims(self, workers: Sequence[int]) -> None:
        """Write which worker processes the run has taken over; one for which there is no room knows of no run."""
        cells, pids = self._cells, workers[: layout.MAX_CLAIMS]
        with self._lock, self._write_section(layout.SEQUENCE):
            for index, pid in enumerate(pids):
                cells[layout.FIRST_CLAIM + index] = pid
            cells[layout.CLAIMS] = len(pids)
            cells[layout.GENERATION] += 1

    @_guarded
    def set_current(self, state: int) -> None:
        """Write whether the hub is the one that this process has entered last: `layout.CURRENT` tells the states."""
        with self._lock:
            self._write_cell(layout.CURRENT, state)
        self._check_name()
        os.utime(self.path.parent)  # a process that waits for a run looks again

    def close(self) -> None:
        """Write that the run has ended, and remove the file. Readers that have it open keep its last values.

        Raises:
            BoardError: If the file is gone already.
            OSError: If it cannot be removed.
        """
        if os.getpid() != self._pid:  # a forked child inherits the board of its parent, which still uses it
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._write_cell(layout.CURRENT, 0)
            self._write_cell(layout.CLOSED, 1)
            for view in (self._floats, self._cells, self._bytes):
                view.release()
            self._mapped.close()  # Windows does not remove a file that is mapped
        self._check_name()
        self.path.unlink()

    def handle(self, error: BaseException) -> None:
        """Handle what was raised while the board was written: report a fault, and raise an interrupt.

        Args:
            error: What was raised.
        """
        if self._is_closed:  # by another thread, while this one wrote
            if isinstance(error, Exception):
                return
            raise error
        if not isinstance(error, Exception):
            # KeyboardInterrupt: what it has interrupted is written, because the run might go on, as in a notebook.
            with suppress(Exception):
                self._refresh_all()
            raise error
        if self._on_fault is None:
            raise error
        self._on_fault(error)

    def _check_name(self) -> None:
        """Check that the file still has its name, which it has lost if the folder was removed.

        Raises:
            BoardError: If the name is gone, or that of another file.
        """
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._inode:
            raise BoardError(f"another program has removed {self.path}", path=self.path)

    def _refresh_all(self) -> None:
        written = {name for space, name in list(self._entries) if space == layout.INFO}
        for key in (*layout.SLOTS, *written, *self._json.keys(), *list(self._infos)):
            self._refresh(key)
        self._write_scalars()

    def _write_scalars(self) -> None:
        with self._lock:
            scalars, placeless = self._scalars, self._placeless
            for key in [key for key in self._seen if key not in scalars]:
                del self._seen[key]
                self._free(layout.SCALAR, key)
            lacking: list[str] = []
            for key in list(scalars):
                if key in placeless:
                    continue
                try:
                    history = scalars.get(key)  # None if another thread has removed it
                    if history is not None and not self._write_scalar(key, history):
                        lacking.append(key)
                except Exception:  # noqa: BLE001  # of the history, such as another hub's: the others are written
                    self._seen.pop(key, None)
                    self._free(layout.SCALAR, key)
                    self._count_unshared([key])
            if lacking:
                self._count_unshared(lacking)
                placeless.update(lacking)
            self._scalars_due_ns = time_ns() + _SCALARS_EVERY_NS
        # Without the lock: a filter or `showwarning` of the user might wait for a thread that publishes.
        if lacking and not self._has_warned:
            self._has_warned = True
            _warn_of_unshared(lacking, len(scalars))

    def _refresh(self, key: str) -> None:
        # The writer that is the last one finds its value unchanged. A hub that returns another object each time does
        # not keep this one in the loop.
        for _ in range(_MAX_REFRESHES):
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
            self._json.remove(key)
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

    def _write_scalar(self, key: str, history: HasLatest) -> bool:
        """Write a scalar if it has a new value, and tell whether there is room for it."""
        latest = history.latest()
        if latest is None:
            return True
        value, samples, updates = latest
        seen = self._seen.get(key)
        if seen is not None and seen.history is history:
            if seen.updates == updates:
                return True
            if type(value) is float and type(samples) is int and samples.bit_length() < 64:
                # The path of nearly every scalar, which takes a third of the time of `_write_entry`.
                self._write_float(seen.at, value, samples, updates)
                self._seen[key] = _Seen(history, seen.at, updates)
                return True
        if not self._write_entry(layout.SCALAR, key, value, samples, updates):
            return False
        self._seen[key] = _Seen(history, self._entries[layout.SCALAR, key], updates)
        return True

    def _write_float(self, at: int, value: float, count: int, updates: int) -> None:
        """Write to an entry that is complete. An interrupt that leaves the sequence odd is put right by `handle`."""
        cells, floats = self._cells, self._floats
        cells[_SEQUENCE] |= 1
        floats[at + _VALUE] = value
        cells[at + _KIND] = _FLOAT
        cells[at + _UPDATES] = updates
        floats[at + _COUNT] = count
        cells[_UPDATED_NS] = time_ns()
        cells[_SEQUENCE] = (cells[_SEQUENCE] & ~1) + 2

    def _count_unshared(self, keys: Sequence[str]) -> None:
        before = len(self._unshared_numbers)
        self._unshared_numbers.update(keys)
        if len(self._unshared_numbers) != before:
            self._write_cell(layout.UNSHARED_NUMBERS, len(self._unshared_numbers))

    def _write_outside_slot(self, key: str, value: Any) -> None:
        # The old value is removed after the new one is written: a reader finds one of them.
        number = _number_of(value)
        if number is not None and self._write_entry(layout.INFO, key, number):
            self._json.remove(key)
            self._write_json()
            return
        self._json.put(key, value if number is None else number)
        self._write_json()
        self._free(layout.INFO, key)

    def _write_json(self) -> None:
        if not self._json.is_changed:
            return
        raw = self._json.fit(layout.INFO_CAPACITY)
        with self._write_section(layout.INFO_SEQUENCE):
            self._bytes[layout.INFO_OFFSET : layout.INFO_OFFSET + len(raw)] = raw
            self._cells[layout.INFO_LENGTH] = len(raw)
        self._json.is_changed = False

    def _write_cell(self, cell: int, value: int) -> None:
        with self._write_section(layout.SEQUENCE):
            self._cells[cell] = value

    def _write_section(self, sequence: int) -> _WriteSection:
        """Return a scope: what is written in it becomes visible at once, to readers that compare the sequence."""
        return _WriteSection(self._cells, sequence)

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
        count = _as_float(count)
        cells, floats = self._cells, self._floats
        with self._write_section(layout.SEQUENCE):
            if kind == layout.FLOAT:
                floats[at + layout.VALUE] = value
            else:
                cells[at + layout.VALUE] = int(value)
            cells[at + layout.KIND] = kind
            cells[at + layout.UPDATES] = updates
            floats[at + layout.COUNT] = count
            # Last: a reader must find the entry complete. Each time: an interrupt might have come before.
            cells[layout.ENTRIES] = len(self._entries)
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
        return at

    def _free(self, space: int, name: str) -> None:
        at = self._entries.get((space, name))
        if at is not None:
            self._write_cell(at + layout.KIND, layout.FREE)


def _warn_of_unshared(keys: Sequence[str], published: int) -> None:
    rest = len(keys) - _MAX_NAMES
    named = ", ".join(map(shown, keys[:_MAX_NAMES])) + (f" and {rest:,} more" if rest > 0 else "")
    warn_user(
        f"{len(keys):,} of {published:,} scalars are not seen from worker processes and other terminals: {named}. A "
        f"board has {layout.MAX_ENTRIES} places for numbers, and a name there has at most {layout.MAX_NAME} bytes; the "
        "training itself has them all. Publish first what other processes need [SHARE-03]",
        UnsharedWarning,
    )


def _number_of(value: Any) -> int | float | None:
    """Return the number that an info is, if that is known without waiting for a device and fits a cell."""
    if type(value) not in (bool, int, float):
        try:
            if type(value) is str or lies_on_device(value) or not is_scalar(value):
                return None
            value = scalar_value(value)
        except Exception:  # noqa: BLE001  # of a user's class
            return None
    return value if _fits_a_cell(value) else None


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
        try:
            return _STAGE_CODES.get(value, layout.ELSEWHERE) if isinstance(value, str) else layout.ELSEWHERE
        except Exception:  # noqa: BLE001  # a subclass of str that cannot be compared
            return layout.ELSEWHERE
    if type(value) is int and layout.LOWEST_INT <= value <= layout.HIGHEST_INT:
        return value
    return layout.ELSEWHERE
