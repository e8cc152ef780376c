"""The command ``runtimeinfo plot``: its options, and its exit codes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from runtimeinfo_conformance.command_line._cli import NAME, USAGE, Leave, refuse
from runtimeinfo_conformance.command_line._options import finite

# As of `check`: a subject that cannot be found.
_NOT_READ = 4


class AxisName(StrEnum):
    """The axes, as choices on the command line."""

    ITER = "iter"
    EPOCH = "epoch"
    RELATIVE = "relative"
    WALL = "wall"


def _finite(seconds: float | None) -> float | None:
    return None if seconds is None else finite(seconds)


def plot(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE_OR_RUN...",
            help="CSV, JSON Lines, TensorBoard's event files, checkpoints, folders; or live runs, by process id, "
            "run id, job, experiment name or board.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write PNG, SVG or PDF; - is the standard output."),
    ] = None,
    scalar: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Show these scalars alone, as in 'val/*'; repeat it.")
    ] = None,
    x: Annotated[
        AxisName | None,
        typer.Option(show_default=False, help="The axis; iter by default, or epoch if that is all that is known."),
    ] = None,
    smooth: Annotated[
        float, typer.Option(min=0, max=0.999999, metavar="WEIGHT", help="Smooth as TensorBoard does, with this weight.")
    ] = 0.0,
    log: Annotated[bool, typer.Option("--log", help="Put the values on a logarithmic scale.")] = False,
    step: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the steps in CSV and JSON Lines.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=0, metavar="SECONDS", callback=_finite, help="Watch live runs for so long."),
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Draw text, also where there is a display.")] = False,
) -> None:
    """Plot the scalars of runs: into a file, into a window, or as text where there is no display.

    Several runs share the panels, one for each scalar. A live run is watched until it ends, or until Ctrl-C.

    Exit codes: 0; 4 a source cannot be found or read, or has no scalar, and the others are plotted; 64 the command line
    asks for what cannot be, or a package is missing.

    Example: runtimeinfo plot first.csv second.csv --smooth 0.6 -o losses.png

    Example: runtimeinfo plot digits --for 30 --scalar 'train/*'
    """
    from runtimeinfo_adapters.plot import PlotOptionError
    from runtimeinfo_adapters.plot import plot as plot_sources

    try:
        problems = plot_sources(
            sources,
            output=output,
            scalars=scalar or (),
            axis=None if x is None else x.value,
            smoothing=smooth,
            log=log,
            step=step,
            seconds=seconds,
            in_terminal=terminal,
            report=lambda note: typer.echo(f"{NAME}: {note}", err=True),
        )
    except (PlotOptionError, ModuleNotFoundError) as error:
        refuse(error, USAGE)
    for problem in problems:
        typer.echo(f"{NAME}: {problem}", err=True)
    if problems:
        raise Leave(_NOT_READ)
