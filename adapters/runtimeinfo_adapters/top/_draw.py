"""Runs as lines of text for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from rich.text import Text

from runtimeinfo_adapters.top._format import (
    STATUS_STYLES,
    epoch_text,
    eta_text,
    format_age,
    format_value,
    fraction,
    iterations_text,
    learning_rates,
    name_text,
    percent_text,
    printable,
    rate_text,
    shown_scalars,
    stage_text,
    status,
    status_text,
)
from runtimeinfo_adapters.top._watch import Run


@dataclass(frozen=True)
class Glyphs:
    """The characters that things are drawn with.

    Attributes:
        levels: Those of a sparkline, from low to high.
        broken: In a sparkline, for what is no finite number.
        done: In a bar.
        left: In a bar.
        dot: Before a name.
        ellipsis: For what is cut.
        between: Between two facts.
    """

    levels: str
    broken: str
    done: str
    left: str
    dot: str
    ellipsis: str
    between: str


UNICODE = Glyphs(levels="▁▂▃▄▅▆▇█", broken="!", done="━", left="┄", dot="●", ellipsis="…", between=" · ")
ASCII = Glyphs(levels="_.-=+*#", broken="!", done="#", left=".", dot="*", ellipsis="~", between=", ")
"""For a terminal whose encoding has no other."""


@dataclass(frozen=True)
class Canvas:
    """What a run is drawn on.

    Attributes:
        width: Its columns.
        glyphs: What to draw with.
    """

    width: int
    glyphs: Glyphs = UNICODE

    @property
    def is_ascii(self) -> bool:
        """Whether nothing but ASCII can be shown."""
        return self.glyphs is ASCII

    def fitted(self, line: Text, width: int | None = None, *, pad: bool = False) -> Text:
        """Return a line that is cut to a width, the whole one if none is given.

        Args:
            line: The line. It is not changed.
            width: The width.
            pad: Whether to fill it up with blanks.
        """
        width = max(self.width if width is None else width, 0)
        result = line.copy()
        if result.cell_len > width:
            result.truncate(max(width - 1, 0), overflow="crop")
            result.append(self.glyphs.ellipsis[:width])
        if pad:
            result.append(" " * (width - result.cell_len))
        return result

    def spread(self, left: Text, right: Text) -> Text:
        """Return two texts at both ends of a line; where there is no place for both, the left one is cut."""
        right = self.fitted(right)
        left = self.fitted(left, self.width - right.cell_len - 2, pad=True)
        return self.fitted(Text.assemble(left, "  ", right)) if left.cell_len else right

    def bar(self, part: float, width: int) -> Text:
        """Return a bar.

        Args:
            part: Which part is done, from 0 to 1.
            width: Its width.
        """
        done = int(part * width)
        bar = Text(self.glyphs.done * done, style="cyan")
        return bar.append(self.glyphs.left * (width - done), style="bright_black")


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs = UNICODE) -> str:
    """Return values as a curve, from their lowest to their highest; more than have a place are averaged.

    Args:
        values: The values. What is no finite number gets a mark of its own.
        width: Of how many characters it may be at most.
        glyphs: What to draw it with.

    Example:
        >>> sparkline([1, 2, 3, float("nan"), 8], width=10)
        '▁▂▃!█'
    """
    if width < 1 or not values:
        return ""
    shown = _fitted(values, width)
    finite = [each for each in shown if math.isfinite(each)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return "".join(_level(each, low, high, glyphs) if math.isfinite(each) else glyphs.broken for each in shown)


def _fitted(values: Sequence[float], width: int) -> list[float]:
    many = len(values)
    if many <= width:
        return list(values)
    bounds = [many * place // width for place in range(width + 1)]
    parts = [values[begin:end] for begin, end in pairwise(bounds)]
    return [sum(each / len(part) for each in part) for part in parts]


def _level(value: float, low: float, high: float, glyphs: Glyphs) -> str:
    last = len(glyphs.levels) - 1
    # Halves: the difference of two finite numbers may be infinite.
    span = high / 2 - low / 2
    if span <= 0:
        return glyphs.levels[last // 2]
    return glyphs.levels[round((value / 2 - low / 2) / span * last)]


_MOST_SCALAR_LINES = 4


def picture(
    runs: Sequence[Run], canvas: Canvas, *, height: int | None = None, folder: str = "", pid: int | None = None
) -> list[Text]:
    """Return the lines that show all runs.

    Each run gets a block. Where the blocks have no place together, they lose the lines of their scalars, one after
    the other; then each run gets one line, and at last those that have none are counted.

    Args:
        runs: The runs.
        canvas: What they are drawn on.
        height: How many lines there may be; as many as it takes if left out.
        folder: Where the boards are.
        pid: The process whose runs alone are shown; those of all if left out.
    """
    lines = [_title(runs, canvas, folder, is_interactive=height is not None), Text()]
    if runs:
        lines += _body(runs, canvas, None if height is None else max(height - len(lines), 1))
    else:
        whose = "this user" if pid is None else f"process {pid}"
        said = f"No run of {whose} is seen in {printable(folder, is_ascii=canvas.is_ascii)}."
        hint = (
            "A run under any adapter of runtimeinfo shows here by itself."
            if pid is None
            else "Without --pid, all runs of this user are shown."
        )
        lines += [canvas.fitted(Text(f"  {said}")), canvas.fitted(Text(f"  {hint}", style="bright_black"))]
    for line in lines:
        line.rstrip()
    return lines[:height]


def _title(runs: Sequence[Run], canvas: Canvas, folder: str, *, is_interactive: bool) -> Text:
    marks = Counter(map(status, runs))
    counts = canvas.glyphs.between.join(f"{marks[each]} {each}" for each in STATUS_STYLES if marks[each])
    left = Text.assemble(("runtimeinfo top", "bold"), f"  {counts or 'no runs'}")
    right = "q quits" if is_interactive else printable(folder, is_ascii=canvas.is_ascii)
    if left.cell_len + 2 + Text(right).cell_len > canvas.width:
        return canvas.fitted(left)
    return canvas.spread(left, Text(right, style="bright_black"))


def _body(runs: Sequence[Run], canvas: Canvas, place: int | None) -> list[Text]:
    if place is None:
        return _blocks(runs, canvas, _MOST_SCALAR_LINES)
    if 2 * len(runs) <= place + 1:  # a block has a line at least, and a blank one before the next
        for most_lines in reversed(range(_MOST_SCALAR_LINES + 1)):
            blocks = _blocks(runs, canvas, most_lines)
            if len(blocks) <= place:
                return blocks
    if len(runs) < place:
        return rows(runs, canvas)
    shown = runs[: max(place - 2, 1)]
    more = Text(f"  {canvas.glyphs.ellipsis} and {len(runs) - len(shown)} more", style="bright_black")
    return [*rows(shown, canvas), canvas.fitted(more)]


def _blocks(runs: Sequence[Run], canvas: Canvas, most_lines: int) -> list[Text]:
    alignment = Alignment(runs)
    lines: list[Text] = []
    for run in runs:
        lines += [*([Text()] if lines else []), *block(run, canvas, alignment, most_lines)]
    return lines


_CELL = 38
_NARROWEST_PAIR = 56
_VALUE = 9
_LONGEST_NAME = 18
_LONGEST_CURVE = 40
_SHORTEST_BAR = 5
_LONGEST_BAR = 30


class Alignment:
    """How wide the facts are which stand one below the other in several blocks.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        all_runs = list(runs)
        self.epoch: int = max((len(epoch_text(run)) for run in all_runs), default=0)
        self.iterations: int = max((len(iterations_text(run)) for run in all_runs), default=0)
        self.speed: int = max((len(_speed(run)) for run in all_runs), default=0)


