"""Showing the runs: once or all the time, to people or to scripts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from runtimeinfo.board import board_folder
from runtimeinfo_adapters.top._canvas import Canvas
from runtimeinfo_adapters.top._glyphs import ASCII, UNICODE
from runtimeinfo_adapters.top._json import document, line
from runtimeinfo_adapters.top._moment import Moment
from runtimeinfo_adapters.top._picture import picture
from runtimeinfo_adapters.top._run import Run
from runtimeinfo_adapters.top._runs import Runs
from runtimeinfo_adapters.top._terminal import Terminal

# For --once: a rate takes several looks.
_GLANCE_S = 0.05
_SHORT_S = 0.5
_LONG_S = 2.0


def show(
    *,
    once: bool = False,
    as_json: bool = False,
    interval: float = 0.5,
    pid: int | None = None,
    stalled_after: float = 30.0,
) -> None:
    """Show the live runs of this user, until somebody presses q or Ctrl-C.

    Where the output is no terminal that can be drawn on, it shows them once.

    Args:
        once: Whether to show them once, after having watched them for half a second; where one trains so slowly
            that its rate is not known by then, for up to two seconds.
        as_json: Whether to write a JSON document in a line; without `once` one each interval. See docs/top.md.
        interval: How many seconds to leave between two looks.
        pid: The process whose runs to show; those of all if left out.
        stalled_after: After how many seconds without any write a run counts as stalled, at least.

    Raises:
        BoardError: If the folder for boards is somebody else's, or open to others.

    Example:
        >>> show(once=True, pid=1)  # doctest: +ELLIPSIS
        runtimeinfo top  no runs ...
        <BLANKLINE>
          No run of process 1 is seen in ...
    """
    runs = Runs(pid=pid, stalled_after=stalled_after)
    try:
        if as_json and once:
            _write_json(_watched(runs))
        elif as_json:
            _write_lines(runs, interval)
        else:
            console = _console()
            if once or not sys.stdout.isatty() or console.is_dumb_terminal:
                _print(console, _watched(runs), pid)
            else:
                _watch(console, runs, interval, pid)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever was reading has seen enough. What is still to be flushed at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _watched(runs: Runs) -> list[Run]:
    """Return the runs, after having watched them for a while."""
    begin = time.monotonic()
    seen = runs.look()
    while any(run.state == "live" for run in seen):
        elapsed = time.monotonic() - begin
        if elapsed >= (_LONG_S if runs.wants_rate else _SHORT_S):
            break
        time.sleep(_GLANCE_S)
        seen = runs.look()
    return seen


def _write_json(runs: Sequence[Run]) -> None:
    sys.stdout.write(f"{line(document(runs, time.time_ns()))}\n")
    sys.stdout.flush()


def _write_lines(runs: Runs, interval: float) -> None:
    try:
        while True:
            _write_json(runs.look())
            time.sleep(interval)
    except KeyboardInterrupt:  # the only way to end it
        pass


def _print(console: Console, runs: Sequence[Run], pid: int | None) -> None:
    for each in picture(runs, _canvas(console, console.width), folder=str(board_folder()), pid=pid):
        console.print(each, no_wrap=True, overflow="ignore", crop=False)


def _watch(console: Console, runs: Runs, interval: float, pid: int | None) -> None:
    screen = _Screen(pid)
    try:
        with Terminal(console) as terminal, _live(console, screen) as live:
            keys = ""
            due = 0.0
            while not set(keys) & set("qQ\x03\x04"):
                now = Moment.now()
                if now.at >= due:
                    screen.runs = runs.look(now)
                    due = now.at + interval
                live.refresh()
                keys = terminal.keys(due - time.monotonic())
    except KeyboardInterrupt:
        pass


def _live(console: Console, screen: _Screen) -> Live:
    return Live(screen, console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


class _Screen:
    """Draws the runs into whatever size there is when it is drawn."""

    def __init__(self, pid: int | None) -> None:
        self.runs: Sequence[Run] = ()
        self._pid = pid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        canvas = _canvas(console, options.max_width)
        height = options.height or console.height
        yield Text("\n").join(picture(self.runs, canvas, height=height, folder=str(board_folder()), pid=self._pid))


def _canvas(console: Console, width: int) -> Canvas:
    return Canvas(width, ASCII if console.options.ascii_only else UNICODE)


def _console() -> Console:
    out: Any = sys.stdout
    # A name that the encoding of the output lacks is no reason to show nothing.
    if hasattr(out, "reconfigure") and out.errors == "strict":
        out.reconfigure(errors="backslashreplace")
    return Console(file=out, highlight=False, emoji=False, markup=False)
