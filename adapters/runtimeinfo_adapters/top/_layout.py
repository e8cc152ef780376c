"""Fit texts, bars and curves into the lines of a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from rich.cells import get_character_cell_size
from rich.console import Console
from rich.text import Text

_ROUNDING = 1e-12


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
        folded: The mark of a job whose ranks are not shown.
        unfolded: The mark of a job whose ranks are shown.
        chosen: The mark of the chosen line of a list.
        axis: The line beside a curve.
        up: The mark of an ascending order.
        down: The mark of a descending order.
        cursor: The end of a text that is being typed.
    """

    levels: str
    broken: str
    done: str
    left: str
    dot: str
    ellipsis: str
    between: str
    folded: str
    unfolded: str
    chosen: str
    axis: str
    up: str
    down: str
    cursor: str


UNICODE = Glyphs(
    levels="▁▂▃▄▅▆▇█",
    broken="!",
    done="━",
    left="┄",
    dot="●",
    ellipsis="…",
    between=" · ",
    folded="▸",
    unfolded="▾",
    chosen="▸",
    axis="│",
    up="↑",
    down="↓",
    cursor="█",
)
ASCII = Glyphs(
    levels="_.-=+*#",
    broken="!",
    done="#",
    left=".",
    dot="*",
    ellipsis="~",
    between=", ",
    folded="+",
    unfolded="-",
    chosen=">",
    axis="|",
    up="^",
    down="v",
    cursor="_",
)
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


def layout_of(console: Console, width: int) -> LineLayout:
    """Return the layout of lines of a width, with characters that the console can show."""
    return LineLayout(width, ASCII if console.options.ascii_only else UNICODE)


class Action(NamedTuple):
    """A meaning of a place on the screen, for the mouse.

    Attributes:
        kind: ``"row"``, ``"fold"``, ``"sort"``, ``"scalar"``, ``"rank"``, or ``"key"``.
        value: The key of the row, the title of the order, the key of the scalar, or the key to press.
    """

    kind: str
    value: str


@dataclass
class Drawing:
    """Lines, and what a click on a place of them means.

    Attributes:
        lines: The lines.
        places: For each place its line, its first column, the one after its last, and its meaning. Of two that
            overlap, the later one counts.
    """

    lines: list[Text] = field(default_factory=list[Text])
    places: list[tuple[int, int, int, Action]] = field(default_factory=list[tuple[int, int, int, Action]])

    def add(self, line: Text, action: Action | None = None) -> None:
        """Add a line, all of which has a meaning."""
        if action is not None:
            self.place(0, 1 << 16, action, line=len(self.lines))
        self.lines.append(line)

    def place(self, begin: int, end: int, action: Action, *, line: int | None = None) -> None:
        """Give a meaning to a part of a line; by default, of the last one."""
        self.places.append((len(self.lines) - 1 if line is None else line, begin, end, action))

    def extend(self, other: Drawing) -> None:
        """Add all lines of another drawing."""
        first = len(self.lines)
        self.lines += other.lines
        self.places += [(first + line, begin, end, action) for line, begin, end, action in other.places]

    def cut(self, begin: int, end: int) -> Drawing:
        """Return some of the lines."""
        return Drawing(
            self.lines[begin:end],
            [(line - begin, left, right, action) for line, left, right, action in self.places if begin <= line < end],
        )

    def action_at(self, line: int, column: int) -> Action | None:
        """Return the meaning of a place."""
        found = [each for at, begin, end, each in self.places if at == line and begin <= column < end]
        return found[-1] if found else None


def wrapped(text: str, width: int) -> list[str]:
    """Break a printable text into lines of a width, at a blank if one is near the end of the line.

    Args:
        text: A text without control characters.
        width: The columns of a line, at least 2.

    Example:
        >>> wrapped("python train.py --epochs 3", width=16)
        ['python train.py', '--epochs 3']
    """
    lines: list[str] = []
    begin = blank = used = 0
    for at, character in enumerate(text):
        size = get_character_cell_size(character)
        if used + size > width and character == " ":
            lines.append(text[begin:at].rstrip(" "))
            begin, used = at + 1, 0
            continue
        if used + size > width:
            end = blank if blank > begin + (at - begin) // 2 else at
            lines.append(text[begin:end].rstrip(" "))
            begin = end
            used = sum(map(get_character_cell_size, text[begin:at]))
        used += size
        if character == " ":
            blank = at + 1
    return [*lines, text[begin:]]


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
    shown = _averaged(values, width)
    low, high = finite_range(shown)
    last = len(glyphs.levels) - 1
    return "".join(
        glyphs.levels[_level(each, low, high, last)] if math.isfinite(each) else glyphs.broken for each in shown
    )


def large_curve(values: Sequence[float], width: int, height: int, glyphs: Glyphs = UNICODE) -> list[str]:
    """Return values as columns of a height between their minimum and their maximum, the highest line first.

    Fewer values than characters are stretched, and more are averaged.

    Args:
        values: The values. One that is not finite gets a special character in the lowest line.
        width: The number of characters of each line.
        height: The number of lines.
        glyphs: The characters to draw with.

    Example:
        >>> for line in large_curve([0, 4, 8], width=3, height=2):
        ...     print(line)
         ▁█
        ▁██
    """
    if width < 1 or height < 1 or not values:
        return [""] * max(height, 0)
    shown = _averaged(values, width)
    shown = [shown[at * len(shown) // width] for at in range(width)]
    low, high = finite_range(shown)
    each_line = len(glyphs.levels)
    # The lowest value is drawn too.
    levels = [_level(each, low, high, each_line * height - 1) + 1 if math.isfinite(each) else None for each in shown]
    lines: list[str] = []
    for line in reversed(range(height)):
        below = line * each_line
        lines.append("".join(_part(level, below, is_lowest=line == 0, glyphs=glyphs) for level in levels))
    return lines


def _part(level: int | None, below: int, *, is_lowest: bool, glyphs: Glyphs) -> str:
    if level is None:
        return glyphs.broken if is_lowest else " "
    part = min(level - below, len(glyphs.levels))
    return glyphs.levels[part - 1] if part > 0 else " "


def finite_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest of the values that are finite; two zeros if none is."""
    finite = [each for each in values if math.isfinite(each)]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def _averaged(values: Sequence[float], width: int) -> list[float]:
    many = len(values)
    if many <= width:
        return list(values)
    bounds = [many * place // width for place in range(width + 1)]
    parts = [values[begin:end] for begin, end in pairwise(bounds)]
    return [sum(each / len(part) for each in part) for part in parts]


def _level(value: float, low: float, high: float, last: int) -> int:
    # Halves: the difference of two finite numbers may be infinite.
    span = high / 2 - low / 2
    # Equal values differ by a rounding error once they are averaged.
    is_flat = span <= _ROUNDING * max(abs(low), abs(high))
    return last // 2 if is_flat else round((value / 2 - low / 2) / span * last)
