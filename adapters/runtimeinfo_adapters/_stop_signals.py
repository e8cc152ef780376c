"""Signals that ask a run to stop, such as SIGTERM: they are noted, and the loop ends in order.

All open runs share one handler. It only notes the signal: it calls no user code, takes no lock, and raises nothing in
the middle of a step. What was in force before comes back when the last of the runs is left, in forked processes, and at
a second signal.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, cast

from runtimeinfo import LoopError
from runtimeinfo.authoring import shown

SAME_REQUEST: float = 1.0
"""For how many seconds after the first signal another one counts as the same: Slurm signals all processes of a job
step, and torchrun, which is one of them, signals its workers again."""


class StopRequest:
    """The signals that stop a run, and the one that has come.

    Attributes:
        received: The signal that has asked the run to stop; None for none.
    """

    __slots__ = ("_at", "_signals", "received")

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._signals: frozenset[signal.Signals] = frozenset()
        self._at = 0.0

    def __reduce__(self) -> tuple[type[StopRequest], tuple[()]]:
        return StopRequest, ()  # a copy is outside of any run

    @contextmanager
    def listening(self, signals: frozenset[signal.Signals]) -> Generator[None]:
        """Note these signals, for as long as the ``with`` block lasts, and forget the one of the last run.

        Raises:
            LoopError: If there are any, and they cannot be handled here; nothing has changed.
        """
        self.received = None
        if not signals:
            yield
            return
        _check_possible(signals)
        self._signals = signals
        _listening.append(self)
        try:
            for number in signals:
                handler = signal.getsignal(number)
                if handler is not _note:
                    _replaced[number] = handler
                    signal.signal(number, _note)
            yield
        finally:
            _listening.remove(self)
            _restore_unused()

    def listens_to(self, number: signal.Signals) -> bool:
        """Return whether this signal stops the run."""
        return number in self._signals

    def note(self, number: signal.Signals) -> bool:
        """Take a signal, and tell whether it asks for no more than what was asked before."""
        if not self.listens_to(number):
            return False
        if self.received is None:
            self._at, self.received = time.monotonic(), number
        return time.monotonic() - self._at < SAME_REQUEST


def check_signals(stop_on: int | Iterable[int] | None) -> frozenset[signal.Signals]:
    """Return the signals that a user has named.

    Raises:
        LoopError: If one of them is not a signal, or is SIGINT.
    """
    if stop_on is None:
        return frozenset()
    several = isinstance(stop_on, Iterable) and not isinstance(stop_on, str)
    given: tuple[Any, ...] = tuple(cast("Iterable[Any]", stop_on)) if several else (stop_on,)
    signals = frozenset(_signal(each) for each in given)
    if signal.SIGINT in signals:
        raise LoopError(
            "stop_on cannot have SIGINT, which ends the workers of a DataLoader too: leave it out. As "
            "KeyboardInterrupt it closes every scope in order as well"
        )
    return signals


def _signal(given: Any) -> signal.Signals:
    try:
        if not isinstance(given, bool):  # True is SIGHUP
            return signal.Signals(given)
    except ValueError:
        pass
    raise LoopError(
        f"stop_on must be a signal, or several, but has {shown(given)}: give signal.SIGTERM, or leave it out"
    )


# The runs that listen now, and the handlers that were in force before them. Only the main thread changes the latter,
# and the handler runs there too. Another thread may collect an abandoned run, and takes it out of the former.
_listening: list[StopRequest] = []
_replaced: dict[signal.Signals, Any] = {}


def _note(number: int, frame: object) -> None:  # noqa: ARG001  # the signature of a handler
    asked = signal.Signals(number)
    # Every run that listens, the outer ones of nested runs too.
    is_noted = [each.note(asked) for each in tuple(_listening)]
    # Otherwise a handler that was set since has called this one, and decides itself what comes next.
    if not any(is_noted) and signal.getsignal(asked) is _note:
        _restore(asked)
        signal.raise_signal(asked)


def _restore_unused() -> None:
    """Put back the handlers of signals to which no run listens any more."""
    if threading.current_thread() is not threading.main_thread():
        return  # not possible here; the handler does it when it is called
    for number in tuple(_replaced):
        if not any(each.listens_to(number) for each in _listening):
            _restore(number)


def _restore(number: signal.Signals) -> None:
    if signal.getsignal(number) is _note:  # otherwise another handler was set since, which may put this one back
        signal.signal(number, _replaced.pop(number))


def _check_possible(signals: Iterable[signal.Signals]) -> None:
    if threading.current_thread() is not threading.main_thread():
        raise LoopError(
            f"stop_on works in the main thread only, but this is {threading.current_thread().name!r}: Python lets no "
            "other thread handle signals. Leave it out, or train in the main thread"
        )
    for number in signals:
        handler = signal.getsignal(number)
        if handler is None:
            raise LoopError(
                f"stop_on cannot have {number.name}, whose handler was set outside of Python and could not be put "
                "back: leave it out"
            )
        try:
            signal.signal(number, handler)
        except (OSError, ValueError) as error:
            raise LoopError(
                f"stop_on cannot have {number.name}, which no process can handle: give signal.SIGTERM, for example"
            ) from error


def _after_fork_in_child() -> None:
    # A worker is ended as ever; only the process that trains can stop the training.
    _listening.clear()
    _restore_unused()


if hasattr(os, "register_at_fork"):  # where processes can fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
