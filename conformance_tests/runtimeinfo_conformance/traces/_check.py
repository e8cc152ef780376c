"""The check of a trace, line by line in constant memory, and its command."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtimeinfo.spec import EVENTS
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.traces._follower import Follower
from runtimeinfo_conformance.traces._format import END, MARK, TraceError, TraceHeader, decode, refuse
from runtimeinfo_conformance.traces._report import TraceReport

_EVENTS = frozenset(EVENTS)

# A line of a trace has some 80 bytes, one with very many scalars some thousands: a longer one is damaged.
_LONGEST_LINE = 1 << 20

_RESUMED_AT = frozenset({"before_run", "before_train_epoch"})


def check_trace(source: str | os.PathLike[str] | Iterable[str | bytes]) -> TraceReport:
    """Judge a trace by the requirements that can be decided from one.

    It is read once, line by line, in memory that does not grow with it.

    A damaged line is noted. It can stand for any number of lines, so nothing is judged before the next before_run, or
    the next before_train_epoch, whose counters are then taken as they are. A damaged line at the end, or before the
    next header, is the trace of a killed process: nothing is concluded from it.

    Args:
        source: The path of the file, or its lines.

    Returns:
        The report.

    Raises:
        TraceError: If it is not a trace, holds no event that can be judged, or has an unknown format version.
        OSError: If the file cannot be read.

    Example:
        >>> report = check_trace(['{"runtimeinfo_trace": 1}', '{"e": "before_run"}', '{"e": "after_train"}'])
        >>> print(report.rules["LIFE-01"].violations[0])
        line 3, after_train: expected a legal event, observed illegal: it closes 'train', but the innermost open \
scope is 'run'

    Source: LIFE-01 to LIFE-08, STAGE-01 to STAGE-06, COUNT-01 to COUNT-11, FAIL-02 to FAIL-04.
    """
    if isinstance(source, str | os.PathLike):
        with _lines_of(Path(source)) as lines:
            return _Reading().read(lines)
    return _Reading().read(iter(source))


class _Reading:
    """One pass over the lines of a trace, which separates events, headers and damaged lines."""

    def __init__(self) -> None:
        self._report = TraceReport()
        self._follower = Follower(self._report)
        self._damaged: int | None = None  # the line, until the next one is known
        self._lost_from: int | None = None  # the first line that is not judged
        self._lost = 0  # the events since then
        self._has_ended = False

    def read(self, lines: Iterator[str | bytes]) -> TraceReport:
        report, see = self._report, self._follower.see
        self._read_first(lines)
        for number, line in enumerate(lines, 2):
            report.lines = number
            record = decode(line if isinstance(line, str) else _text(line))
            if record is None or self._damaged is not None or self._lost_from is not None or self._has_ended:
                self._read_unusual(number, line, record)
                continue
            event = record.get("e")
            if type(event) is str and event in _EVENTS:
                report.events += 1
                see(number, record)
            else:
                self._read_unusual(number, line, record)
        self._finish()
        return report

    def _read_first(self, lines: Iterator[str | bytes]) -> None:
        first = next(lines, None)
        if first is None:
            refuse("it is empty: give the file that a TraceHook wrote")
        self._report.lines = 1
        record = decode(first if isinstance(first, str) else _text(first))
        if record is None or MARK not in record:
            refuse(
                f"it is not a trace: the first line must be a header with {MARK!r}. "
                "Give the file that a TraceHook wrote",
                1,
            )
        self._report.header = TraceHeader.decode(record, 1)

    def _read_unusual(self, number: int, line: str | bytes, record: dict[str, Any] | None) -> None:
        """Read a line that is not an event, or that follows a damaged line or the end."""
        if not line.strip():
            return
        event = record.get("e") if record is not None else None
        if record is not None and MARK in record:
            self._read_header(number, record)
        elif record is not None and record.get(END) is True and event is None:
            self._end_gap(number)
            self._follower.end(number, in_order=True)
            self._has_ended = True
        elif type(event) is str and event in _EVENTS and record is not None:
            self._read_event_amid_trouble(number, record)
        else:
            self._read_damaged(number)

    def _read_header(self, number: int, record: dict[str, Any]) -> None:
        TraceHeader.decode(record, number)
        self._note_truncated()
        self._end_gap(number)
        # Another process goes on in this file. Scopes that the previous one has left open prove nothing: it can have
        # been killed.
        self._follower.end(number - 1, in_order=False)
        self._has_ended = False

    def _read_event_amid_trouble(self, number: int, record: dict[str, Any]) -> None:
        if self._has_ended:
            self._has_ended = False
            self._report.note(number, "events follow after the end: two hooks have written into one file")
        if self._damaged is not None:
            self._lose(self._damaged)
        if self._lost_from is not None:
            if record["e"] not in _RESUMED_AT:
                self._lost += 1
                self._report.not_judged += 1
                return
            self._end_gap(number)
            if record["e"] == "before_train_epoch":
                self._follower.begin_amid(record)
        self._report.events += 1
        self._follower.see(number, record)

    def _read_damaged(self, number: int) -> None:
        if self._damaged is not None:
            self._lose(self._damaged)
        self._damaged = number

    def _lose(self, line: int) -> None:
        """Stop judging, because a line in the middle is damaged."""
        self._damaged = None
        if self._lost_from is None:
            self._lost_from, self._lost = line, 0
            self._follower.forget()
        else:
            self._report.note(line, "damaged as well")

    def _end_gap(self, number: int) -> None:
        """Note the lines that were not judged, now that judging can continue."""
        if self._damaged is not None:
            self._lose(self._damaged)
        if self._lost_from is None:
            return
        self._report.note(
            self._lost_from,
            f"damaged; from there to line {number - 1} nothing is judged ({self._lost:,} events), and counting "
            "restarts after it",
        )
        self._lost_from = None

    def _note_truncated(self) -> None:
        if self._damaged is not None:
            self._report.note(self._damaged, "truncated: the process that wrote it was killed, or its disk was full")
            self._damaged = None

    def _finish(self) -> None:
        report = self._report
        self._note_truncated()
        self._end_gap(report.lines + 1)
        self._follower.end(report.lines, in_order=False)
        if not report.events:
            refuse(f"it holds no event that can be judged, in {report.lines:,} lines: let the hook hear a whole run")


def run_check_trace(path: str | os.PathLike[str]) -> int:
    """Execute ``runtimeinfo check-trace``: judge a trace, and print the report.

    Args:
        path: The file.

    Returns:
        The exit code: 0 conformant, 1 a requirement is violated, 4 the file cannot be read or is not a trace.
    """
    name = os.fspath(path)
    try:
        report = check_trace(path)
    except (TraceError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else None
        reason = f"{text}. Give the file that a TraceHook wrote" if text else error
        print(f"runtimeinfo: {name}: {reason}", file=sys.stderr)
        return ExitCode.SUBJECT_BROKE
    for line in report.describe(name):
        print(line)
    return report.exit_code


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return "not UTF-8"  # and not JSON


@contextmanager
def _lines_of(path: Path) -> Generator[Iterator[str | bytes]]:
    """Open a file, and iterate over its lines; cut off those that are too long."""
    with path.open("rb") as file:

        def lines() -> Iterator[bytes]:
            while line := file.readline(_LONGEST_LINE):
                yield line
                while len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                    line = file.readline(_LONGEST_LINE)

        yield lines()
