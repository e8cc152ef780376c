"""The guard of a check, and its watch around each run."""

from __future__ import annotations

import math
import sys
import threading
from types import TracebackType
from typing import Self

from runtimeinfo_conformance.guards._leftovers import Originals, Threads
from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved
from runtimeinfo_conformance.guards._replacements import Exits, Printed
from runtimeinfo_conformance.guards._signals import Alarm, Interrupts

HANG_SECONDS = 60.0
"""The longest time of one run. Those of the bundled subjects take milliseconds: this only ends a hang."""


class Guard:
    """Guard the process against the code under test, for a whole check.

    An exception of the subject comes out unchanged. A hang, an exit, threads that are left behind and changes to the
    kit are noted as the `problem` of the run.

    Args:
        hang_seconds: The longest time of one run.

    Raises:
        ValueError: If that is not a positive, finite number.

    Example:
        >>> guard = Guard(hang_seconds=10.0)
        >>> with guard.watching() as watch:
        ...     print("epoch", 1, end="")
        >>> watch.printed, watch.problem
        ('epoch 1', None)
    """

    def __init__(self, hang_seconds: float = HANG_SECONDS) -> None:
        if not (hang_seconds > 0 and math.isfinite(hang_seconds)):
            raise ValueError(
                f"hang_seconds must be positive and finite, but is {hang_seconds!r}: give the longest of a run"
            )
        self.hang_seconds = hang_seconds
        self._originals = Originals()
        self._threads = Threads()

    def watching(self) -> Watch:
        """Return a context manager for one run."""
        return Watch(self.hang_seconds, self._originals, self._threads)

    @property
    def daemon_threads(self) -> set[str]:
        """The names of the daemon threads that runs left alive, which do no harm."""
        return self._threads.daemons

    def leftover_threads(self) -> list[threading.Thread]:
        """Return the non-daemon threads that runs left alive: the process does not end before they do."""
        return self._threads.left


class Watch:
    """The watch around one run, made by `Guard.watching`.

    Attributes:
        problem: The harm that the run has done, once it is over; None if there is none. Of several kinds it is the
            first of: hang, exit, tampering, threads.
    """

    def __init__(self, hang_seconds: float, originals: Originals, threads: Threads) -> None:
        self.problem: SubjectMisbehaved | None = None
        self._alarm = Alarm(hang_seconds, _GUARDED)
        self._exits = Exits()
        self._interrupts = Interrupts()
        self._printed = Printed()
        self._originals = originals
        self._threads = threads
        self._threads_before: frozenset[threading.Thread] = frozenset()

    @property
    def printed(self) -> str:
        """The last 4,000 characters that were written to sys.stdout and sys.stderr."""
        return self._printed.text

    def __enter__(self) -> Self:
        self._threads_before = frozenset(threading.enumerate())
        self._interrupts.begin()
        self._exits.begin()
        self._printed.begin()
        self._alarm.begin(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]  # there is no other way
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.end()
        self._printed.end()
        self._exits.end()
        self._interrupts.end()
        self._exits.see(error, trace)
        tampering = self._originals.after_run()
        # Last, because it can wait: everything else is restored by then.
        threads = self._threads.after_run(self._threads_before)
        self.problem = self._alarm.problem or self._exits.problem or tampering or threads


# An interrupt in one of these would leave the process half restored.
_GUARDED = (Watch.__enter__.__code__, Watch.__exit__.__code__)
