"""Find the board of a process, and read its hub from another one.

`BoardReader` maps the file: a read takes no lock and no system call.
"""

from __future__ import annotations

import mmap
import os
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from runtimeinfo._errors import BoardError, MissingScalarError, UnknownStatisticError
from runtimeinfo._scalar import shown
from runtimeinfo._user_warning import warn_user
from runtimeinfo._worker_run import WorkerOrigin
from runtimeinfo.board import layout
from runtimeinfo.board._folder import board_files, board_folder, open_board, pid_in, stamp_of
from runtimeinfo.board._open_board import read_board
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
from runtimeinfo.board.process import is_writer_alive


class Position(NamedTuple):
    """The position of a training, all of one moment. None means unknown.

    Attributes:
        loop_stage: ``"train"``, ``"val"``, ``"test"``, or None outside of them.
        epoch: Completed epochs.
        iter: Completed iterations.
        max_epochs: The number of epochs at the end.
        max_iters: The number of iterations at the end.
    """

    loop_stage: str | None
    epoch: int | None
    iter: int | None
    max_epochs: int | None
    max_iters: int | None


class LatestValue:
    """The latest value of a scalar, in the form of a history that holds one.

    Args:
        key: The key of the scalar.
        scalar: Its latest value.
        path: The board.

    Example:
        >>> from pathlib import Path
        >>> loss = LatestValue("train/loss", BoardScalar(0.5, 1, updates=7), Path("4711-0.board"))
        >>> loss.current(), loss.mean(1), loss.update_count
        (0.5, 0.5, 7)

    Source: SHARE-03.
    """

    __slots__ = ("_key", "_path", "_scalar")

    def __init__(self, key: str, scalar: BoardScalar, path: Any) -> None:
        self._key = key
        self._scalar = scalar
        self._path = path

    @property
    def data(self) -> tuple[array[Any], array[Any]]:
        """The value and its count, in arrays of shape ``(1,)``."""
        value = self._scalar.value
        return array("q" if isinstance(value, int) else "d", [value]), array("d", [self._scalar.count])

    @property
    def update_count(self) -> int:
        """The number of values that the scalar has had."""
        return self._scalar.updates

    def current(self) -> float:
        """Return the latest value."""
        return self._scalar.value

    def mean(self, window_size: int | None = None) -> float:
        """Return the latest value over its count.

        Raises:
            BoardError: If the window is not 1.
        """
        self._check(window_size)
        return self._scalar.value / self._scalar.count if self._scalar.count else float("nan")

    def min(self, window_size: int | None = None) -> float:
        """Return the latest value; errors as for `mean`."""
        self._check(window_size)
        return self._scalar.value

    def max(self, window_size: int | None = None) -> float:
        """Return the latest value; errors as for `mean`."""
        self._check(window_size)
        return self._scalar.value

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a statistic by its name: current, mean, min or max.

        Raises:
            UnknownStatisticError: If it is another one: a registered statistic exists only in the process that trains.
            BoardError: As for `mean`.
        """
        if method_name not in ("current", "mean", "min", "max"):
            raise UnknownStatisticError(
                f"no statistic named {method_name!r} here: from another process there are current, mean, min and max. "
                "Ask for one of these, or publish what you need as an info",
                key=self._key,
            )
        return getattr(self, method_name)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r}, current={self._scalar.value!r})"

    def _check(self, window_size: int | None) -> None:
        if window_size != 1:
            raise BoardError(
                f"from another process {self._key!r} has its latest value alone, and no history: ask for current(), or "
                f"for a window of 1, not of {window_size or 'all values'}. Publish what you need as an info",
                path=self._path,
                requirement="SHARE-03",
            )


_T = TypeVar("_T")

# A write takes a microsecond, and a writer might lose its processor in the middle of one. The patience is greater than
# that of a snapshot: an error here ends a worker, whereas a snapshot only says that it is not whole.
_TRIES_AT_ONCE = 1000
_PATIENCE_S = 1.0
_PAUSE_S = 0.0001


class UnsharedWarning(UserWarning):
    """An info or a scalar of a run is not visible to other processes."""


class BoardReader:
    """Reads a run's hub from any process of the same user: a worker, another terminal.

    It is small and can be pickled; the board is opened at the first use in each process. Reading an info costs a
    fraction of a microsecond and takes no lock. A scalar has its latest value only. Once the run has ended, the reader
    keeps returning what the run had last.

    Args:
        path: The board, as `MessageHub.share` and `runtimeinfo.board.find_board` give it.

    Raises:
        TypeError: If it is not a path: `find_board` returns None for a process that shares no run.

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
        self._json_infos = JsonInfos({}, frozenset())
        self._json_sequence = -1
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
        return self._cells[layout.CURRENT] == layout.IS_CURRENT

    @property
    def is_in_run(self) -> bool:
        """Whether its process has entered the hub, be it last or not, and the run has not ended.

        Raises:
            BoardError: As `get_info`.
        """
        if self._map is None:
            self._open()
        return self._cells[layout.CURRENT] != 0

    @property
    def generation(self) -> int:
        """A number that changes when its process enters another hub, and when a run claims workers."""
        if self._map is None:
            self._open()
        return self._cells[layout.GENERATION]

    def is_up_to_date(self, generation: int) -> bool:
        """Tell whether the run has not ended, and its process has entered no other and claimed no worker since."""
        if self._map is None:
            self._open()
        cells = self._cells
        return cells[layout.GENERATION] == generation and cells[layout.CURRENT] != 0

    def answers(self, hub: int, runs: int) -> bool:
        """Tell whether a worker that comes from a hub, or from no run but after a number of runs, belongs to the run.

        Source: SCOPE-05.
        """
        if self._map is None:
            self._open()
        cells = self._cells
        return cells[layout.HUB] == hub if hub else cells[layout.OTHER_RUN] <= runs < cells[layout.RUN]

    def has_claimed(self, worker: int) -> bool:
        """Tell whether the run has claimed a worker process.

        Source: SCOPE-05.
        """
        if self._map is None:
            self._open()
        cells = self._cells
        claims = min(max(cells[layout.CLAIMS], 0), layout.MAX_CLAIMS)
        return worker in cells[layout.FIRST_CLAIM : layout.FIRST_CLAIM + claims].tolist()

    def is_of(self, pid: int) -> bool:
        """Tell whether the board belongs to the process that has an id now, in this container.

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
            BoardError: If the board does not exist, cannot be trusted, or is damaged.

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
            MissingScalarError: If it was not published, or found no place on the board.
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
        """Return the position of the training, all of one moment, whatever the writer does meanwhile.

        Raises:
            BoardError: As `get_info`, or if the writer was stopped amid a write.

        Source: SHARE-04.
        """
        if self._map is None:
            self._open()
        slots = self._cells[layout.EPOCH : layout.LOOP_STAGE + 1]
        (epoch, completed, max_epochs, max_iters, stage), _ = self._read_consistent(layout.SEQUENCE, slots.tolist)
        return Position(
            self._of_slot("loop_stage", layout.LOOP_STAGE, stage),
            epoch if epoch >= 0 else self._of_slot("epoch", layout.EPOCH, epoch),
            completed if completed >= 0 else self._of_slot("iter", layout.ITER, completed),
            max_epochs if max_epochs >= 0 else self._of_slot("max_epochs", layout.MAX_EPOCHS, max_epochs),
            max_iters if max_iters >= 0 else self._of_slot("max_iters", layout.MAX_ITERS, max_iters),
        )

    def snapshot(self) -> BoardSnapshot:
        """Return everything on the board now; see `read_board`."""
        return read_board(self._path)

    def close(self) -> None:
        """Close the board; the next use opens it again."""
        if self._map is not None:
            # The file is unmapped with its last view: a thread that is reading has one, and so has a traceback.
            self._map = None
            del self._bytes, self._cells, self._floats

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self._path),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    def _open(self) -> None:
        with open_board(self._path) as descriptor:
            try:
                mapped = mmap.mmap(descriptor, layout.SIZE, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # ValueError: it has shrunk since it was checked
                raise damage_error(self._path, str(error)) from error
        view = memoryview(mapped)
        self._bytes, self._cells, self._floats = view, view.cast("q"), view.cast("d")
        self._index.clear()
        self._json_sequence = -1
        self._map = mapped

    def _of_slot(self, key: str, slot: int, cell: int) -> Any:
        if holds_value(cell):
            return slot_value(slot, cell, self._path)
        return None if cell == layout.ABSENT else self._other_info(key, None)

    def _other_info(self, key: str, default: Any) -> Any:
        found = self._entry(layout.INFO, key)
        if found is not None:
            return found[0]
        json_infos = self._current_json()
        if key in json_infos.infos:
            return json_infos.infos[key]
        if (key in json_infos.unshared or json_infos.has_more) and key not in self._warned:
            self._warned.add(key)
            doubt = "" if key in json_infos.unshared else " if it was published"
            warn_user(
                f"info {key!r} is not seen from other processes{doubt}, and the default is returned: it is not plain "
                f"data, takes more than {layout.MAX_INFO:,} bytes, or there are too many infos. Publish the part that "
                "is needed [SHARE-03]",
                UnsharedWarning,
            )
        return default

    def _entry(self, space: int, name: str) -> tuple[float | bool, float, int] | None:
        """Return value, count and updates of an entry, all of one moment; None if it does not exist or is free."""
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

        (kind, as_int, updates, as_float, count), _ = self._read_consistent(layout.SEQUENCE, read)
        return None if kind == layout.FREE else (entry_value(kind, as_int, as_float, self._path), count, updates)

    def _index_names(self) -> None:
        """Index the entries added since the last time. An entry never changes its name."""
        for index in range(len(self._index), entry_count(self._cells[layout.ENTRIES], self._path)):
            at = layout.entry_cell(index)
            key = entry_key(self._cells, self._bytes, at, self._path)
            if key in self._index:
                raise damage_error(self._path, f"it has {key[1]!r} twice")
            self._index[key] = at

    def _current_json(self) -> JsonInfos:
        if self._cells[layout.INFO_SEQUENCE] != self._json_sequence:

            def read() -> bytes:
                length = json_length(self._cells[layout.INFO_LENGTH], self._path)
                return bytes(self._bytes[layout.INFO_OFFSET : layout.INFO_OFFSET + length])

            raw, sequence = self._read_consistent(layout.INFO_SEQUENCE, read)
            self._json_infos, self._json_sequence = parse_json(raw, self._path), sequence
        return self._json_infos

    def _read_consistent(self, sequence: int, read: Callable[[], _T]) -> tuple[_T, int]:
        """Return the result of a reading function, all of one moment, and the sequence number of that moment.

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
            BoardError: If the write does not end.
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


