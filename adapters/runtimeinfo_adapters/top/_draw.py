"""Draw runs as lines of text for a terminal."""

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

# Of a block.
_MOST_SCALAR_LINES = 4
_CELL_WIDTH = 38
_NARROWEST_PAIR = 56
_VALUE_WIDTH = 9
_LONGEST_NAME = 18
_LONGEST_CURVE = 40
_SHORTEST_BAR = 5
_LONGEST_BAR = 30
# Of the table.
_NARROWEST_NAME = 12


@dataclass(frozen=True)
class Glyphs:
    """The characters of a drawing.

    Attributes:
        levels: The levels of a sparkline, from low to high.
        broken: A value of a sparkline that is not finite.
        done: The done part of a bar.
        left: The rest of a bar.
        dot: The dot before a name.
        ellipsis: The end of a text that is cut.
        between: The separator of two facts.
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
"""For a terminal whose encoding has no other characters."""


@dataclass(frozen=True)
class LineLayout:
    """Fit texts and bars into lines of a width.

    Attributes:
        width: The columns of a line.
        glyphs: The characters to draw with.
    """

    width: int
    glyphs: Glyphs = UNICODE

    @property
    def is_ascii(self) -> bool:
        """Whether only ASCII can be shown."""
        return self.glyphs is ASCII

    def fitted(self, line: Text, width: int | None = None, *, pad: bool = False) -> Text:
        """Return a line that is cut to a width.

        Args:
            line: The line. It is not changed.
            width: The width; by default, that of the layout.
            pad: Whether to fill it with blanks.
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
        """Return two texts at both ends of a line; the left one is cut if there is not enough space for both."""
        right = self.fitted(right)
        left = self.fitted(left, self.width - right.cell_len - 2, pad=True)
        return self.fitted(Text.assemble(left, "  ", right)) if left.cell_len else right

    def bar(self, done: float, width: int) -> Text:
        """Return a bar.

        Args:
            done: The done part, from 0 to 1.
            width: The width of the bar.
        """
        filled = int(done * width)
        bar = Text(self.glyphs.done * filled, style="cyan")
        return bar.append(self.glyphs.left * (width - filled), style="bright_black")


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs = UNICODE) -> str:
    """Return values as a curve between their minimum and their maximum; more values than characters are averaged.

    Args:
        values: The values. One that is not finite gets a special character.
        width: The greatest number of characters.
        glyphs: The characters to draw with.

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


def draw_runs(
    runs: Sequence[Run], layout: LineLayout, *, height: int | None = None, folder: str = "", pid: int | None = None
) -> list[Text]:
    """Return the lines that show all runs.

    Each run gets a block. If the blocks do not fit, they lose the lines of their scalars, one after the other; then
    each run gets one line of a table, and at last the runs without a line are counted.

    Args:
        runs: The runs.
        layout: The layout of a line.
        height: The greatest number of lines; by default, it is not limited.
        folder: The folder of the boards.
        pid: The process that the runs were restricted to, if any.
    """
    lines = [_title(runs, layout, folder, is_interactive=height is not None), Text()]
    if runs:
        lines += _body(runs, layout, None if height is None else max(height - len(lines), 1))
    else:
        whose = "this user" if pid is None else f"process {pid}"
        message = f"No run of {whose} is seen in {printable(folder, is_ascii=layout.is_ascii)}."
        hint = (
            "A run under any adapter of runtimeinfo shows here by itself."
            if pid is None
            else "Without --pid, all runs of this user are shown."
        )
        lines += [layout.fitted(Text(f"  {message}")), layout.fitted(Text(f"  {hint}", style="bright_black"))]
    for line in lines:
        line.rstrip()
    return lines[:height]


def _title(runs: Sequence[Run], layout: LineLayout, folder: str, *, is_interactive: bool) -> Text:
    marks = Counter(map(status, runs))
    counts = layout.glyphs.between.join(f"{marks[each]} {each}" for each in STATUS_STYLES if marks[each])
    left = Text.assemble(("runtimeinfo top", "bold"), f"  {counts or 'no runs'}")
    right = "q quits" if is_interactive else printable(folder, is_ascii=layout.is_ascii)
    if left.cell_len + 2 + Text(right).cell_len > layout.width:
        return layout.fitted(left)
    return layout.spread(left, Text(right, style="bright_black"))


def _body(runs: Sequence[Run], layout: LineLayout, place: int | None) -> list[Text]:
    if place is None:
        return _blocks(runs, layout, _MOST_SCALAR_LINES)
    if 2 * len(runs) <= place + 1:  # a block is at least a line, and a blank one before the next
        for most_lines in reversed(range(_MOST_SCALAR_LINES + 1)):
            blocks = _blocks(runs, layout, most_lines)
            if len(blocks) <= place:
                return blocks
    if len(runs) < place:
        return _table(runs, layout)
    shown = runs[: max(place - 2, 1)]
    more = Text(f"  {layout.glyphs.ellipsis} and {len(runs) - len(shown)} more", style="bright_black")
    return [*_table(shown, layout), layout.fitted(more)]


def _blocks(runs: Sequence[Run], layout: LineLayout, most_lines: int) -> list[Text]:
    widths = _ColumnWidths(runs)
    lines: list[Text] = []
    for run in runs:
        lines += [*([Text()] if lines else []), *_block(run, layout, widths, most_lines)]
    return lines


class _ColumnWidths:
    # Of the facts that are aligned in several blocks.

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        all_runs = list(runs)
        self.epoch: int = max((len(epoch_text(run)) for run in all_runs), default=0)
        self.iterations: int = max((len(iterations_text(run)) for run in all_runs), default=0)
        self.speed: int = max((len(_speed(run)) for run in all_runs), default=0)


def _block(run: Run, layout: LineLayout, widths: _ColumnWidths, most_lines: int) -> list[Text]:
    lines = [_head(run, layout)]
    if run.error is not None:
        lines.append(layout.fitted(Text(f"  {printable(run.error, is_ascii=layout.is_ascii)}", style="magenta")))
    if run.epoch is not None or run.iter is not None:
        lines.append(_progress(run, layout, widths))
    return lines + _scalars(run, layout, most_lines)


def _head(run: Run, layout: LineLayout) -> Text:
    mark = status(run)
    style = STATUS_STYLES[mark]
    left = Text.assemble((f"{layout.glyphs.dot} ", style), (name_text(run, is_ascii=layout.is_ascii), "bold"))
    about: list[str] = []
    if run.experiment_name is not None:
        about.append(f"pid {run.pid}")
    if run.is_inferred:
        about.append("inferred")
    if run.is_elsewhere:
        about.append("in another container")
    stage = stage_text(run, is_ascii=layout.is_ascii)
    # Only the name is cut, which may be of any length.
    right = Text.assemble(
        (layout.glyphs.between.join(about), "bright_black"),
        "  " if about else "",
        (stage, "bold cyan"),
        "  " if stage else "",
        (status_text(run), "bright_black" if mark == "live" else f"bold {style}"),
    )
    return layout.spread(left, right)


def _progress(run: Run, layout: LineLayout, widths: _ColumnWidths) -> Text:
    first = f"epoch {epoch_text(run):<{widths.epoch}}" if widths.epoch else ""
    second = f"iter {iterations_text(run):<{widths.iterations}}" if widths.iterations else ""
    # The rest is for the bars.
    free = layout.width - sum(2 + each for each in (len(first), len(second), widths.speed) if each) - 2
    has_two = bool(first and second) and free >= 2 * _SHORTEST_BAR
    each_bar = min(free // 2 if has_two else free, _LONGEST_BAR)
    line = Text()
    if first:
        line.append(f"  {first}")
        if has_two or not second:
            line.append_text(_bar(fraction(run.epoch, run.max_epochs), each_bar, layout))
    if second:
        line.append(f"  {second}")
        line.append_text(_bar(fraction(run.iter, run.max_iters), each_bar, layout))
    if widths.speed:
        line.append(f"  {_speed(run)}")
    return layout.fitted(line)


def _speed(run: Run) -> str:
    eta = f"  ETA {eta_text(run)}" if run.eta_s is not None else ""
    return f"{percent_text(run):>4}  {rate_text(run):>9}{eta}".rstrip()


def _bar(part: float | None, width: int, layout: LineLayout) -> Text:
    if width < _SHORTEST_BAR:
        return Text()
    return Text(" " * (width + 1)) if part is None else Text(" ").append_text(layout.bar(part, width))


def _scalars(run: Run, layout: LineLayout, most_lines: int) -> list[Text]:
    keys = shown_scalars(run.scalars)
    columns = max(2 if layout.width >= _NARROWEST_PAIR else 1, (layout.width - 2) // _CELL_WIDTH)
    width = (layout.width - 2) // columns
    most = columns * most_lines
    if len(keys) > most:  # a learning rate is the first to be left out
        rates = learning_rates(keys)
        keys = [key for key in keys if key not in rates] + [key for key in keys if key in rates]
    shown = keys if len(keys) <= most else keys[: most - 1] if most > 1 else []
    named = {key: printable(key.removeprefix("train/"), is_ascii=layout.is_ascii) for key in shown}
    name_width = min(max((Text(each).cell_len for each in named.values()), default=0), _LONGEST_NAME)
    cells = [_cell(run, key, named[key], name_width, width, layout) for key in shown]
    if shown and len(shown) < len(keys):
        cells.append(Text(f"{layout.glyphs.ellipsis} and {len(keys) - len(shown)} more", style="bright_black"))
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
    return [layout.fitted(Text.assemble("  ", *(layout.fitted(cell, width, pad=True) for cell in row))) for row in rows]


def _cell(run: Run, key: str, name: str, name_width: int, width: int, layout: LineLayout) -> Text:
    value = format_value(run.scalars[key].value)
    cell = layout.fitted(Text(name, style="bright_black"), name_width, pad=True)
    cell.append(f" {value:>{_VALUE_WIDTH}} ", style="bold" if value not in ("nan", "inf", "-inf") else "bold red")
    curve = sparkline(run.curves.get(key, ()), min(width - cell.cell_len - 2, _LONGEST_CURVE), layout.glyphs)
    return cell.append(curve, style="cyan")


class _Column(NamedTuple):
    title: str
    rank: int
    """If the columns do not fit, those of the highest rank are left out first."""
    text: Callable[[Run], str]
    is_right: bool = True


def _table(runs: Sequence[Run], layout: LineLayout) -> list[Text]:
    columns = _columns(layout.is_ascii)
    texts = {each.title: [each.text(run) for run in runs] for each in columns}
    widths = {title: max(len(title), *map(len, shown)) for title, shown in texts.items() if any(shown)}
    columns = [each for each in columns if each.title in widths]
    name_width = _name_width(runs, layout)

    def needed() -> int:
        return 2 + min(name_width, _NARROWEST_NAME) + sum(2 + widths[each.title] for each in columns)

    while columns and needed() > layout.width:
        columns.remove(max(columns, key=lambda each: each.rank))
    name_width = max(1, min(name_width, layout.width - needed() + min(name_width, _NARROWEST_NAME)))
    titles = Text(f"  {'run':<{name_width}}", style="bright_black")
    for each in columns:
        titles.append(f"  {_aligned(each.title, widths[each.title], each.is_right)}")
    lines = [layout.fitted(titles)]
    for index, run in enumerate(runs):
        mark = status(run)
        name = Text(name_text(run, is_ascii=layout.is_ascii), style="bold")
        line = Text.assemble((f"{layout.glyphs.dot} ", STATUS_STYLES[mark]), layout.fitted(name, name_width, pad=True))
        for each in columns:
            shown = f"  {_aligned(texts[each.title][index], widths[each.title], each.is_right)}"
            line.append(shown, style=STATUS_STYLES[mark] if each.title == "state" and mark != "live" else "")
        lines.append(layout.fitted(line))
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
        _Column("source", 9, _source, is_right=False),
    ]


def _source(run: Run) -> str:
    return "inferred" if run.is_inferred else ""


def _age(run: Run) -> str:
    return "" if run.age_s is None else format_age(run.age_s)


def _loss(run: Run) -> str:
    """Return the first scalar of the training that is not a learning rate."""
    rates = learning_rates(run.scalars)
    keys = (key for key in shown_scalars(run.scalars) if key not in rates and key.startswith("train/"))
    first = next(keys, None)
    return "" if first is None else format_value(run.scalars[first].value)


def _name_width(runs: Sequence[Run], layout: LineLayout) -> int:
    return max(Text(name_text(run, is_ascii=layout.is_ascii)).cell_len for run in runs)


def _aligned(text: str, width: int, is_right: bool) -> str:
    return f"{text:>{width}}" if is_right else f"{text:<{width}}"
