"""Sinks that write CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import tempfile
import types
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from runtimeinfo import MessageHub
from runtimeinfo_adapters.sinks._row_sink import INFOS, NOT_FINITE, POSITION, Row, RowSink, SinkError

fcntl: types.ModuleType | None
try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

_EXACT = 2**53
"""Up to here, a float holds each int."""

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class CSVWriter(RowSink):
    """Write the updated scalars of a hub to a CSV file: a column for each scalar, a line for each row.

        iter,epoch,loop_stage,time,run_id,seed,cfg,train/lr,train/loss,val/acc
        9,0,train,1764046172.123,3fd2,7,lr = 0.1,0.1,0.25,
        10,0,val,1764046173.456,3fd2,,,,,0.9

    A row has the scalars that were updated since the last row; the cell of a scalar that was not logged is empty. In
    training there is a row at each iteration whose number, counted from 1, `interval` divides, with the latest value
    of each scalar. Each validation and each test has a row with its metrics, and with the iter and epoch that the hub
    holds then. The rest is written at the end of a training or run, however it ends. Values are exact: `float` reads
    back what the hub held. An int is written as a float, ``3.0``, if that is exact: DuckDB would take a column that
    begins with ints for one of ints, and round later values. NaN is ``NaN``, which Polars reads as a number.

    Each row has the `run_id` of the hub, so that trainings in one file stay apart: it is the same after a resume. The
    first row of a run has its cfg, seed and experiment_name too, as text: as JSON if the text has several lines or
    begins with a quote.

    A new scalar gets a column at the end. For this, a wider file is written beside the old one, and replaces it when
    it is complete. Several sinks, also of several processes, can write to the file; no other program should.

    An existing file is appended to, for a training that is resumed: iterations after the checkpoint are then there
    twice, and the later row counts. Each row is handed to the operating system before the next iteration. A SIGKILL
    loses the iterations since the last row, fewer than `interval`.

    Reading a value on an accelerator waits for it: with ``interval=1``, each iteration waits.

    A sink can be copied and pickled at any time. The copy opens the file itself when it joins a run, and appends.

    Args:
        path: The file. Missing folders are created.
        interval: The number of iterations of the training in a row.
        reduce: The value of each scalar in a row: its ``"latest"``, or the ``"mean"`` since the last row.
        infos: The infos of the hub that are in the first row of each run, and in a later one if they change.
        all_ranks: Whether each process of a distributed run writes a file, with its rank in the name:
            ``metrics.rank1.csv``. Otherwise only the first one writes.

    Raises:
        ValueError: If `interval` is not a positive int, or `reduce` is something else.
        SinkError: At `before_run`, if the file cannot be written to, or holds something else. If it cannot be
            written to later, as on a full disk, there is one `SinkWarning`, and the run continues.

    Example:
        >>> import tempfile
        >>> from runtimeinfo_adapters.pytorch import Loop
        >>> folder = tempfile.TemporaryDirectory()
        >>> writer = CSVWriter(f"{folder.name}/metrics.csv", interval=2)
        >>> loop = Loop(train_loader=[3.0, 2.0, 1.0], max_epochs=1, hooks=[writer])
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=batch)
        >>> with writer.path.open() as file:
        ...     for row in csv.DictReader(file):
        ...         print(row["iter"], row["loop_stage"], row["train/loss"])
        1 train 2.0
        2 train 1.0
        >>> folder.cleanup()

    Source: HUB-01, HUB-04, ORDER-02.
    """

    _file: LineFile
    _columns: dict[str, None]  # the keys, in their order
    _left: tuple[int, ...]  # the file, as this sink left it

    def open(self, hub: MessageHub) -> None:  # noqa: ARG002
        """Find the columns of the file, or begin one.

        Args:
            hub: The hub that the rows come from.

        Raises:
            OSError: If the file cannot be written to.
            SinkError: If it was not written by a `CSVWriter`.
        """
        self._file = LineFile(self.path)
        if self.path.exists() and not self.path.is_file():
            raise SinkError(
                f"CSVWriter cannot write to {self.path}: it is not a regular file, and a new column needs a file that "
                "can be replaced. Give it another path",
                path=self.path,
            )
        if not self.path.exists():
            self._file.open()
        with _locked(self.path):  # another process may begin the file now
            self._find_columns()

    def write(self, row: Row) -> None:
        """Append a row, with a new column for each new scalar.

        Args:
            row: The row.

        Raises:
            OSError: If that fails.
        """
        cells = replace(row, scalars={key: _csv_value(value) for key, value in row.scalars.items()}).cells()
        cells.update((key, _one_line(cell)) for key, cell in cells.items() if isinstance(cell, str))
        with _locked(self.path):
            # Another sink may have added columns, or the file may have been moved away.
            if _identity(self.path) != self._left and (self.path.is_file() or not self.path.exists()):
                self._find_columns()
            if not cells.keys() <= self._columns.keys():
                columns = {**self._columns, **dict.fromkeys(cells)}
                _widen(self.path, columns)
                self._columns = columns
            self._append(cells.get(column) for column in self._columns)

    def written_infos(self, run_id: str) -> dict[str, int | float | str]:
        """Return the infos of the first row of a run in the file.

        Args:
            run_id: The run.

        Raises:
            OSError: If the file cannot be read.
        """
        if "run_id" not in self._columns:
            return {}
        with _opened(self.path) as file, suppress(csv.Error):
            for row in csv.DictReader(line for line in file):
                if row.get("run_id") == run_id:
                    return _infos_of({key: _info_of(cell) for key, cell in row.items() if cell})
        return {}

    def _find_columns(self) -> None:
        if self.path.is_file() and self.path.stat().st_size:
            self._columns = _columns_of(self.path)  # before the file is touched: it may be another program's
            _close_quote(self.path)
            self._file.open()
            self._left = _identity(self.path)
        else:
            self._file.open()
            self._columns = dict.fromkeys((*POSITION, "run_id"))
            self._append(self._columns)  # a full disk is noticed here

    def _append(self, cells: Iterable[Any]) -> None:
        self._file.append(_csv_line(cells))
        self._left = _identity(self.path)


class JSONLWriter(RowSink):
    r"""Write the updated scalars of a hub to a file of JSON Lines: an object for each row.

        {"iter":9,"epoch":0,"loop_stage":"train","time":1764046172.123,"run_id":"3fd2","train/lr":0.1,"train/loss":0.25}

    A row has the scalars that were updated since the last row; a scalar that was not logged is absent. In training
    there is a row at each iteration whose number, counted from 1, `interval` divides, with the latest value of each
    scalar. Each validation and each test has a row with its metrics, and with the iter and epoch that the hub holds
    then. The rest is written at the end of a training or run, however it ends.

    Each row has the `run_id` of the hub, so that trainings in one file stay apart: it is the same after a resume. The
    first row of a run has its cfg, seed and experiment_name too.

    Every line is JSON in the strict sense, which has no NaN and no infinity: such a value is null, and the field
    ``not_finite`` tells which it is, as in ``{..., "train/loss": null, "not_finite": "train/loss=nan"}``. A text in its
    place would make a column of texts of it in Polars and DuckDB. For the same reason, an int is written as a float,
    ``3.0``, if that is exact.

    An existing file is appended to, for a training that is resumed: iterations after the checkpoint are then there
    twice, and the later row counts. Each row is handed to the operating system before the next iteration. A SIGKILL
    loses the iterations since the last row, fewer than `interval`.

    Reading a value on an accelerator waits for it: with ``interval=1``, each iteration waits.

    A sink can be copied and pickled at any time. The copy opens the file itself when it joins a run, and appends.

    Args:
        path: The file. Missing folders are created.
        interval: The number of iterations of the training in a row.
        reduce: The value of each scalar in a row: its ``"latest"``, or the ``"mean"`` since the last row.
        infos: The infos of the hub that are in the first row of each run, and in a later one if they change.
        all_ranks: Whether each process of a distributed run writes a file, with its rank in the name:
            ``metrics.rank1.jsonl``. Otherwise only the first one writes.

    Raises:
        ValueError: If `interval` is not a positive int, or `reduce` is something else.
        SinkError: At `before_run`, if the file cannot be written to. If it cannot be written to later, as on a
            full disk, there is one `SinkWarning`, and the run continues.

    Example:
        >>> import tempfile
        >>> from runtimeinfo_adapters.pytorch import Loop
        >>> folder = tempfile.TemporaryDirectory()
        >>> writer = JSONLWriter(f"{folder.name}/metrics.jsonl", interval=2)
        >>> loop = Loop(train_loader=[3.0, 2.0, 1.0], max_epochs=1, hooks=[writer])
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=batch)
        >>> for line in writer.path.read_text().splitlines():
        ...     row = json.loads(line)
        ...     print(row["iter"], row["loop_stage"], row["train/loss"])
        1 train 2.0
        2 train 1.0
        >>> folder.cleanup()

    Source: HUB-01, HUB-04, ORDER-02.
    """

    _file: LineFile

    def open(self, hub: MessageHub) -> None:  # noqa: ARG002
        """Create the file if it is missing.

        Args:
            hub: The hub that the rows come from.

        Raises:
            OSError: If the file cannot be written to.
        """
        self._file = LineFile(self.path)
        self._file.open()

    def write(self, row: Row) -> None:
        """Append a row.

        Args:
            row: The row.

        Raises:
            OSError: If that fails.
        """
        values = {key: _json_value(value) for key, value in row.scalars.items()}
        not_finite = [key for key, value in values.items() if value is None]
        cells = replace(row, scalars=values).cells()
        if not_finite:
            cells[NOT_FINITE] = ",".join(f"{key}={row.scalars[key]}" for key in not_finite)
        self._file.append(f"{_encoder.encode(cells)}\n")

    def written_infos(self, run_id: str) -> dict[str, int | float | str]:
        """Return the infos of the first row of a run in the file.

        Args:
            run_id: The run.

        Raises:
            OSError: If the file cannot be read.
        """
        if not self.path.is_file():
            return {}
        said = f'"run_id":"{run_id}"'
        with _opened(self.path) as file:
            for line in file:
                if said in line:
                    with suppress(ValueError):
                        return _infos_of(json.loads(line))
        return {}


class LineFile:
    """Append lines to a file, which is open only for that.

    So nothing is left open however a run ends, and a forked process has no copy of an open file. Each line is with
    the operating system when `append` returns: it survives a SIGKILL of this process, not a loss of power.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    def open(self) -> bool:
        """Create the file and its folders if they are missing; return whether the file is empty.

        Raises:
            OSError: If it cannot be written to.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            is_empty = file.tell() == 0
        if not is_empty:
            self._end_last_line()
        return is_empty

    def append(self, text: str) -> None:
        """Append text that ends with a newline.

        Raises:
            OSError: If it cannot be written.
        """
        with self.path.open("ab") as file:
            file.write(text.encode(errors="backslashreplace"))

    def _end_last_line(self) -> None:
        # A process that was killed may have left half a line, which the next line must not continue.
        with self.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _csv_value(value: float) -> Any:
    return "NaN" if value != value else _as_float(value)  # Polars takes "nan" for a text


def _json_value(value: float) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else _as_float(value)


def _as_float(value: float) -> int | float:
    # DuckDB takes a column whose first values are ints for a column of ints, and rounds what comes later.
    return float(value) if abs(value) <= _EXACT else value


def _infos_of(cells: Mapping[str, Any]) -> dict[str, int | float | str]:
    named = {key: cells[key] for key in INFOS if cells.get(key) is not None}
    return named | {key.removeprefix("info/"): cell for key, cell in cells.items() if key.startswith("info/")}


def _one_line(text: str) -> str:
    # A row is one line: so the end of a file that a full disk has cut is a line too, and hides no row after it.
    return json.dumps(text) if text.startswith('"') or len(text.splitlines()) > 1 or text.endswith("\n") else text


def _info_of(cell: str) -> int | float | str:
    if cell.startswith('"'):
        with suppress(ValueError):
            return str(json.loads(cell))
    for number in (int, float):
        with suppress(ValueError):
            if str(number(cell)) == cell:
                return number(cell)
    return cell


def _csv_line(cells: Iterable[Any]) -> str:
    # The csv module writes a float as its `repr`, which is exact.
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _columns_of(path: Path) -> dict[str, None]:
    columns: list[str] = []
    with suppress(csv.Error), _opened(path) as file:
        columns = next(csv.reader(file), columns)
    if tuple(columns[: len(POSITION)]) != POSITION:
        raise SinkError(
            f"{path} is there already, and was not written by CSVWriter: its first line does not begin with "
            f"{','.join(POSITION)}. Move it away, or give another path",
            path=path,
        )
    return dict.fromkeys(columns)


def _close_quote(path: Path) -> None:
    """End a cell in quotes in which a full disk has cut the last line: it would hide the rows that come now."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        (last,) = deque(file, maxlen=1)
        if last.count(b'"') % 2:
            file.write(b'"')


