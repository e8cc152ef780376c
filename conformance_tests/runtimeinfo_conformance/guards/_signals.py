"""Signals around a run: the alarm that ends one that hangs, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from types import CodeType, FrameType
from typing import Any

from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved, format_stack

_AGAIN_SECONDS = 1.0

# After these, code that swallows the interrupt is interrupted in its handler.
_POLITE_RINGS = 2

_HAS_TIMER = hasattr(signal, "setitimer")


class Hung(BaseException):
    """A run was interrupted because it took too long.

    It is not an Exception, so `except Exception` in the subject does not swallow it.
    """


class Alarm:
    """Interrupt a run in the main thread after some time, and again every second until it is over.

    It does nothing where that is impossible: in another thread, without SIGALRM (Windows), or while another timer is
    running, for example that of pytest-timeout. It cannot interrupt C code that never checks for signals, nor code
    that sets its own alarm.

    Args:
        seconds: The longest time of a run.
        guarded: The code around a run, which is not interrupted itself.

    Attributes:
        problem: The first interrupt, with its place; None if there was none.
    """

    def __init__(self, seconds: float, guarded: tuple[CodeType, ...]) -> None:
        self.problem: SubjectMisbehaved | None = None
        self._seconds = seconds
        self._guarded = guarded
        self._is_set = False
        self._rings = 0
        self._outside: FrameType | None = None
        self._handler: Any = None
        self._tracer: Any = None

    def begin(self, outside: FrameType) -> None:
        """Set the alarm.

        Args:
            outside: The frame that calls the subject.
        """
        if not _HAS_TIMER or threading.current_thread() is not threading.main_thread():
            return
        if signal.getitimer(signal.ITIMER_REAL)[0]:
            return
        self._handler = signal.getsignal(signal.SIGALRM)
        if self._handler is None:  # it is C code, which could not be restored
            return
        self._outside = outside
        self._is_set = True
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS)

    def end(self) -> None:
        """Turn the alarm off."""
        if not self._is_set:
            return
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._handler)
        self._is_set = False
        self._outside = None
        if self._rings > _POLITE_RINGS:
            sys.settrace(self._tracer)

    def _ring(self, _: int, frame: FrameType | None) -> None:
        if frame is None or self._is_in_guarded(frame):
            return
        self._rings += 1
        if self.problem is None:
            self.problem = SubjectMisbehaved(
                "hang",
                f"it did not come back within {self._seconds:g} s, and was interrupted here:\n"
                f"{format_stack(frame, self._outside)}"
                "A run has to end by itself: see what it waits for there. If it is only slow, allow it more time.",
            )
        if self._rings > _POLITE_RINGS:
            self._insist(frame)
        raise Hung(str(self.problem))

    def _insist(self, frame: FrameType) -> None:
        """Make the next line of the subject raise, too.

        In `while True: try: ... except BaseException: pass` that line is in the handler, where nothing catches it.
        """
        if self._rings == _POLITE_RINGS + 1:
            self._tracer = sys.gettrace()
        each: FrameType | None = frame
        while each is not None and each is not self._outside:
            each.f_trace = self._raise_at_line
            each = each.f_back
        sys.settrace(self._raise_at_line)

    def _raise_at_line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "call" or self._is_in_guarded(frame):
            return None
        if event == "line":
            raise Hung(str(self.problem))  # which ends the tracing
        return self._raise_at_line

    def _is_in_guarded(self, frame: FrameType | None) -> bool:
        while frame is not None and frame is not self._outside:
            if frame.f_code in self._guarded:
                return True
            frame = frame.f_back
        return False


class Interrupts:
    """Restore the handler of SIGINT after a run, so that Ctrl-C still stops the kit."""

    def __init__(self) -> None:
        self._handler: Any = None

    def begin(self) -> None:
        """Remember the handler."""
        if threading.current_thread() is threading.main_thread():  # only that thread can set it
            self._handler = signal.getsignal(signal.SIGINT)

    def end(self) -> None:
        """Restore the handler. None stands for another thread, or for a handler in C, and cannot be set."""
        if self._handler is not None and signal.getsignal(signal.SIGINT) is not self._handler:
            signal.signal(signal.SIGINT, self._handler)
