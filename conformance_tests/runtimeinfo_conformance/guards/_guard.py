"""What stands around each run of a subject."""

from __future__ import annotations

import math
import sys
import threading
from types import TracebackType
from typing import Self

from runtimeinfo_conformance.guards._alarm import Alarm
from runtimeinfo_conformance.guards._exits import Exits
from runtimeinfo_conformance.guards._interrupts import Interrupts
from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved
from runtimeinfo_conformance.guards._originals import Originals
from runtimeinfo_conformance.guards._printed import Printed
from runtimeinfo_conformance.guards._threads import Threads

HANG_SECONDS = 60.0
"""How long one run may take. The kit's own take milliseconds: this is no limit on speed, but the end of waiting."""


class Guard:
    """Guards the process against the code under test, for a whole check.

    What the subject raises comes out unchanged. That it hangs, exits, leaves threads behind or replaces parts of
    the kit is noted as the `problem` of the run.

    Args:
        hang_seconds: How long one run may take.

    Raises:
        ValueError: If that is no positive, finite number.

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
        """Return what is to be entered around one run."""
        return Watch(self.hang_seconds, self._originals, self._threads)

    @property
    def daemon_threads(self) -> set[str]:
        """The names of the daemon threads that runs left alive; they harm nobody."""
        return self._threads.daemons

    def leftover_threads(self) -> list[threading.Thread]:
        """Return the threads, no daemons, that runs left alive: the process does not end until they do."""
        return self._threads.left


class Watch:
    """Stands around one run. Made by `Guard.watching`.

    Attributes:
        problem: What the run did that it must not, once it is over; None if it did nothing of the kind. Of several
            things it is the first of: a hang, an exit, tampering, threads.
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
        # At the end, since it may wait: everything else is in order by then.
        threads = self._threads.after_run(self._threads_before)
        self.problem = self._alarm.problem or self._exits.problem or tampering or threads


# Interrupted while it sets up or clears away, it would leave the process as no guard should.
_GUARDED = (Watch.__enter__.__code__, Watch.__exit__.__code__)
