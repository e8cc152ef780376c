"""Read keys and the mouse from a terminal, draw on it, and restore it in the end."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console
from rich.text import Text

from runtimeinfo_adapters.top._keys import MOUSE_OFF, MOUSE_ON, Event, KeyDecoder

_POLL_INTERVAL_S = 0.1
# What begins like a key that sends several characters was Escape if they have not come by then.
_ESCAPE_DELAY_S = 0.05

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))


def make_console() -> Console:
    """Return a console on the standard output, which has no markup."""
    out: Any = sys.stdout
    # A name that the encoding of the output lacks must not end the program.
    if hasattr(out, "reconfigure") and out.errors == "strict":
        out.reconfigure(errors="backslashreplace")
    return Console(file=out, highlight=False, emoji=False, markup=False)


class Terminal:
    """A terminal in the mode in which single keys are read, and all of it is drawn on.

    It is restored in the end: also after an exception, SIGTERM, SIGHUP or SIGQUIT, and during Ctrl-Z.

    Args:
        console: The console that draws.
        has_mouse: Whether to read the mouse; without it, the terminal keeps it, for example to select text.
    """

    def __init__(self, console: Console, *, has_mouse: bool = True) -> None:
        self._console = console
        self._has_mouse = has_mouse
        self._input: int | None = None
        self._modes: list[Any] = []
        self._decoder = KeyDecoder()
        self._undo = ExitStack()
        # Handlers only note these two: one that wrote could interrupt a write.
        self._is_to_pause = False
        self._is_resumed = False

    def __enter__(self) -> Self:
        descriptor = _keyboard()
        if descriptor is not None:
            self._input, self._modes = descriptor, termios.tcgetattr(descriptor)
        with ExitStack() as undo:
            # A signal that comes from now on ends the program as an exception does.
            for number in _ENDING:
                self._handle(undo, number, _exit_on_signal)
            if self._input is not None:
                self._handle(undo, signal.SIGTSTP, self._note_pause)
                self._handle(undo, signal.SIGCONT, self._note_resume)
            undo.callback(self._leave)
            self._prepare()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def draw(self, lines: Sequence[Text]) -> None:
        """Draw lines over all of the terminal.

        Args:
            lines: The lines, each as wide as the terminal at most.
        """
        self._console.update_screen(Text("\n", no_wrap=True, overflow="crop").join(lines))

    def events(self, seconds: float) -> list[Event]:
        """Wait, and return keys and actions of the mouse as soon as there are some, or all is to be drawn again.

        The end of the input counts as Ctrl-D.

        Args:
            seconds: The longest time to wait.
        """
        size = self._console.size
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._console.size == size:
            if self._is_to_pause:
                self._pause()
            if self._is_resumed:
                # Also after SIGSTOP, which no program notices: the shell has used the terminal meanwhile.
                self._is_resumed = False
                self._prepare()
                break
            pause = min(left, _POLL_INTERVAL_S)
            if self._input is None:
                time.sleep(pause)
            elif _is_readable(self._input, pause) and (found := self._read(self._input)):
                return found
        return []

    def _read(self, descriptor: int) -> list[Event]:
        found: list[Event] = []
        while True:
            try:
                data = os.read(descriptor, 1024)
            except OSError:  # the terminal is gone
                data = b""
            if not data:
                return [*found, "ctrl_d"]
            found += self._decoder.feed(data)
            if not self._decoder.is_waiting:
                return found
            if not _is_readable(descriptor, _ESCAPE_DELAY_S):
                return found + self._decoder.flush()

    def _handle(self, undo: ExitStack, number: signal.Signals, handler: Any) -> None:
        before = signal.signal(number, handler)
        undo.callback(signal.signal, number, before)

    def _prepare(self) -> None:
        if self._input is not None:
            tty.setcbreak(self._input)
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        if self._reads_mouse:
            self._write(MOUSE_ON)

    def _leave(self) -> None:
        with suppress(OSError):  # the terminal is gone
            if self._reads_mouse:
                self._write(MOUSE_OFF)
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)
        if self._input is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._input, termios.TCSADRAIN, self._modes)

    @property
    def _reads_mouse(self) -> bool:
        return self._has_mouse and self._input is not None

    def _write(self, sequences: str) -> None:
        self._console.file.write(sequences)
        self._console.file.flush()

    def _note_pause(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._is_to_pause = True

    def _note_resume(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._is_resumed = True

    def _pause(self) -> None:
        self._is_to_pause = False
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # returns when the shell continues the process
        signal.signal(signal.SIGTSTP, self._note_pause)
        self._is_resumed = True


def _is_readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def _keyboard() -> int | None:
    with suppress(OSError, ValueError, AttributeError):  # the input is closed, or there is none
        descriptor = sys.stdin.fileno()
        return descriptor if os.isatty(descriptor) else None
    return None


def _exit_on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise SystemExit(128 + number)
