"""Draw a picture as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.text import Text

from runtimeinfo_adapters.plot._curves import Floats
from runtimeinfo_adapters.plot._panels import Line, Panel, Picture
from runtimeinfo_adapters.top._format import format_value, printable
from runtimeinfo_adapters.top._layout import LineLayout

_COLORS = ("cyan", "yellow", "magenta", "green", "red", "blue", "bright_cyan", "bright_yellow", "bright_magenta")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LABEL_WIDTH = 10
_HEIGHT, _LEAST_HEIGHT = 8, 3
# The lines of a panel beside its curves: the title, the axis and its numbers, and a blank one.
_AROUND = 4

# The dots of a Braille character, by row and column.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_DOT_ROWS, _DOT_COLUMNS = _DOTS.shape


def draw_picture(
    picture: Picture, layout: LineLayout, *, height: int | None = None, has_colors: bool = True
) -> list[Text]:
    """Return the lines that show a picture: its panels one below the other, and the names of the runs.

    Several runs differ in their colours; without colours, in their letters. If the panels do not fit, they get lower,
    and the last ones are counted.

    Args:
        picture: The picture.
        layout: The layout of a line.
        height: The greatest number of lines; by default, it is not limited.
        has_colors: Whether the terminal has colours.
    """
    letters = len(picture.runs) > 1 and not has_colors
    names = [_legend(picture, number, layout, letters=letters) for number in range(len(picture.runs))]
    panels = picture.panels
    each = _HEIGHT
    if height is not None:
        names = names[: max(1, height // 3)]
        free = height - len(names)
        each = min(_HEIGHT, max(_LEAST_HEIGHT, free // max(len(panels), 1) - _AROUND))
        panels = panels[: max(1, free // (each + _AROUND))]
    lines: list[Text] = []
    for panel in panels:
        lines += [*_panel(panel, picture, layout, each, letters=letters), Text()]
    missing = len(picture.panels) - len(panels) + len(picture.left_out)
    if missing:
        lines.append(layout.fitted(Text(f"{layout.glyphs.ellipsis} and {missing} more scalars", style="bright_black")))
    lines += names
    for line in lines:
        line.rstrip()
    return lines[:height]


def _legend(picture: Picture, run: int, layout: LineLayout, *, letters: bool) -> Text:
    mark = _LETTERS[run % len(_LETTERS)] if letters else layout.glyphs.dot
    name = printable(picture.runs[run], is_ascii=layout.is_ascii)
    return layout.fitted(Text.assemble((f"{mark} ", _COLORS[run % len(_COLORS)]), name))


def _panel(panel: Panel, picture: Picture, layout: LineLayout, height: int, *, letters: bool) -> list[Text]:
    width = max(layout.width - _LABEL_WIDTH - 2, 1)
    low, high = _range([_scaled(line.values, panel) for line in panel.lines])
    begin, end = _range([line.positions for line in panel.lines])
    dots = np.zeros((height * _DOT_ROWS, width * _DOT_COLUMNS), dtype=np.int64)
    for line in panel.lines:
        _draw(dots, line, panel, (begin, end), (low, high))
    title = Text(printable(panel.key, is_ascii=layout.is_ascii), style="bold")
    if panel.is_log:
        title.append("  log", style="bright_black")
    hidden = sum(line.hidden for line in panel.lines)
    if hidden:
        title.append(f"  not shown, as 0 or less: {hidden}", style="bright_black")
    lines = [layout.fitted(title)]
    cells = dots.reshape(height, _DOT_ROWS, width, _DOT_COLUMNS).transpose(0, 2, 1, 3)
    for row in range(height):
        label = {0: _unscaled(high, panel), height - 1: _unscaled(low, panel)}.get(row)
        text = "" if label is None else format_value(label)
        before = Text(f"{text:>{_LABEL_WIDTH}} {layout.glyphs.axis}", style="bright_black")
        lines.append(Text.assemble(before, _characters(cells[row], layout, letters=letters)))
    broken = _broken_columns(panel, (begin, end), width)
    axis = "".join(layout.glyphs.broken if each else ("-" if layout.is_ascii else "─") for each in broken)
    corner = "+" if layout.is_ascii else "└"
    lines.append(Text.assemble((f"{'':>{_LABEL_WIDTH}} {corner}", "bright_black"), _marked(axis, layout)))
    lines.append(_numbers(picture, layout, begin, end, width))
    return [layout.fitted(line) for line in lines]


def _marked(axis: str, layout: LineLayout) -> Text:
    text = Text(axis, style="bright_black")
    text.highlight_words([layout.glyphs.broken], style="bold red")
    return text


def _numbers(picture: Picture, layout: LineLayout, begin: float, end: float, width: int) -> Text:
    first, last = (_position(each, picture) for each in (begin, end))
    name = picture.axis_label
    free = width - len(first) - len(last) - len(name)
    middle = f"{name:^{len(name) + max(free, 2)}}"
    return layout.fitted(Text(f"{'':>{_LABEL_WIDTH + 2}}{first}{middle}{last}", style="bright_black"))


def _position(position: float, picture: Picture) -> str:
    if picture.axis == "wall" and abs(position) < 1e11:
        return str(np.datetime64(int(position), "s")).replace("T", " ")
    return f"{position:.6g}"


def _scaled(values: Floats, panel: Panel) -> Floats:
    if not panel.is_log:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log10(values), np.nan)


def _unscaled(value: float, panel: Panel) -> float:
    return float(10.0**value) if panel.is_log else value


def _range(parts: Sequence[Floats]) -> tuple[float, float]:
    finite = np.concatenate([part[np.isfinite(part)] for part in parts] or [np.empty(0)])
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def _part(values: Floats, bounds: tuple[float, float]) -> Floats:
    """Return where values are between two bounds, from 0 to 1; in the middle, if the bounds are one."""
    low, high = bounds
    span = high / 2 - low / 2  # halves: the difference of two finite numbers may be infinite
    return np.full(len(values), 0.5) if span <= 0 else (values / 2 - low / 2) / span


def _draw(
    dots: npt.NDArray[np.int64], line: Line, panel: Panel, x_range: tuple[float, float], y_range: tuple[float, float]
) -> None:
    rows, columns = dots.shape
    across = _part(line.positions, x_range) * (columns - 1)
    down = (1 - _part(_scaled(line.values, panel), y_range)) * (rows - 1)
    finite = np.isfinite(down)
    dots[np.rint(down[finite]).astype(int), np.rint(across[finite]).astype(int)] = line.run + 1
    for at in np.flatnonzero(finite[:-1] & finite[1:]):
        steps = int(max(abs(across[at + 1] - across[at]), abs(down[at + 1] - down[at]))) + 2
        between = np.linspace(0.0, 1.0, steps)
        x = across[at] + between * (across[at + 1] - across[at])
        y = down[at] + between * (down[at + 1] - down[at])
        dots[np.rint(y).astype(int), np.rint(x).astype(int)] = line.run + 1


def _characters(cells: npt.NDArray[np.int64], layout: LineLayout, *, letters: bool) -> Text:
    # Of shape (width, rows of dots, columns of dots); a cell has the colour of the run that was drawn last.
    text = Text()
    for cell in cells:
        run = int(cell.max()) - 1
        if run < 0:
            text.append(" ")
        elif letters or layout.is_ascii:
            text.append(_LETTERS[run % len(_LETTERS)] if letters else "*", style=_COLORS[run % len(_COLORS)])
        else:
            text.append(chr(0x2800 + int(_DOTS[cell > 0].sum())), style=_COLORS[run % len(_COLORS)])
    return text


def _broken_columns(panel: Panel, x_range: tuple[float, float], width: int) -> npt.NDArray[np.bool_]:
    broken = np.zeros(width, dtype=np.bool_)
    for line in panel.lines:
        for places in line.broken.values():
            broken[np.rint(np.clip(_part(places, x_range), 0, 1) * (width - 1)).astype(int)] = True
    return broken