def block(run: Run, canvas: Canvas, alignment: Alignment, most_lines: int) -> list[Text]:
    """Return a run as a block of lines.

    Args:
        run: The run.
        canvas: What it is drawn on.
        alignment: What it has in common with the other blocks.
        most_lines: How many lines its scalars may take.
    """
    lines = [_head(run, canvas)]
    if run.error is not None:
        lines.append(canvas.fitted(Text(f"  {printable(run.error, is_ascii=canvas.is_ascii)}", style="magenta")))
    if run.epoch is not None or run.iter is not None:
        lines.append(_progress(run, canvas, alignment))
    return lines + _scalars(run, canvas, most_lines)


def _head(run: Run, canvas: Canvas) -> Text:
    mark = status(run)
    style = STATUS_STYLES[mark]
    left = Text.assemble((f"{canvas.glyphs.dot} ", style), (name_text(run, is_ascii=canvas.is_ascii), "bold"))
    about: list[str] = []
    if run.experiment_name is not None:
        about.append(f"pid {run.pid}")
    if run.is_elsewhere:
        about.append("in another container")
    stage = stage_text(run, is_ascii=canvas.is_ascii)
    # Of these nothing is cut, but of the name: anybody may have given that.
    right = Text.assemble(
        (canvas.glyphs.between.join(about), "bright_black"),
        "  " if about else "",
        (stage, "bold cyan"),
        "  " if stage else "",
        (status_text(run), "bright_black" if mark == "live" else f"bold {style}"),
    )
    return canvas.spread(left, right)


