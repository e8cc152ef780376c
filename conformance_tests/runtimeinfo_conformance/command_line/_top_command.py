"""The command ``runtimeinfo top``, which needs nothing of the kit."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from runtimeinfo import BoardError
from runtimeinfo_adapters.top import show
from runtimeinfo_conformance.command_line._leave import Leave

_UNTRUSTED = 1

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


def _finite(seconds: float) -> float:
    if math.isfinite(seconds):
        return seconds
    raise typer.BadParameter("it must be a finite number")


@app.callback()
def _no_other_command() -> None:
    """Have the command called by its name, though it is the only one here."""


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Show them once, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON: a document, or one in a line each look.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(min=0.1, metavar="SECONDS", callback=_finite, help="What to leave between two looks."),
    ] = 0.5,
    pid: Annotated[int | None, typer.Option(min=1, help="Show the runs of this process alone.")] = None,
    stalled_after: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", callback=_finite, help="Without any write for so long, a run is stalled."
        ),
    ] = 30.0,
) -> None:
    """Show the live runs of this user: where each is, how fast, and how its losses go.

    It needs no change in a training, and works for every framework. q or Ctrl-C ends it. Where there is no terminal,
    it shows them once.

    Exit codes: 0, also where there is no run; 1 the folder for boards is somebody else's, or cannot be read;
    64 the command line asks for what cannot be.

    Example: runtimeinfo top

    Example: runtimeinfo top --once --json
    """
    try:
        show(once=once, as_json=as_json, interval=interval, pid=pid, stalled_after=stalled_after)
    except BoardError as error:
        typer.echo(f"runtimeinfo: {error}", err=True)
        raise Leave(_UNTRUSTED) from None
