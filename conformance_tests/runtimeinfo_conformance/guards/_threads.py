"""The threads that subjects leave behind."""

from __future__ import annotations

import concurrent.futures.thread
import gc
import threading
import time
import weakref
from collections.abc import Iterable
from typing import Any

from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved

# A framework may build a pool once, and keep it: not before the first run, and perhaps only with the second.
_FREE_RUNS = 2

_GRACE_SECONDS = 1.0


class Threads:
    """Keeps account of the threads that runs leave alive.

    Attributes:
        daemons: The names of the daemon threads among them.
    """

    def __init__(self) -> None:
        self.daemons: set[str] = set()
        self._runs = 0
        self._left: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    @property
    def left(self) -> list[threading.Thread]:
        """Those that are still alive, and are not daemons."""
        return [thread for thread in self._left if thread.is_alive()]

    def after_run(self, before: frozenset[threading.Thread]) -> SubjectMisbehaved | None:
        """Look for what a run has left alive.

        Args:
            before: The threads that there were before it.
        """
        self._runs += 1
        new = [thread for thread in threading.enumerate() if thread not in before]
        if not new:
            return None
        self.daemons.update(thread.name for thread in new if thread.daemon)
        new = [thread for thread in new if not thread.daemon]
        self._left.update(new)
        is_judged = self._runs > _FREE_RUNS
        if is_judged:
            new = _wait_for(_without_old_pools(new, before))
        if not new or not is_judged:
            return None
        named = "; ".join(_describe(thread) for thread in new)
        return SubjectMisbehaved(
            "threads",
            f"it left behind, still alive {_GRACE_SECONDS:g} s after the run: {named}. A thread that is no daemon "
            "keeps the process from ending; stop and join it, or shut its executor down, before run returns",
        )


def _without_old_pools(threads: list[threading.Thread], before: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Leave out those by which an executor grew that was there before."""
    queues = _queues()
    old = {id(queues[thread]) for thread in before if thread in queues}
    return [thread for thread in threads if thread not in queues or id(queues[thread]) not in old]


def _wait_for(threads: list[threading.Thread]) -> list[threading.Thread]:
    """Give them time to end; return those that did not."""
    if not threads:
        return []
    # An executor lets its threads end when it is collected; a runner that has one is mostly part of a cycle.
    gc.collect()
    deadline = time.monotonic() + _GRACE_SECONDS
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return [thread for thread in threads if thread.is_alive()]


def _queues() -> Any:
    # Which executor a thread belongs to is nowhere else: its name may be anything.
    return getattr(concurrent.futures.thread, "_threads_queues", {})


def _describe(thread: threading.Thread) -> str:
    if thread in _queues():
        return f"the thread {thread.name!r} of an executor that was not shut down"
    target: Any = getattr(thread, "_target", None) or getattr(thread, "function", None) or type(thread).run
    name = getattr(target, "__qualname__", None) or repr(target)
    return f"the thread {thread.name!r} with the target {getattr(target, '__module__', '?')}.{name}"