def find_board(pid: int) -> Path | None:
    """Return the board of the run that a process entered last, or None if it shares none.

    Args:
        pid: The id of the process.

    Raises:
        BoardError: If the folder belongs to another user, or is open to others.

    Example:
        >>> import os
        >>> from runtimeinfo import use_hub
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-find-board")
        >>> with use_hub(hub):
        ...     find_board(os.getpid()) == hub.board_path
        True
        >>> find_board(os.getpid()) is None
        True

    Source: SHARE-01.
    """
    reader = _find(pid)
    return None if reader is None else reader.path


def _find(pid: int) -> BoardReader | None:
    """Return a reader that is open already: the run might end at any moment, and remove the file."""
    return _only(pid, "", lambda readers: [each for each in readers if each.is_current][:1])


def find_origin_board(origin: WorkerOrigin) -> BoardReader | None:
    """Return a reader, open already, of the run that this worker belongs to; None if that run is not shared.

    Raises:
        BoardError: If there is none, and a board of its parent cannot be read.

    Source: SCOPE-05.
    """
    worker = os.getpid()
    return _only(
        origin.pid,
        origin.folder,
        lambda readers: (
            [each for each in readers if each.has_claimed(worker)]
            or [each for each in readers if each.answers(origin.hub, origin.runs)]
        ),
    )


