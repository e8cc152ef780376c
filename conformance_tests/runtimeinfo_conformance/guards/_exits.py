"""What ends the process at once, and must not."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import NoReturn

from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved
from runtimeinfo_conformance.guards._place import place_of_call, place_of_error
from runtimeinfo_conformance.guards._replacement import Replacement

_RULE = "that ends the whole test session; a run comes back or raises, so raise an exception instead"


class Exited(BaseException):
    """A subject called os._exit or os.abort.

    No Exception: the subject's own `except Exception` shall not take it for an error of a user's hook.
    """


class Exits:
    """Turns os._exit and os.abort into exceptions, in this process only: a forked child really ends.

    Attributes:
        problem: What the subject did; None if it did nothing of the kind.
    """

    def __init__(self) -> None:
        self.problem: SubjectMisbehaved | None = None
        self._process = os.getpid()

    def begin(self) -> None:
        """Begin to refuse."""
        _open.append(self)
        _EXIT.push(_exit)
        _ABORT.push(_abort)

    def end(self) -> None:
        """Stop refusing."""
        _ABORT.remove(_abort)
        _EXIT.remove(_exit)
        _open.remove(self)

    def see(self, error: BaseException | None, trace: TracebackType | None) -> None:
        """Look at what came out of the run: sys.exit is an exit as well, though one that can be caught."""
        if isinstance(error, SystemExit) and self.problem is None:
            place = f" at {place_of_error(trace)}" if trace is not None else ""
            self.problem = SubjectMisbehaved("exit", f"it called sys.exit({error.code!r}){place}: {_RULE}")

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was made here, and not in the process that this one was forked from."""
        return self._process == os.getpid()

    def refuse(self, call: str) -> NoReturn:
        """Note the call, and raise instead."""
        frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]  # there is no other way
        message = f"it called {call} at {place_of_call(frame)}: {_RULE}"
        if self.problem is None:
            self.problem = SubjectMisbehaved("exit", message)
        raise Exited(message)


_open: list[Exits] = []


def _here() -> Exits | None:
    return next((each for each in reversed(_open) if each.is_of_this_process), None)


# One function for all runs: a module that says `from os import _exit` while one is on keeps it for ever.


def _exit(status: int) -> NoReturn:
    exits = _here()
    if exits is not None:
        exits.refuse(f"os._exit({status!r})")
    _EXIT.original(status)
    raise AssertionError("os._exit has come back")


def _abort() -> NoReturn:
    exits = _here()
    if exits is not None:
        exits.refuse("os.abort()")
    _ABORT.original()
    raise AssertionError("os.abort has come back")


_EXIT = Replacement(os, "_exit")
_ABORT = Replacement(os, "abort")
