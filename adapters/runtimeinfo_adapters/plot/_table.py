"""Rows of named cells as curves: which column is the step, which rows belong to which run, and which still count."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from runtimeinfo_adapters.plot._curves import Curve, Floats, RunCurves, SourceError, resumed_rows
from runtimeinfo_adapters.sinks._row_sink import INFOS, NOT_FINITE, POSITION

# The names of columns, in the order in which they are looked for. A name is compared in lower case, with underscores.
_STEPS = ("iter", "step", "global_step", "iteration", "_step", "trainer/global_step", "steps", "iters", "iterations")
_EPOCHS = ("epoch", "epochs")
_TIMES = ("time", "timestamp", "_timestamp", "wall_time")
# Columns of text that are read.
_TEXTS = ("run_id", "loop_stage", "experiment_name")
# A scalar with the name of a field of a row has another one there.
_FIELDS = frozenset({*POSITION, "run_id", *INFOS, NOT_FINITE})
# Objects of JSON in one another.
_DEEPEST = 8
_RANDOM_ID = re.compile("[0-9a-f]{32}")

# Seconds since 1970: of 1980 to 5138. A column `time` of smaller numbers is a duration.
_EARLIEST, _LATEST = 3e8, 1e11


class Table:
    """Collect the cells of rows by their columns.

    A cell that is a number, or the text of one, belongs to a scalar or a position; of the other texts, those that tell
    the run and the stage are kept. A null of JSON is what the field ``not_finite`` of the row says.
    """

    def __init__(self) -> None:
        self.rows: int = 0
        self._numbers: dict[str, tuple[array[int], array[float]]] = {}
        self._texts: dict[str, tuple[array[int], array[int], dict[str, int]]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row of an object of JSON."""
        not_finite = row.get(NOT_FINITE)
        for name, cell in row.items():
            if cell is None and isinstance(not_finite, str):
                cell = _not_finite(name, not_finite)
            self._add_cell(name, cell)
        self.rows += 1

    def add_columns(self, count: int, columns: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Append many rows of text; an empty cell is none.

        Args:
            count: The number of rows.
            columns: The name of each column, and its cells.
        """
        for name, cells in columns:
            if _is_text_column(name):
                self._add_texts(name, cells)
                continue
            try:
                numbers = np.fromiter(map(float, cells), np.float64, count)
                places = np.arange(count)
            except ValueError:  # a cell is empty, or another text
                found = [(index, _number(cell)) for index, cell in enumerate(cells) if cell]
                kept = [(index, number) for index, number in found if number is not None]
                places = np.array([index for index, _ in kept], dtype=np.int64)
                numbers = np.array([number for _, number in kept], dtype=np.float64)
            if len(places):
                indices, values = self._column(name)
                indices.frombytes((places + self.rows).tobytes())
                values.frombytes(numbers.tobytes())
        self.rows += count

    def runs(self, name: str, source: str, *, step: str | None = None, notes: tuple[str, ...] = ()) -> list[RunCurves]:
        """Return the curves of each run.

        Args:
            name: The name of the source in a legend.
            source: The source, for messages.
            step: The column of the steps; by default, one of the usual names.
            notes: What could not be read.

        Raises:
            SourceError: If there is no column of steps or epochs, or no scalar.
        """
        is_of_sink = {*POSITION} <= {*self._numbers, *self._texts}
        at = _Positions(self, step, source, is_of_sink=is_of_sink)
        taken = {*at.columns, *(INFOS if is_of_sink and "run_id" in self._texts else ())}
        scalars = [each for each in self._numbers if each not in taken and not each.startswith("info/")]
        if not scalars:
            raise SourceError(
                f"{source} has no scalar: beside positions, no column of it has numbers. Give a file with one row for "
                "each step and a column for each scalar",
                source=source,
            )
        ids, names = self._coded("run_id")
        stages, _ = self._coded("loop_stage")
        is_valid = np.ones(self.rows, dtype=np.bool_)
        if is_of_sink and at.iters is not None:
            for run in np.unique(ids):
                rows = ids == run
                is_valid[rows] = resumed_rows(at.iters[rows], stages[rows])
        lost = 0
        found: dict[int, dict[str, Curve]] = {}
        for scalar in scalars:
            indices, values = self._arrays(scalar)
            placed = at.is_placed[indices]
            lost += int(len(placed) - placed.sum())
            counted = placed & is_valid[indices]
            indices, values = indices[counted], values[counted]
            for run in np.unique(ids[indices]):
                mine = ids[indices] == run
                curve = at.curve(indices[mine], values[mine]).without_repeated()
                found.setdefault(int(run), {})[_key_of(scalar) if is_of_sink else scalar] = curve
        if lost:
            notes = (*notes, f"{lost} {'value' if lost == 1 else 'values'} without {at.described}, left out")
        labels = {code: _short_id(text) for text, code in names.items()}
        many = len(found) > 1
        return [
            RunCurves(
                " ".join([name, *self._experiment(ids == run), labels.get(run, "no run id")]) if many else name,
                source,
                curves,
                notes if number == 0 else (),
            )
            for number, (run, curves) in enumerate(sorted(found.items()))
        ]

    def full(self, column: str) -> Floats:
        """Return a column with NaN in each row that has no number in it, of shape ``(rows,)``."""
        result = np.full(self.rows, np.nan)
        indices, values = self._arrays(column)
        result[indices] = values
        return result

    def full_of_any(self, columns: list[str]) -> Floats:
        """Return, for each row, the number in the first of some columns that has one."""
        result = self.full(columns[0])
        for other in columns[1:]:
            missing = np.isnan(result)
            result[missing] = self.full(other)[missing]
        return result

    def find(self, names: tuple[str, ...]) -> list[str]:
        """Return the columns among the given ones that exist and have numbers."""
        by_name = {_normalised(each): each for each in reversed(self._numbers)}
        return [by_name[each] for each in names if each in by_name]

    @property
    def columns(self) -> list[str]:
        """The columns with numbers."""
        return list(self._numbers)

    def _add_cell(self, name: str, cell: Any, depth: int = 0) -> None:
        if isinstance(cell, Mapping):
            if depth < _DEEPEST:
                for inner, value in cast("Mapping[str, Any]", cell).items():
                    self._add_cell(f"{name}/{inner}", value, depth + 1)
        elif _is_text_column(name):
            if cell is not None:
                self._add_text(name, self.rows, str(cell))
        else:
            number = _number(cell)
            if number is not None:
                indices, values = self._column(name)
                indices.append(self.rows)
                values.append(number)

    def _add_text(self, name: str, index: int, text: str) -> None:
        indices, codes, known = self._text_column(name)
        indices.append(index)
        codes.append(known.setdefault(text, len(known)))

    def _add_texts(self, name: str, cells: tuple[str, ...]) -> None:
        indices, codes, known = self._text_column(name)
        for text in dict.fromkeys(cells):
            known.setdefault(text, len(known))
        given = np.fromiter(map(known.__getitem__, cells), np.int64, len(cells))
        places = np.flatnonzero(given != known.get("", -1))
        indices.frombytes((places + self.rows).tobytes())
        codes.frombytes(given[places].tobytes())

    def _text_column(self, name: str) -> tuple[array[int], array[int], dict[str, int]]:
        return self._texts.setdefault(_normalised(name), (array("q"), array("q"), {}))

    def _column(self, name: str) -> tuple[array[int], array[float]]:
        return self._numbers.setdefault(name, (array("q"), array("d")))

    def _experiment(self, rows: npt.NDArray[np.bool_]) -> list[str]:
        codes, names = self._coded("experiment_name")
        of_run = [name for name, code in names.items() if (codes[rows] == code).any()]
        return of_run[:1]

    def _arrays(self, column: str) -> tuple[npt.NDArray[np.int64], Floats]:
        indices, values = self._numbers[column]
        return np.frombuffer(indices, np.int64), np.frombuffer(values, np.float64)

    def _coded(self, name: str) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
        result = np.full(self.rows, -1, dtype=np.int64)
        if name not in self._texts:
            return result, {}
        indices, codes, known = self._texts[name]
        result[np.frombuffer(indices, np.int64)] = np.frombuffer(codes, np.int64)
        return result, known


class _Positions:
    # Where each row of a table belongs.

    def __init__(self, table: Table, step: str | None, source: str, *, is_of_sink: bool) -> None:
        if step is not None and step not in table.columns:
            raise SourceError(
                f"{source} has no column {step!r} of numbers; it has {_listed(table.columns)}. Give one of "
                "these as the step",
                source=source,
            )
        # Some loggers, such as mmengine's, have one in the rows of the training, and another one in all.
        steps = [step] if step is not None else table.find(POSITION[:1] if is_of_sink else _STEPS)
        epoch, time = next(iter(table.find(_EPOCHS)), None), next(iter(table.find(_TIMES)), None)
        if not steps and epoch is None:
            raise SourceError(
                f"{source} has no column of steps ({', '.join(_STEPS[:4])}) or epochs; it has "
                f"{_listed(table.columns)}. Name one of these with --step",
                source=source,
            )
        self.iters = table.full_of_any(steps) if steps else None
        self.epochs = None if epoch is None else table.full(epoch)
        times = None if time is None else table.full(time)
        if times is not None and not _are_times(times):
            time = times = None
        self.times = times
        self.columns = {*steps, *(each for each in (epoch, time) if each is not None)}
        if self.iters is not None and self.epochs is not None and not is_of_sink:
            self.iters = _continued(self.iters, self.epochs)
        counted = self.iters if self.iters is not None else self.epochs
        self.described = " or ".join(steps) or epoch
        self.is_placed: npt.NDArray[np.bool_] = np.isfinite(np.empty(0) if counted is None else counted)

    def curve(self, rows: npt.NDArray[np.int64], values: Floats) -> Curve:
        iters, epochs, times = (None if of is None else of[rows] for of in (self.iters, self.epochs, self.times))
        return Curve(values, iters, _if_known(epochs), _if_known(times))


def _key_of(column: str) -> str:
    key = column.removeprefix("scalar/")
    return key if key in _FIELDS else column


def _if_known(positions: Floats | None) -> Floats | None:
    return None if positions is None or not np.isfinite(positions).any() else positions


def _continued(iters: Floats, epochs: Floats) -> Floats:
    """Return steps that continue over epochs where the given ones restart in each.

    Where a step goes back while the epoch goes up, no training was resumed: the steps are counted within an epoch.
    """
    known = np.flatnonzero(np.isfinite(iters) & np.isfinite(epochs))
    steps, of = iters[known], epochs[known]
    begins_again = (np.diff(steps, prepend=steps[:1]) < 0) & (np.diff(of, prepend=of[:1]) > 0)
    if not begins_again.any() or len(known) != np.isfinite(iters).sum():
        return iters
    before = np.append(0.0, steps[:-1])
    # Steps from 0 end at one less than their number.
    offsets = np.cumsum(np.where(begins_again, before + (steps == 0), 0.0))
    result = iters.copy()
    result[known] = steps + offsets
    return result


def _are_times(times: Floats) -> bool:
    known = times[np.isfinite(times)]
    return bool(len(known)) and bool(((known > _EARLIEST) & (known < _LATEST)).all())


def _number(cell: Any) -> float | None:
    # A number of hundreds of digits is too large for a float: it is infinite, as a text of the same digits is.
    try:
        return float(cell) if isinstance(cell, int | float | str) else None
    except ValueError:
        return None
    except OverflowError:
        return math.inf if cast("int", cell) > 0 else -math.inf


def _is_text_column(name: str) -> bool:
    return _normalised(name) in _TEXTS


def _not_finite(name: str, said: str) -> float | None:
    key = re.escape(name.removeprefix("scalar/"))
    found = re.search(rf"(?:^|,){key}=(nan|inf|-inf)(?:,|$)", said)
    return float(found[1]) if found else None


def _short_id(run_id: str) -> str:
    return run_id[:8] if _RANDOM_ID.fullmatch(run_id) else run_id


def _normalised(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _listed(columns: list[str]) -> str:
    shown = ", ".join(map(repr, columns[:10]))
    return f"{shown} and {len(columns) - 10} more" if len(columns) > 10 else shown or "none"
