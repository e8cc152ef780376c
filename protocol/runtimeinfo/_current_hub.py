"""The hub of the run that a component is part of, in this process or in the one that it works for."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from runtimeinfo._errors import MissingScalarError
from runtimeinfo._message_hub import InfoReader, ScalarHistory, SupportsSharing


class ParentRunReader:
    """Reads the run that another process has entered last, whichever that is at the moment.

    Args:
        pid: The process.
        inherited: What answers until that process is seen to share a run, for example the hub as it was at the fork.
        no_run: What answers while it shares none, once it was seen to.
    """

    __slots__ = ("_finder", "_no_run", "_otherwise", "pid")

    def __init__(self, pid: int, inherited: InfoReader, no_run: InfoReader) -> None:
        # Only now: outside of workers no code needs to load it.
        from runtimeinfo.board._reader import BoardFinder

        self.pid = pid
        self._finder = BoardFinder(pid)
        self._otherwise = inherited
        self._no_run = no_run

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default."""
        return self._reader().get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the latest value of a scalar, in the form of a history that holds one."""
        return self._reader().get_scalar(key)

    def __repr__(self) -> str:
        return f"<the run of process {self.pid}: {self._reader()!r}>"

    def _reader(self) -> InfoReader:
        reader = self._finder.reader()
        if reader is None:
            return self._otherwise
        self._otherwise = self._no_run
        return reader


class Parent:
    """Knows which process this one works for, and whom to ask there.

    Args:
        no_run: What answers while no run is shared.
    """

    def __init__(self, no_run: InfoReader) -> None:
        self._no_run = no_run
        self._inherited = no_run
        self._forked_from: int | None = None
        self._run: InfoReader = no_run
        self._is_final = False

    @property
    def hub(self) -> InfoReader:
        """The hub of the run that the parent is in; the one that has no run if this process is not a worker."""
        if self._is_final:
            return self._run
        parent = self._parent_by_multiprocessing()
        # Asked again as long as there is none: a spawned worker imports this before it knows its parent.
        self._is_final = parent is not None
        pid = self._forked_from if parent is None else parent
        if pid is not None and not (isinstance(self._run, ParentRunReader) and self._run.pid == pid):
            self._run = ParentRunReader(pid, self._inherited, self._no_run)
        return self._run

    def note_fork(self, inherited: InfoReader | None) -> None:
        """Note in a forked child whose child it is, and which hub was the current one at the fork."""
        # In the child of a worker the current hub is what reads the run of the worker's parent.
        self._inherited = self.hub if inherited is None else inherited
        self._forked_from = os.getppid()
        self._run = self._no_run
        self._is_final = False

    def _parent_by_multiprocessing(self) -> int | None:
        # Its workers have it loaded. What it calls the parent is not the system's: a fork server may be in between.
        process = sys.modules.get("multiprocessing.process")
        parent = None if process is None else process.parent_process()
        return None if parent is None else parent.pid


class _NoRun:
    """The reader outside of any run (inference, a unit test): it has nothing to tell, and that is normal."""

    __slots__ = ()

    def get_info(self, key: str, default: Any = None) -> Any:  # noqa: ARG002  # the protocol's signature
        return default

    def get_scalar(self, key: str) -> ScalarHistory:
        raise MissingScalarError(
            f"no scalar {key!r}: no run is publishing here; train under a runner, or enter use_hub(hub)",
            key=key,
            requirement="HUB-07",
        )

    def __repr__(self) -> str:
        return "<no hub: no run is publishing here>"


_NO_RUN = _NoRun()

# Two levels, because either one alone would be wrong in some place. A thread that runs its own training has its own
# hub: the context variable. A helper thread (pinned memory, autograd, a framework's pool) inherits no context in
# CPython < 3.14, and must see the run that it works for: the hub that the process has entered last.
_in_this_context: ContextVar[tuple[InfoReader, ...]] = ContextVar("runtimeinfo_hubs", default=())
_in_this_process: list[InfoReader] = []
_lock = threading.RLock()

_parent = Parent(_NO_RUN)


def current_hub() -> InfoReader:
    """Return the hub of the run that this code is part of.

    That is the innermost `use_hub` of this thread or task; where it has none, the one that the process has
    entered last. In a worker process that has entered none it is a reader of the run that its parent is in,
    whichever that is when it is asked. Where no run publishes, the answer is a reader that gives every default.

    Example:
        >>> current_hub().get_info("epoch", 0)
        0

    Source: HUB-02, SHARE-01.
    """
    hubs = _in_this_context.get() or _in_this_process
    if not hubs:
        return _parent.hub
    try:
        return hubs[-1]
    except IndexError:  # another thread has left its run since
        return _parent.hub


@contextmanager
def use_hub(hub: InfoReader) -> Generator[None]:
    """Make a hub the current one for the code inside, and for the worker processes of this one.

    Scopes may be left in any order: each one removes its own entry only. A hub that cannot be shared is not seen
    from other processes.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-use-hub")
        >>> hub.update_info("epoch", 3)
        >>> with use_hub(hub):
        ...     current_hub().get_info("epoch")
        3

    Source: HUB-02, SHARE-01.
    """
    with hub.sharing() if isinstance(hub, SupportsSharing) else nullcontext(), _entered(hub):
        yield


@contextmanager
def _entered(hub: InfoReader) -> Generator[None]:
    _in_this_context.set((*_in_this_context.get(), hub))
    with _lock:
        _in_this_process.append(hub)
    try:
        yield
    finally:
        # Not `ContextVar.reset(token)`: a generator may be closed in another context than it was started in.
        _in_this_context.set(_without_last(_in_this_context.get(), hub))
        with _lock:
            _in_this_process[:] = _without_last(tuple(_in_this_process), hub)


def _without_last(hubs: tuple[InfoReader, ...], hub: InfoReader) -> tuple[InfoReader, ...]:
    for index in reversed(range(len(hubs))):
        if hubs[index] is hub:
            return hubs[:index] + hubs[index + 1 :]
    return hubs


def _after_fork_in_child() -> None:
    """Let the child read what its parent publishes from now on, and not the copy of a hub that is no longer updated."""
    _lock.release()
    hubs = _in_this_context.get() or _in_this_process
    _parent.note_fork(hubs[-1] if hubs else None)
    _in_this_context.set(())
    _in_this_process.clear()


if hasattr(os, "register_at_fork"):  # where processes can fork
    # Held during the fork: in the child there is no thread that could release it.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child)
