"""The command ``runtimeinfo top``: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from runtimeinfo import BoardError
from runtimeinfo_conformance.command_line._cli import UNTRUSTED, refuse
from runtimeinfo_conformance.command_line._options import finite


def top(
    once: Annotated[bool, typer.Option("--once", help="Show the runs once, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON: a document, or one in a line each look.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(min=0.1, metavar="SECONDS", callback=finite, help="The time between two looks."),
    ] = 0.5,
    pid: Annotated[int | None, typer.Option(min=1, help="Show the runs of this process alone.")] = None,
    stalled_after: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", callback=finite, help="Without any write for so long, a run is stalled."
        ),
    ] = 30.0,
    all_users: Annotated[bool, typer.Option("--all-users", help="Show the runs of all users, as root.")] = False,
    kit: Annotated[bool, typer.Option("--kit", help="Show the runs that the conformance kit makes, too.")] = False,
    no_mouse: Annotated[
        bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal, for example to select text.")
    ] = False,
) -> None:
    """Show the live runs of this user: where each is, how fast, and how its losses go.

    It needs no change in a training, and works for every framework. Arrows and the mouse select a run, Enter shows its
    details, h lists all keys, and q or Ctrl-C quits. Where there is no terminal, it shows the runs once.

    Exit codes: 0, also where there is no run; 1 the folder for boards belongs to another user or cannot be read, or
    --all-users is not given by root; 64 an invalid command line.

    Example: runtimeinfo top

    Example: runtimeinfo top --once --json
    """
    from runtimeinfo_adapters.top import show

    try:
        show(
            once=once,
            as_json=as_json,
            interval=interval,
            pid=pid,
            stalled_after=stalled_after,
            all_users=all_users,
            checks=kit,
            mouse=not no_mouse,
        )
    except BoardError as error:
        refuse(error, UNTRUSTED)
