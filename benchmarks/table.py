"""The figures as tables in Markdown, and their place in a file."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

BEGIN = "<!-- figures:begin -->"
END = "<!-- figures:end -->"

_HEADER = ("measured", "ours", "beside it", "ratio", "aim", "")


@dataclass(frozen=True, slots=True)
class Aim:
    """A bound for a figure. It is reported, never asserted: the machine has other users."""

    text: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours, and what it is compared with."""

    measured: str
    ours: str
    beside: str = ""
    ratio: str = ""
    aim: Aim | None = None
    is_headline: bool = False

    def cells(self) -> tuple[str, ...]:
        aim, verdict = (self.aim.text, "reached" if self.aim.reached else "not reached") if self.aim else ("", "")
        return self.measured, self.ours, self.beside, self.ratio, aim, verdict


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of one kind, with a heading and a line that says how they come about."""

    title: str
    about: str
    rows: tuple[Row, ...]


class MarkersMissingError(Exception):
    """The file has no place for the figures."""


def every_figure(groups: Iterable[Group], circumstances: str) -> str:
    """Return all of it: a table for each group."""
    return "\n\n".join((circumstances, *map(_section, groups)))


def headlines(groups: Iterable[Group], circumstances: str) -> str:
    """Return the few figures that tell most, without the aims: of these it says how many are reached."""
    rows = [row for group in groups for row in group.rows]
    aims = [row.aim for row in rows if row.aim]
    reached = f"Of our {len(aims)} aims, {sum(aim.reached for aim in aims)} are reached."
    return f"{circumstances} {reached}\n\n{_table(_HEADER[:4], [row for row in rows if row.is_headline])}"


def circumstances(load_before: float, load_after: float) -> str:
    """Return the line that tells on what was measured."""
    return (
        f"Measured on {date.today().isoformat()}: Python {platform.python_version()}, torch {version('torch')}, "  # noqa: DTZ011
        f"mmengine {version('mmengine')}, {os.cpu_count()} cores; "
        f"load {load_before:.1f} before, {load_after:.1f} after."
    )


def _section(group: Group) -> str:
    header = _HEADER if any(row.aim for row in group.rows) else _HEADER[:4]
    return f"## {group.title}\n\n{group.about}\n\n{_table(header, group.rows)}"


def _table(header: tuple[str, ...], rows: Iterable[Row]) -> str:
    cells = [header, *(row.cells()[: len(header)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def around_markers(path: Path) -> tuple[str, str]:
    """Return what stands before the place for the figures, and what stands after it.

    Raises:
        MarkersMissingError: If the markers are not there, once each and in this order.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise MarkersMissingError(f"{path} must have one line {BEGIN} and, after it, one line {END}")
    return before, after


def write_between_markers(path: Path, text: str) -> None:
    """Replace what stands between the markers, and nothing else; errors as for `around_markers`."""
    before, after = around_markers(path)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def write_section(path: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a section, or add it with its markers at the end of the file."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text(encoding="utf-8")
    before, found, rest = page.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    kept = before if found else f"{page.rstrip()}\n\n"
    path.write_text(f"{kept}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def microseconds(seconds: float) -> str:
    """Return a time as a cell."""
    return f"{seconds * 1e6:,.2f} µs" if seconds < 1e-4 else f"{seconds * 1e6:,.0f} µs"


def times(ours: float, theirs: float) -> str:
    """Return how ours compares, as a cell."""
    return f"{theirs / ours:.1f} x less" if theirs >= ours else f"{ours / theirs:.1f} x more"
