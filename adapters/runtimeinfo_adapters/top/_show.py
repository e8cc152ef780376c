"""Show the live runs, once or until a key is pressed: drawn on a terminal, or as JSON."""

from __future__ import annotations

import json
import math
import os
import re
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from runtimeinfo.board import board_folder
from runtimeinfo_adapters.top._draw import draw_runs
from runtimeinfo_adapters.top._layout import ASCII, UNICODE, LineLayout
from runtimeinfo_adapters.top._watch import Run, Runs, Timestamp

# For --once: a rate takes several looks.
_LOOK_INTERVAL_S = 0.05
_ONCE_S = 0.5
_ONCE_WITHOUT_RATE_S = 2.0

_KEY_INTERVAL_S = 0.1
# What the arrows, and the keys above the numbers, send: F2 is not a Q.
_KEY_SEQUENCE = re.compile(r"\x1b(?:[\[O][0-9;]*.)?")

VERSION = 1
"""The version of the JSON document. It rises when a member is removed or changes its meaning, not for a new one."""

_LONGEST_TEXT = 1000


def show(
    *,
    once: bool = False,
    as_json: bool = False,
    interval: float = 0.5,
    pid: int | None = None,
    stalled_after: float = 30.0,
) -> None:
    """Show the live runs of this user until q or Ctrl-C is pressed.

    If the output is not a terminal that can be drawn on, the runs are shown once.

    Args:
        once: Whether to show the runs once, after watching them for half a second; for up to two seconds if one
            trains so slowly that its rate is not known by then.
        as_json: Whether to write a JSON document in a line; without `once`, one each interval. See docs/top.md.
        interval: The seconds between two looks.
        pid: The process whose runs to show; by default, those of all processes.
        stalled_after: The seconds without any write after which a run counts as stalled, at least.

    Raises:
        BoardError: If the folder for boards belongs to another user, or is open to others.

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


def _write_json(runs: Sequence[Run]) -> None:
    sys.stdout.write(f"{json_line(json_document(runs, time.time_ns()))}\n")
    sys.stdout.flush()


def _write_lines(runs: Runs, interval: float) -> None:
    try:
        while True:
            _write_json(runs.look())
            time.sleep(interval)
    except KeyboardInterrupt:  # the only way to end it
        pass


def _print(console: Console, runs: Sequence[Run], pid: int | None) -> None:
    for each in draw_runs(runs, _layout(console, console.width), folder=str(board_folder()), pid=pid):
        console.print(each, no_wrap=True, overflow="ignore", crop=False)


def _watch(console: Console, runs: Runs, interval: float, pid: int | None) -> None:
    view = _RunsView(pid)
    try:
        with Terminal(console) as terminal, _live(console, view) as live:
            keys = ""
            due = 0.0
            while not set(keys) & set("qQ\x03\x04"):
                now = Timestamp.now()
                if now.monotonic_s >= due:
                    view.runs = runs.look(now)
                    due = now.monotonic_s + interval
                live.refresh()
                keys = terminal.keys(due - time.monotonic())
    except KeyboardInterrupt:
        pass


def _live(console: Console, view: _RunsView) -> Live:
    return Live(view, console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


class _RunsView:
    """Draw the runs in the size that the terminal has at that time."""

    def __init__(self, pid: int | None) -> None:
        self.runs: Sequence[Run] = ()
        self._pid = pid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        layout = _layout(console, options.max_width)
        height = options.height or console.height
        yield Text("\n").join(draw_runs(self.runs, layout, height=height, folder=str(board_folder()), pid=self._pid))


def _layout(console: Console, width: int) -> LineLayout:
    return LineLayout(width, ASCII if console.options.ascii_only else UNICODE)


def _console() -> Console:
    out: Any = sys.stdout
    # A name that the encoding of the output lacks must not end the program.
    if hasattr(out, "reconfigure") and out.errors == "strict":
        out.reconfigure(errors="backslashreplace")
    return Console(file=out, highlight=False, emoji=False, markup=False)


class Terminal:
    """Read single keys, and restore the terminal in the end: also after SIGTERM, and during Ctrl-Z.

    Args:
        console: The console that draws.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._input: int | None = None
        self._modes: list[Any] = []
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        descriptor = _keyboard()
        if descriptor is not None:
            self._input, self._modes = descriptor, termios.tcgetattr(descriptor)
            self._undo.callback(self._restore_modes)
            tty.setcbreak(descriptor)
        self._handle(signal.SIGTERM, _exit_on_signal)
        if self._input is not None:
            self._handle(signal.SIGTSTP, self._pause)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def keys(self, seconds: float) -> str:
        """Wait, and return the pressed keys as soon as there are some, or the size has changed.

        The end of the input counts as ``q``.

        Args:
            seconds: The longest time to wait.
        """
        size = self._console.size
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._console.size == size:
            pause = min(left, _KEY_INTERVAL_S)
            if self._input is None:
                time.sleep(pause)
            elif select.select([self._input], [], [], pause)[0]:
                pressed = os.read(self._input, 64).decode(errors="replace")
                return _KEY_SEQUENCE.sub("", pressed) if pressed else "q"
        return ""

    def _handle(self, number: signal.Signals, handler: Any) -> None:
        before = signal.signal(number, handler)
        self._undo.callback(signal.signal, number, before)

    def _restore_modes(self) -> None:
        if self._input is not None:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._modes)

    def _pause(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        was_alternate = self._console.is_alt_screen
        self._console.set_alt_screen(False)
        self._console.show_cursor(True)
        self._restore_modes()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # returns when the shell continues the process
        signal.signal(signal.SIGTSTP, self._pause)
        if self._input is not None:
            tty.setcbreak(self._input)
        self._console.set_alt_screen(was_alternate)
        self._console.show_cursor(False)


def _keyboard() -> int | None:
    with suppress(OSError, ValueError, AttributeError):  # the input is closed, or there is none
        descriptor = sys.stdin.fileno()
        return descriptor if os.isatty(descriptor) else None
    return None


def _exit_on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise SystemExit(128 + number)


def json_document(runs: Sequence[Run], wall_ns: int) -> dict[str, Any]:
    """Return the runs in the form that docs/top.md describes.

    Args:
        runs: The runs.
        wall_ns: The present time, in nanoseconds since 1970.

    Example:
        >>> json_document([], 1_700_000_000_000_000_000)["runs"]
        []
    """
    return {
        "version": VERSION,
        "time": wall_ns / 1e9,
        "folder": str(board_folder()),
        "runs": [_json_run(run) for run in runs],
    }


def json_line(document: Mapping[str, Any]) -> str:
    """Return a document as JSON in one line of ASCII."""
    return json.dumps(document, allow_nan=False)


def _json_run(run: Run) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "pid": run.pid,
        "state": run.state,
        "stalled": run.is_stalled,
        "elsewhere": run.is_elsewhere,
        "current": run.is_current,
        "error": run.error,
        "started": None if run.started_ns is None else run.started_ns / 1e9,
        "age_s": _json_value(run.age_s),
        "experiment_name": run.experiment_name,
        "loop_stage": run.loop_stage,
        "epoch": run.epoch,
        "iter": run.iter,
        "max_epochs": run.max_epochs,
        "max_iters": run.max_iters,
        "rate": _json_value(run.rate),
        "eta_s": _json_value(run.eta_s),
        "scalars": {
            key: {"value": _json_value(scalar.value), "count": _json_value(scalar.count), "updates": scalar.updates}
            for key, scalar in run.scalars.items()
        },
        "infos": {key: _json_value(info) for key, info in run.infos.items() if _is_simple(info)},
        "unshared": run.unshared,
    }


def _is_simple(info: object) -> bool:
    return info is None or isinstance(info, int | float) or (isinstance(info, str) and len(info) <= _LONGEST_TEXT)


def _json_value(value: Any) -> Any:
    # JSON has no NaN and no infinity.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
