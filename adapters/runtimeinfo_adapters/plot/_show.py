"""Plot sources: into a file, a window, or a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from rich.text import Text

from runtimeinfo_adapters.plot._curves import Axis, RunCurves, SourceError
from runtimeinfo_adapters.plot._drawing import draw_picture
from runtimeinfo_adapters.plot._figure import check_output, draw_on, figure_of, load_matplotlib, size_of, write_figure
from runtimeinfo_adapters.plot._live import Watch
from runtimeinfo_adapters.plot._panels import Picture, picture_of
from runtimeinfo_adapters.plot._sources import is_live, read_source, short_names
from runtimeinfo_adapters.top._layout import layout_of
from runtimeinfo_adapters.top._terminal import Terminal, make_console

_REDRAW_S = 0.5
_MOST_WIDTH = 110
_MOST_POINTS = 4000
# The keys that end a watch.
_ENDING = {"q", "Q", "ctrl_c", "ctrl_d"}


class _PictureOf(Protocol):
    def __call__(self, most_points: int, *, is_final: bool) -> Picture: ...


def plot(
    sources: Sequence[str],
    *,
    output: str | None = None,
    scalars: Sequence[str] = (),
    axis: Axis | None = None,
    smoothing: float = 0.0,
    log: bool = False,
    step: str | None = None,
    seconds: float | None = None,
    in_terminal: bool = False,
    report: Callable[[str], object] = lambda _: None,
) -> list[SourceError]:
    """Plot the scalars of runs: into a file, otherwise into a window where there is a display, otherwise as text.

    Args:
        sources: Files, folders and live runs. Live runs are watched until they end, until Ctrl-C, or for `seconds`.
        output: The file to write; ``-`` is the standard output.
        scalars: Patterns such as ``val/*`` of the scalars to show; all by default.
        axis: What the values are placed by; by default, iter if all of them know it, and otherwise epoch.
        smoothing: The weight of the past in a moving average, from 0 to below 1; the raw curve stays behind it.
        log: Whether values are on a logarithmic scale.
        step: The column of the steps of CSV and JSON Lines; by default, one of the usual names.
        seconds: How long to watch live runs.
        in_terminal: Whether to draw text also where there is a display.
        report: It is called with each note on what is left out.

    Returns:
        An error for each source that cannot be read; the others are plotted.

    Raises:
        PlotOptionError: If an option asks for what cannot be.
        ModuleNotFoundError: If a package is not installed; the message names the extra.
    """
    picture_of((), smoothing=smoothing)  # raises if that is out of range
    if output is not None:
        check_output(output)
    read, problems = _read(sources, step)
    try:
        watch = Watch([each for each in sources if is_live(each)])
    except SourceError as error:  # none of them can be read
        problems.append(error)
        watch = Watch(())
    problems += watch.problems
    for run in read:
        for note in run.notes:
            report(f"{run.source}: {note}")

    def picture(most_points: int, *, is_final: bool) -> Picture:
        return picture_of(
            [run for run in (*read, *watch.curves()) if run.curves],
            scalars=scalars,
            axis=axis,
            smoothing=smoothing,
            log=log,
            most_points=most_points,
            must_match=is_final,
        )

    if not read and watch.is_over and not watch.curves():
        return problems
    plt = None if output is not None or in_terminal or not sys.stdout.isatty() else _pyplot()
    if output is not None:
        watch.watch(seconds)
        shown = picture(_MOST_POINTS, is_final=True)
        if shown.panels:
            write_figure(figure_of(shown), output)
    elif plt is None:
        shown = _show_text(picture, watch, seconds)
    else:
        shown = _show_window(plt, picture, watch, seconds)
    if shown.left_out:
        report(f"{len(shown.left_out)} more scalars have no place: choose some with --scalar")
    empty = [_empty(run) for run in (*read, *watch.curves()) if not run.curves]
    return [*problems, *empty, *shown.problems]


def _empty(run: RunCurves) -> SourceError:
    return SourceError(
        f"{run.name} has no scalar, in {run.source}. Publish some with update_scalar, and look again", source=run.source
    )


def _read(sources: Sequence[str], step: str | None) -> tuple[list[RunCurves], list[SourceError]]:
    files = [each for each in sources if not is_live(each)]
    runs: list[RunCurves] = []
    problems: list[SourceError] = []
    for given, name in zip(files, short_names(files), strict=True):
        try:
            runs += read_source(given, name, step)
        except SourceError as error:
            problems.append(error)
    return runs, problems


def _show_text(picture: _PictureOf, watch: Watch, seconds: float | None) -> Picture:
    console = make_console()

    def drawn(width: int, height: int | None, *, is_final: bool) -> tuple[Picture, list[Text]]:
        width = min(width, _MOST_WIDTH)
        layout = layout_of(console, width)
        found = picture(max(4, 8 * width), is_final=is_final)
        return found, draw_picture(found, layout, height=height, has_colors=console.color_system is not None)

    if not watch.is_over and console.is_terminal and not console.is_dumb_terminal:
        with Terminal(console, has_mouse=False) as terminal:

            def redraw() -> None:
                width, height = console.size
                terminal.draw(drawn(width, height, is_final=False)[1])

            redraw()
            watch.watch(seconds, _every(_REDRAW_S, redraw), lambda pause: _ENDING & {*terminal.events(pause)})
    else:
        watch.watch(seconds)
    found, lines = drawn(console.width, None, is_final=True)
    for line in lines:
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    return found


def _show_window(plt: Any, picture: _PictureOf, watch: Watch, seconds: float | None) -> Picture:
    shown = picture(_MOST_POINTS, is_final=False)
    figure = plt.figure(figsize=size_of(shown), layout="constrained")
    draw_on(figure, shown)

    def wait(seconds: float) -> bool:
        plt.pause(seconds)
        return not plt.fignum_exists(figure.number)  # it was closed

    def redraw() -> None:
        draw_on(figure, picture(_MOST_POINTS, is_final=False))

    watch.watch(seconds, _every(_REDRAW_S, redraw), wait)
    shown = picture(_MOST_POINTS, is_final=True)
    if plt.fignum_exists(figure.number):
        draw_on(figure, shown)
        with suppress(KeyboardInterrupt):
            plt.show()
    return shown


def _every(seconds: float, act: Callable[[], object]) -> Callable[[], None]:
    due = 0.0

    def maybe() -> None:
        nonlocal due
        if time.monotonic() >= due:
            act()
            due = time.monotonic() + seconds

    return maybe


def _pyplot() -> Any:
    """Return pyplot if it can open a window, otherwise None."""
    has_display = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if not has_display:
        return None
    with suppress(ImportError):
        load_matplotlib()
        import matplotlib.pyplot as plt
        from matplotlib.backends.registry import BackendFilter, backend_registry

        windows = cast("Any", backend_registry).list_builtin(BackendFilter.INTERACTIVE)
        if plt.get_backend().lower() in {name.lower() for name in windows}:
            return plt
    return None
