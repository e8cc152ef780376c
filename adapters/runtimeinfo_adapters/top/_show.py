"""Show the live runs, once or until a key is pressed: drawn on a terminal, or as JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from runtimeinfo.board import board_folder
from runtimeinfo_adapters.top._draw import draw_runs
from runtimeinfo_adapters.top._json import json_document, json_line
from runtimeinfo_adapters.top._layout import layout_of
from runtimeinfo_adapters.top._terminal import Terminal, make_console
from runtimeinfo_adapters.top._view import View
from runtimeinfo_adapters.top._watch import Run, Runs, Timestamp

# For --once: a rate takes several looks.
_LOOK_INTERVAL_S = 0.05
_ONCE_S = 0.5
_ONCE_WITHOUT_RATE_S = 2.0


def show(
    *,
    once: bool = False,
    as_json: bool = False,
    interval: float = 0.5,
    pid: int | None = None,
    stalled_after: float = 30.0,
    all_users: bool = False,
    checks: bool = False,
    mouse: bool = True,
) -> None:
    """Show the live runs of this user until q or Ctrl-C is pressed.

    If the output is not a terminal that can be drawn on, the runs are shown once.

    Args:
        once: Whether to show the runs once, after watching them for half a second; for up to two seconds if one
            trains so slowly that its rate is not known by then.
        as_json: Whether to write a JSON document in a line; without `once`, one each interval. See `schema`.
        interval: The seconds between two looks.
        pid: The process whose runs to show; by default, those of all processes.
        stalled_after: The seconds without any write after which a run counts as stalled, at least.
        all_users: Whether to show the runs of all users of this machine, which root alone can read.
        checks: Whether to show the runs that the conformance kit makes, too.
        mouse: Whether to read the mouse. Without it, the terminal keeps it, for example to select text.

    Raises:
        BoardError: If the folder for boards belongs to another user, or is open to others; or if the runs of all
            users are asked for by a user other than root.

    Example:
        >>> show(once=True, pid=1)  # doctest: +ELLIPSIS
        runtimeinfo top  no runs ...
        <BLANKLINE>
          No run of process 1 is seen in ...
    """
    runs = Runs(pid=pid, stalled_after=stalled_after, all_users=all_users)
    try:
        if as_json and once:
            _write_json(_shown(_watched(runs), checks=checks))
        elif as_json:
            _write_lines(runs, interval, checks=checks)
        else:
            console = make_console()
            if once or not sys.stdout.isatty() or not console.is_terminal or console.is_dumb_terminal:
                _print(console, _shown(_watched(runs), checks=checks), pid)
            else:
                _watch(console, runs, View(str(board_folder()), pid=pid, has_checks=checks), interval, mouse=mouse)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone. What is still flushed at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _watched(runs: Runs) -> list[Run]:
    begin = time.monotonic()
    seen = runs.look()
    while any(run.state == "live" for run in seen):
        elapsed = time.monotonic() - begin
        if elapsed >= (_ONCE_S if runs.has_rate else _ONCE_WITHOUT_RATE_S):
            break
        time.sleep(_LOOK_INTERVAL_S)
        seen = runs.look()
    return seen


def _shown(runs: Sequence[Run], *, checks: bool) -> Sequence[Run]:
    return runs if checks else [run for run in runs if not run.is_check]


def _write_json(runs: Sequence[Run]) -> None:
    sys.stdout.write(f"{json_line(json_document(runs, time.time_ns()))}\n")
    sys.stdout.flush()


def _write_lines(runs: Runs, interval: float, *, checks: bool) -> None:
    try:
        while True:
            _write_json(_shown(runs.look(), checks=checks))
            time.sleep(interval)
    except KeyboardInterrupt:  # the only way to end it
        pass


def _print(console: Console, runs: Sequence[Run], pid: int | None) -> None:
    for each in draw_runs(runs, layout_of(console, console.width), folder=str(board_folder()), pid=pid):
        console.print(each, no_wrap=True, overflow="ignore", crop=False)


def _watch(console: Console, runs: Runs, view: View, interval: float, *, mouse: bool) -> None:
    try:
        with Terminal(console, has_mouse=mouse) as terminal:
            due = 0.0
            while not view.is_done:
                now = Timestamp.now()
                if view.wants_look or (now.monotonic_s >= due and not view.is_paused):
                    view.show(runs.look(now))
                    view.wants_look = False
                    due = now.monotonic_s + interval
                width, height = console.size
                terminal.draw(view.draw(layout_of(console, width), height))
                for event in terminal.events(max(due - time.monotonic(), interval if view.is_paused else 0.0)):
                    view.handle(event)
    except KeyboardInterrupt:
        pass