def find_hub_board(origin: WorkerOrigin) -> BoardReader | None:
    """Return a reader, open already, of a hub by its number, while a run publishes to it; None if it is not shared.

    Raises:
        BoardError: As `find_origin_board`.

    Source: SCOPE-06.
    """
    return _only(origin.pid, origin.folder, lambda readers: [each for each in readers if each.answers(origin.hub, 0)])


def _only(pid: int, folder: str, choose: Callable[[list[BoardReader]], list[BoardReader]]) -> BoardReader | None:
    """Return the one reader chosen among the runs that a process is in, or None for several or none.

    Raises:
        BoardError: If none is chosen, and a board of the process cannot be read: it must not look like no run.
    """
    readers: list[BoardReader] = []
    fault: BoardError | None = None
    for path in board_files(folder or None):
        if pid_in(path) == pid:
            reader = BoardReader(path)
            try:
                if reader.is_in_run and reader.is_of(pid):
                    readers.append(reader)
            except BoardError as error:
                if path.exists():
                    fault = error
    chosen = choose(readers)
    if not chosen and fault is not None:
        raise fault
    return chosen[0] if len(chosen) == 1 else None


def folder_stamp(folder: str = "") -> int | None:
    """Return a stamp that changes when a board is made or removed, or None if it is not reliable now.

    It is where the clock of the file system has ticked since the last change.
    """
    try:
        return stamp_of((Path(folder) if folder else board_folder()).stat())
    except OSError:  # there is no such folder
        return 0


class BoardFinder:
    """Finds the current board of a process again and again, and looks into the folder only after it has changed.

    Args:
        pid: The id of the process.
    """

    def __init__(self, pid: int) -> None:
        self.pid: int = pid
        self._reader: BoardReader | None = None
        self._stamp: int | None = None

    def reader(self) -> BoardReader | None:
        """Return the reader of the run that the process entered last, or None while there is none.

        Raises:
            BoardError: As `find_board`.
        """
        reader = self._reader
        if reader is not None and reader.is_current:
            return reader
        stamp = folder_stamp()
        if reader is None and stamp is not None and stamp == self._stamp:
            return None
        self._reader, self._stamp = _find(self.pid), stamp
        return self._reader
