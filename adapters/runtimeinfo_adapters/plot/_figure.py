"""Draw a picture with matplotlib."""

from __future__ import annotations

import io
import math
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters.plot._curves import Floats
from runtimeinfo_adapters.plot._panels import Line, Panel, Picture, PlotOptionError
from runtimeinfo_adapters.top._format import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH_IN, _HEIGHT_IN, _DPI = 4.8, 2.9, 120
_MOST_COLUMNS = 3
_LEGEND_COLUMNS = 4
_LEGEND_LINE_IN = 0.25
# So few points are marked: a line of one point would not be seen.
_MOST_MARKED = 40
# What is not finite: the marker, and its height in the panel.
_BROKEN = {"nan": ("x", 0.03), "-inf": ("v", 0.03), "inf": ("^", 0.97)}
# Beyond them, the limits of an axis overflow.
_LARGEST, _LEAST = 1e200, 1e-200


def load_matplotlib() -> Any:
    """Return matplotlib.

    Raises:
        ModuleNotFoundError: If it is not installed; the message names the extra.
    """
    return import_of_extra("matplotlib", distribution="matplotlib", extra="plot", used_by="runtimeinfo plot")


def figure_of(picture: Picture) -> Figure:
    """Return a picture as a figure of matplotlib, which needs no display.

    Each run has one entry in the legend. The labels of the lines in a panel are the names of the runs; ``_raw`` for
    what was smoothed, and ``_nan``, ``_inf`` and ``_-inf`` for the marks of what is not finite.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed; the message names the extra.
    """
    load_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_of(picture), dpi=_DPI, layout="constrained")
    draw_on(figure, picture)
    return figure


def size_of(picture: Picture) -> tuple[float, float]:
    """Return the width and height of a figure in inches."""
    rows, columns = _grid(len(picture.panels))
    return columns * _WIDTH_IN, rows * _HEIGHT_IN + math.ceil(len(picture.runs) / _LEGEND_COLUMNS) * _LEGEND_LINE_IN


def draw_on(figure: Figure, picture: Picture) -> None:
    """Draw a picture on a figure, in place of what it has.

    Args:
        figure: A figure of matplotlib.
        picture: The picture.
    """
    from matplotlib.lines import Line2D

    figure.clear()
    rows, columns = _grid(len(picture.panels))
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(picture.panels) :]:
        axes.remove()
    colors = _colors(len(picture.runs))
    for axes, panel in zip(grid.flat, picture.panels, strict=False):
        _draw_panel(axes, panel, picture, colors)
    handles = [Line2D([], [], color=color) for color in colors]
    # The texts afterwards: matplotlib leaves labels out that begin with an underscore.
    legend: Any = cast("Any", figure).legend(
        handles,
        list(map(str, range(len(handles)))),
        loc="outside lower center",
        ncols=min(len(handles), _LEGEND_COLUMNS) or 1,
        frameon=False,
    )
    for text, name in zip(legend.get_texts(), picture.runs, strict=True):
        text.set_text(printable(name))
        text.set_parse_math(False)


def write_figure(figure: Figure, output: str) -> None:
    """Write a figure in the format that the name ends in: PNG if in none. ``-`` is the standard output.

    Raises:
        PlotOptionError: If it cannot be written.
    """
    image = io.BytesIO()
    with warnings.catch_warnings():
        # A name may have characters that no font here has: they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        cast("Any", figure).savefig(image, format=_format(output))
    if output == "-":
        sys.stdout.buffer.write(image.getvalue())
        return
    try:
        Path(output).write_bytes(image.getvalue())
    except OSError as error:
        raise PlotOptionError(
            f"{output} cannot be written: {error.strerror or error}. Give -o a path that can be"
        ) from error


def check_output(output: str) -> None:
    """Raise if a figure cannot be written there, before anything is read.

    Raises:
        PlotOptionError: If the format is not one of matplotlib's, or there is no such folder.
        ModuleNotFoundError: If matplotlib is not installed; the message names the extra.
    """
    load_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if _format(output) not in known:
        raise PlotOptionError(f"{output} ends in no known format. Give one of {', '.join(sorted(known))}")
    path = Path(output)
    if output != "-" and (path.is_dir() or not path.parent.is_dir()):
        problem = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise PlotOptionError(f"{output} cannot be written: {problem}. Give -o a path that can be")


def _format(output: str) -> str:
    return Path(output).suffix[1:].lower() or "png"


def _grid(panels: int) -> tuple[int, int]:
    columns = min(_MOST_COLUMNS, max(1, math.ceil(math.sqrt(panels))))
    return max(1, math.ceil(panels / columns)), columns


def _colors(many: int) -> list[Any]:
    from matplotlib import colormaps

    if many <= 10:
        return [f"C{number}" for number in range(many)]
    return list(colormaps["turbo"](np.linspace(0.05, 0.95, many)))


def _draw_panel(axes: Any, panel: Panel, picture: Picture, colors: list[Any]) -> None:
    axes.set_title(printable(panel.key), fontsize="medium", parse_math=False)
    axes.set_xlabel(picture.axis_label, fontsize="small")
    axes.grid(visible=True, alpha=0.3)
    if panel.is_log:
        axes.set_yscale("log")
    for line in panel.lines:
        _draw_line(axes, line, picture, colors[line.run], is_log=panel.is_log)
    hidden = sum(line.hidden for line in panel.lines)
    if hidden:
        axes.text(
            0.99,
            0.01,
            f"not shown, as 0 or less: {hidden}",
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize="x-small",
        )


def _draw_line(axes: Any, line: Line, picture: Picture, color: Any, *, is_log: bool) -> None:
    if line.raw is not None:
        positions, values = _drawable(line.raw_positions, line.raw, picture, is_log=is_log)
        axes.plot(positions, values, color=color, alpha=0.25, linewidth=0.8, label="_raw")
    positions, values = _drawable(line.positions, line.values, picture, is_log=is_log)
    name = picture.runs[line.run]
    marker = "." if np.isfinite(values).sum() <= _MOST_MARKED else ""
    (drawn,) = axes.plot(positions, values, color=color, linewidth=1.3, marker=marker)
    drawn.set_label(name)
    alone = _alone(values)
    if not marker and alone.any():
        axes.plot(positions[alone], values[alone], color=color, linestyle="", marker=".", label="_alone")
    for kind, places in line.broken.items():
        marker, height = _BROKEN[kind]
        axes.plot(
            _dated(places, picture),
            np.full(len(places), height),
            color=color,
            linestyle="",
            marker=marker,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            label=f"_{kind}",
        )


def _drawable(positions: Floats, values: Floats, picture: Picture, *, is_log: bool) -> tuple[Any, Floats]:
    is_hidden = ~np.isfinite(values) | (values <= 0 if is_log else False)
    shown = np.clip(values, _LEAST if is_log else -_LARGEST, _LARGEST)
    return _dated(positions, picture), np.where(is_hidden, np.nan, shown)


def _dated(positions: Floats, picture: Picture) -> Any:
    return (positions * 1e3).astype("datetime64[ms]") if picture.axis == "wall" else positions


def _alone(values: Floats) -> Any:
    # Between two gaps: a line would not show it.
    finite = np.concatenate([[False], np.isfinite(values), [False]])
    return finite[1:-1] & ~finite[:-2] & ~finite[2:]
