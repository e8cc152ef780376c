"""Read CSV, JSON Lines and JSON: rows of the sinks, and others that have a column of steps or epochs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest
from typing import Any, BinaryIO, cast

from runtimeinfo_adapters.plot._curves import RunCurves, SourceError
from runtimeinfo_adapters.plot._states import curves_of_states
from runtimeinfo_adapters.plot._table import Table
from runtimeinfo_adapters.sinks._row_sink import POSITION

_CHUNK = 20_000
_DELIMITERS = (",", ";", "\t")


def _text_of(file: BinaryIO) -> io.TextIOWrapper:
    # A byte that is not UTF-8 becomes an escape, as sinks write it.
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="backslashreplace", newline="")


def read_csv(file: BinaryIO, name: str, source: str, step: str | None = None) -> list[RunCurves]:
    """Return the curves of each run in a CSV file.

    Args:
        file: The file. Commas, semicolons or tabs separate its cells, and its first line names the columns.
        name: The name of the source in a legend.
        source: The source, for messages.
        step: The column of the steps; by default, one of the usual names.

    Raises:
        SourceError: If it is not such a table.
    """
    table, damaged = Table(), 0
    # A config in a cell may be longer than the usual limit, which is one for the whole process.
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with _text_of(file) as lines:
            head = lines.readline()
            delimiter = max(_DELIMITERS, key=head.count)
            columns = [each.strip() for each in next(csv.reader([head], delimiter=delimiter), list[str]())]
            is_of_sink = tuple(columns[: len(POSITION)]) == POSITION
            rows = csv.reader(_ended(lines) if is_of_sink else lines, delimiter=delimiter)
            while chunk := list(islice(rows, _CHUNK)):
                whole = chunk
                if {*map(len, chunk)} != {len(columns)}:
                    whole = [row for row in chunk if _is_whole(row, len(columns))]
                    damaged += sum(1 for row in chunk if row) - len(whole)
                cells = zip_longest(*whole, fillvalue="")
                table.add_columns(len(whole), zip(columns, cells, strict=False))
    except csv.Error as error:
        raise SourceError(
            f"{source} is not a table of CSV: {error}. Give a file whose first line names its columns", source=source
        ) from None
    finally:
        csv.field_size_limit(limit)
    if not table.rows:
        raise SourceError(
            f"{source} has no whole row below its first line. Give a CSV file whose first line names the columns",
            source=source,
        )
    return table.runs(name, source, step=step, notes=_damage(damaged))


def _ended(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that have an end: the last one may be half of what a sink writes, or wrote when it was killed."""
    return (line for line in lines if line.endswith("\n"))


def _is_whole(row: list[str], columns: int) -> bool:
    return len(row) >= columns and not any(row[columns:])


def read_json(file: BinaryIO, name: str, source: str, step: str | None = None) -> list[RunCurves]:
    """Return the curves of each run in a file of JSON Lines, or in one JSON document.

    A document is a list of rows, an object that has one, such as the ``log_history`` of Transformers, or one that has
    the state of a reference hub.

    Args:
        file: The file. A number in an object in a row is the scalar ``outer/inner``.
        name: The name of the source in a legend.
        source: The source, for messages.
        step: The column of the steps; by default, one of the usual names.

    Raises:
        SourceError: If no line of it is an object of JSON, and it is not such a document.
    """
    table, damaged = Table(), 0
    with _text_of(file) as lines:
        head = list(islice(lines, 2))
        first = _parsed(head[0]) if head else None
        if len(head) < 2 or not isinstance(first, dict):
            text = "".join([*head, lines.read()])
            found = _curves_of_document(_parsed(text), name, source, step)
            if found:
                return found
            head = list(io.StringIO(text))
        for line in chain(head, lines):
            row = _parsed(line)
            if isinstance(row, dict):
                table.add(cast("dict[str, Any]", row))
            else:
                # A line without an end is one that is being written.
                damaged += bool(line.strip()) and line.endswith("\n")
    if not table.rows:
        raise SourceError(
            f"{source} is neither JSON Lines nor a JSON document with rows or the state of a hub. Give a file with an "
            "object of JSON in each line",
            source=source,
        )
    return table.runs(name, source, step=step, notes=_damage(damaged))


def _curves_of_document(document: Any, name: str, source: str, step: str | None) -> list[RunCurves]:
    """Return the curves of the hub states in a document, otherwise of its first list of rows, or none."""
    states = curves_of_states(document, name, source)
    if states:
        return states
    lists: list[Any] = list(cast("dict[str, Any]", document).values()) if isinstance(document, dict) else [document]
    for each in lists:
        if isinstance(each, list) and each and all(isinstance(row, dict) for row in cast("list[Any]", each)):
            table = Table()
            for row in cast("list[dict[str, Any]]", each):
                table.add(row)
            return table.runs(name, source, step=step)
    return []


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _damage(lines: int) -> tuple[str, ...]:
    return (f"{lines} damaged {'line is' if lines == 1 else 'lines are'} left out",) if lines else ()