def _widen(path: Path, columns: dict[str, None]) -> None:
    """Replace a file by one with more columns; a reader sees the old file or the new one, never a part of it."""
    target = path.resolve()  # a link stays a link
    if not target.is_file():  # and a device is not replaced
        raise OSError(f"{target} is not a regular file any more")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as wide:
            wide.write(_csv_line(columns).encode(errors="backslashreplace"))
            for row in _rows_of(target):
                wide.write(_csv_line(row + [""] * (len(columns) - len(row))).encode(errors="surrogateescape"))
            wide.flush()
            os.fsync(wide.fileno())
        shutil.copymode(target, name)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Keep other sinks, also in other processes, from a file, if the file system supports it."""
    with ExitStack() as stack:
        while fcntl is not None:
            try:
                file = path.open("rb")
            except OSError:  # it was moved away
                break
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not path.exists() or os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    stack.enter_context(file)  # closing it releases the lock
                    break
            except OSError:  # a file system without locks
                file.close()
                break
            file.close()  # a wider file has replaced it meanwhile
        yield


def _rows_of(path: Path) -> Iterator[list[str]]:
    with _opened(path) as file:
        rows = csv.reader(file)
        next(rows, None)
        try:
            yield from rows
        except csv.Error as error:  # such as a quote without an end: the sink stops, not the run
            raise OSError(f"line {rows.line_num} is damaged: {error}") from error


def _opened(path: Path) -> TextIO:
    # Bytes that are not text, such as a crash of the machine leaves, come out as they went in.
    return path.open(encoding="utf-8", errors="surrogateescape", newline="")


def _identity(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_dev, found.st_ino, found.st_size