def _progress(run: Run, canvas: Canvas, alignment: Alignment) -> Text:
    first = f"epoch {epoch_text(run):<{alignment.epoch}}" if alignment.epoch else ""
    second = f"iter {iterations_text(run):<{alignment.iterations}}" if alignment.iterations else ""
    # What is left for the bars, once everything else and the blanks in between have their places.
    free = canvas.width - sum(2 + each for each in (len(first), len(second), alignment.speed) if each) - 2
    has_two = bool(first and second) and free >= 2 * _SHORTEST_BAR
    each_bar = min(free // 2 if has_two else free, _LONGEST_BAR)
    line = Text()
    if first:
        line.append(f"  {first}")
        if has_two or not second:
            line.append_text(_bar(fraction(run.epoch, run.max_epochs), each_bar, canvas))
    if second:
        line.append(f"  {second}")
        line.append_text(_bar(fraction(run.iter, run.max_iters), each_bar, canvas))
    if alignment.speed:
        line.append(f"  {_speed(run)}")
    return canvas.fitted(line)


def _speed(run: Run) -> str:
    eta = f"  ETA {eta_text(run)}" if run.eta_s is not None else ""
    return f"{percent_text(run):>4}  {rate_text(run):>9}{eta}".rstrip()


def _bar(part: float | None, width: int, canvas: Canvas) -> Text:
    if width < _SHORTEST_BAR:
        return Text()
    return Text(" " * (width + 1)) if part is None else Text(" ").append_text(canvas.bar(part, width))


def _scalars(run: Run, canvas: Canvas, most_lines: int) -> list[Text]:
    keys = shown_scalars(run.scalars)
    columns = max(2 if canvas.width >= _NARROWEST_PAIR else 1, (canvas.width - 2) // _CELL)
    width = (canvas.width - 2) // columns
    most = columns * most_lines
    if len(keys) > most:  # of what has no place, a learning rate is missed least
        rates = learning_rates(keys)
        keys = [key for key in keys if key not in rates] + [key for key in keys if key in rates]
    shown = keys if len(keys) <= most else keys[: most - 1] if most > 1 else []
    named = {key: printable(key.removeprefix("train/"), is_ascii=canvas.is_ascii) for key in shown}
    name_width = min(max((Text(each).cell_len for each in named.values()), default=0), _LONGEST_NAME)
    cells = [_cell(run, key, named[key], name_width, width, canvas) for key in shown]
    if shown and len(shown) < len(keys):
        cells.append(Text(f"{canvas.glyphs.ellipsis} and {len(keys) - len(shown)} more", style="bright_black"))
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
    return [canvas.fitted(Text.assemble("  ", *(canvas.fitted(cell, width, pad=True) for cell in row))) for row in rows]


def _cell(run: Run, key: str, name: str, name_width: int, width: int, canvas: Canvas) -> Text:
    value = format_value(run.scalars[key].value)
    cell = canvas.fitted(Text(name, style="bright_black"), name_width, pad=True)
    cell.append(f" {value:>{_VALUE}} ", style="bold" if value not in ("nan", "inf", "-inf") else "bold red")
    curve = sparkline(run.courses.get(key, ()), min(width - cell.cell_len - 2, _LONGEST_CURVE), canvas.glyphs)
    return cell.append(curve, style="cyan")


_NARROWEST_NAME = 12


class _Column(NamedTuple):
    title: str
    rank: int
    """Where there is no place for all, the highest go first."""
    text: Callable[[Run], str]
    is_right: bool = True


def rows(runs: Sequence[Run], canvas: Canvas) -> list[Text]:
    """Return a line of titles, and one for each run; columns that have no place are left out.

    Args:
        runs: The runs.
        canvas: What they are drawn on.
    """
    columns = _columns(canvas.is_ascii)
    texts = {each.title: [each.text(run) for run in runs] for each in columns}
    widths = {title: max(len(title), *map(len, shown)) for title, shown in texts.items() if any(shown)}
    columns = [each for each in columns if each.title in widths]
    name_width = _name_width(runs, canvas)

    def needed() -> int:
        return 2 + min(name_width, _NARROWEST_NAME) + sum(2 + widths[each.title] for each in columns)

    while columns and needed() > canvas.width:
        columns.remove(max(columns, key=lambda each: each.rank))
    name_width = max(1, min(name_width, canvas.width - needed() + min(name_width, _NARROWEST_NAME)))
    titles = Text(f"  {'run':<{name_width}}", style="bright_black")
    for each in columns:
        titles.append(f"  {_aligned(each.title, widths[each.title], each.is_right)}")
    lines = [canvas.fitted(titles)]
    for index, run in enumerate(runs):
        mark = status(run)
        name = Text(name_text(run, is_ascii=canvas.is_ascii), style="bold")
        line = Text.assemble((f"{canvas.glyphs.dot} ", STATUS_STYLES[mark]), canvas.fitted(name, name_width, pad=True))
        for each in columns:
            shown = f"  {_aligned(texts[each.title][index], widths[each.title], each.is_right)}"
            line.append(shown, style=STATUS_STYLES[mark] if each.title == "state" and mark != "live" else "")
        lines.append(canvas.fitted(line))
    return lines


def _columns(is_ascii: bool) -> list[_Column]:
    def stage(run: Run) -> str:
        return stage_text(run, is_ascii=is_ascii)

    return [
        _Column("state", 0, status, is_right=False),
        _Column("stage", 5, stage, is_right=False),
        _Column("epoch", 4, epoch_text),
        _Column("iter", 6, iterations_text),
        _Column("done", 1, percent_text),
        _Column("rate", 7, rate_text),
        _Column("ETA", 2, eta_text),
        _Column("loss", 3, _loss),
        _Column("updated", 8, _age),
    ]


def _age(run: Run) -> str:
    return "" if run.age_s is None else format_age(run.age_s)


def _loss(run: Run) -> str:
    """Return the first of the scalars of training which is no learning rate."""
    rates = learning_rates(run.scalars)
    keys = (key for key in shown_scalars(run.scalars) if key not in rates and key.startswith("train/"))
    first = next(keys, None)
    return "" if first is None else format_value(run.scalars[first].value)


def _name_width(runs: Sequence[Run], canvas: Canvas) -> int:
    return max(Text(name_text(run, is_ascii=canvas.is_ascii)).cell_len for run in runs)


def _aligned(text: str, width: int, is_right: bool) -> str:
    return f"{text:>{width}}" if is_right else f"{text:<{width}}"
