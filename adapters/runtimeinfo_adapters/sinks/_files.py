"""Sinks that write CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from runtimeinfo import MessageHub
from runtimeinfo_adapters.sinks._row_sink import POSITION, Row, RowSink, SinkError


class LineFile:
    """Appends lines to a file, which is open only for that.

    So nothing is left open however a run ends, and a forked process holds no copy of an open file. Each line is
    with the operating system when `append` returns: it outlives a SIGKILL of this process, not a loss of power.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    def open(self) -> bool:
        """Make the file and its folders, if they are not there; return whether it is empty.

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
        """Append text, which ends with a line's end.

        Raises:
            OSError: If it cannot be written.
        """
        with self.path.open("ab") as file:
            file.write(text.encode(errors="backslashreplace"))

    def _end_last_line(self) -> None:
        """End the last line: of a process that was killed it may be half a line, which shall not run into ours."""
        with self.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


class CSVWriter(RowSink):
    """Writes what is new in the hub to a CSV file: a column each scalar, a line each row.

        iter,epoch,loop_stage,time,train/lr,train/loss,val/acc
        9,0,train,1764046172.123,0.1,0.25,
        10,0,val,1764046173.456,,,0.9

    A row has the scalars that were updated since the last row: the cell of one that was not logged is empty. In
    training there is a row at each iteration whose number, counted from 1, `interval` divides, and with it goes
    the latest value of each scalar. Each validation and each test has a row with its metrics, and with the iter
    and epoch that the hub held then. What is left over is written at the end of a training or run, however it
    ends. Values are exact: `float` reads back what the hub held.

    A scalar that comes for the first time gets a column at the end. For this the file is written anew beside the
    old one, and put in its place when it is whole. Nobody else should be writing to it.

    A file that is there already is appended to, for a training that is resumed: what was done after the
    checkpoint is there twice then, and the later row counts. Each row is on its way to the disk before the next
    iteration. A SIGKILL loses the iterations since the last row, fewer than `interval`.

    To read a value that lies on an accelerator is to wait for it: with ``interval=1``, each iteration waits.

    Args:
        path: The file. Folders that are missing are made.
        interval: How many iterations a row of the training is for.
        reduce: What a row has of each scalar in them: the ``"latest"`` value or the ``"mean"``.
        all_ranks: Whether each process of a distributed run writes a file, with its rank in the name:
            ``metrics.rank1.csv``. Otherwise only the first one writes.

    Raises:
        ValueError: If `interval` is no positive int, or `reduce` none of the two.
        SinkError: At `before_run`, if the file cannot be written to, or holds something else. If it cannot be
            written to later, as on a full disk, there is one `SinkWarning`, and the run goes on.

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

    _columns: dict[str, None]  # the keys, in their order

    def _open(self, hub: MessageHub) -> None:  # noqa: ARG002
        self._file = LineFile(self._path)
        if self._path.exists() and not self._path.is_file():
            raise SinkError(
                f"CSVWriter cannot write to {self._path}: it is no regular file, and a new column needs the file "
                "written anew. Give it another path",
                path=self._path,
            )
        if self._path.is_file() and self._path.stat().st_size:
            self._columns = _columns_of(self._path)  # before it is touched: it may be somebody else's
            self._file.open()
        else:
            self._open_anew()

    def _open_anew(self) -> None:
        self._file.open()
        self._columns = dict.fromkeys(POSITION)
        self._file.append(_line(self._columns))  # a full disk shows itself here

    def _write(self, row: Row) -> None:
        cells = row.cells()
        if not self._path.exists():  # somebody has moved it away: this is a new file
            self._open_anew()
        if not cells.keys() <= self._columns.keys():
            columns = {**self._columns, **dict.fromkeys(cells)}
            _widen(self._path, columns)
            self._columns = columns
        self._file.append(_line(cells.get(column) for column in self._columns))


def _line(cells: Iterable[Any]) -> str:
    # The csv module writes a float as its `repr`, which is exact.
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _columns_of(path: Path) -> dict[str, None]:
    """Return the columns of a file that this sink has begun.

    Raises:
        SinkError: If it was somebody else.
    """
    columns: list[str] = []
    with suppress(csv.Error), _reading(path) as file:
        columns = next(csv.reader(file), columns)
    if tuple(columns[: len(POSITION)]) != POSITION:
        raise SinkError(
            f"{path} is there already, and is no file of CSVWriter: its first line does not begin with "
            f"{','.join(POSITION)}. Move it away, or give another path",
            path=path,
        )
    return dict.fromkeys(columns)


def _widen(path: Path, columns: dict[str, None]) -> None:
    """Put a file with more columns in the place of one: whoever looks sees the old one or the new one, whole."""
    target = path.resolve()  # a link shall stay one
    if not target.is_file():  # nor shall a device be put out of its place
        raise OSError(f"{target} is no regular file any more")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as wide:
            wide.write(_line(columns).encode(errors="backslashreplace"))
            for row in _rows_of(target):
                wide.write(_line(row + [""] * (len(columns) - len(row))).encode(errors="surrogateescape"))
            wide.flush()
            os.fsync(wide.fileno())
        shutil.copymode(target, name)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _rows_of(path: Path) -> Iterator[list[str]]:
    with _reading(path) as file:
        rows = csv.reader(file)
        next(rows, None)
        try:
            yield from rows
        except csv.Error as error:  # such as a quote that nothing ends: the run is not to end for it
            raise OSError(f"line {rows.line_num} is damaged: {error}") from error


def _reading(path: Path) -> TextIO:
    # Bytes that are no text, as a crash of the machine may leave them, shall come out as they went in.
    return path.open(encoding="utf-8", errors="surrogateescape", newline="")


_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class JSONLWriter(RowSink):
    r"""Writes what is new in the hub to a file of JSON Lines: an object each row.

        {"iter":9,"epoch":0,"loop_stage":"train","time":1764046172.123,"train/lr":0.1,"train/loss":0.25}

    A row has the scalars that were updated since the last row: one that was not logged is absent. In training
    there is a row at each iteration whose number, counted from 1, `interval` divides, and with it goes the latest
    value of each scalar. Each validation and each test has a row with its metrics, and with the iter and epoch
    that the hub held then. What is left over is written at the end of a training or run, however it ends.

    NaN and infinity are written as text, ``"nan"`` and ``"-inf"``, which `float` reads: every line is JSON in
    the strict sense.

    A file that is there already is appended to, for a training that is resumed: what was done after the
    checkpoint is there twice then, and the later row counts. Each row is on its way to the disk before the next
    iteration. A SIGKILL loses the iterations since the last row, fewer than `interval`.

    To read a value that lies on an accelerator is to wait for it: with ``interval=1``, each iteration waits.

    Args:
        path: The file. Folders that are missing are made.
        interval: How many iterations a row of the training is for.
        reduce: What a row has of each scalar in them: the ``"latest"`` value or the ``"mean"``.
        all_ranks: Whether each process of a distributed run writes a file, with its rank in the name:
            ``metrics.rank1.jsonl``. Otherwise only the first one writes.

    Raises:
        ValueError: If `interval` is no positive int, or `reduce` none of the two.
        SinkError: At `before_run`, if the file cannot be written to. If it cannot be written to later, as on a
            full disk, there is one `SinkWarning`, and the run goes on.

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

    def _open(self, hub: MessageHub) -> None:  # noqa: ARG002
        self._file = LineFile(self._path)
        self._file.open()

    def _write(self, row: Row) -> None:
        self._file.append(f"{_encoder.encode({key: _json(value) for key, value in row.cells().items()})}\n")


def _json(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
