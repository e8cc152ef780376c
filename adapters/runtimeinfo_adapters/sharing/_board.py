"""The writer's side of a board."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from typing import Any

from runtimeinfo.authoring import is_scalar, lies_on_device, scalar_value
from runtimeinfo.board import layout
from runtimeinfo_adapters.sharing._board_file import make_board_file
from runtimeinfo_adapters.sharing._latest import KnowsLatest
from runtimeinfo_adapters.sharing._texts import Texts

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
