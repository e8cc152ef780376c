"""The terminal, while something is shown on it."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import time
import tty
from contextlib import ExitStack, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console

_GLANCE_S = 0.1
# What the arrows, and the keys above the numbers, send: F2 is no Q.
_SEQUENCE = re.compile(r"\x1b(?:[\[O][0-9;]*.)?")


class Terminal:
    """Reads single keys, and leaves the terminal as it was, however it is left: also by SIGTERM, and by Ctrl-Z.

    Args:
        console: What is drawn with.
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
        self._handle(signal.SIGTERM, _leave)
        if self._input is not None:
            self._handle(signal.SIGTSTP, self._pause)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def keys(self, seconds: float) -> str:
        """Return which keys were pressed, once there are some, the size has changed, or the time is over.

        Where the input has come to its end, that counts as ``q``.

        Args:
            seconds: For how long to wait.
        """
        size = self._console.size
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._console.size == size:
            glance = min(left, _GLANCE_S)
            if self._input is None:
                time.sleep(glance)
            elif select.select([self._input], [], [], glance)[0]:
                pressed = os.read(self._input, 64).decode(errors="replace")
                return _SEQUENCE.sub("", pressed) if pressed else "q"
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
        os.kill(os.getpid(), signal.SIGTSTP)  # and here it goes on, when the shell says so
        signal.signal(signal.SIGTSTP, self._pause)
        if self._input is not None:
            tty.setcbreak(self._input)
        self._console.set_alt_screen(was_alternate)
        self._console.show_cursor(False)


def _keyboard() -> int | None:
    with suppress(OSError, ValueError, AttributeError):  # the input is closed, or is none
        descriptor = sys.stdin.fileno()
        return descriptor if os.isatty(descriptor) else None
    return None


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise SystemExit(128 + number)
