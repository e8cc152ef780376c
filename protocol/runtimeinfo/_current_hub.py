"""How a component finds the hub of the run it is part of."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from runtimeinfo._errors import MissingScalarError
from runtimeinfo._message_hub import InfoReader, ScalarHistory, SupportsSharing
from runtimeinfo._parent import Parent


class _NobodyPublishing:
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


_NOBODY = _NobodyPublishing()

# Two levels, since one would be wrong for somebody. A thread that runs its own training has its own hub: the
# context variable. A helper thread (pinned memory, autograd, a framework's pool) inherits no context in
# CPython < 3.14, and shall see the run that it works for: the hub that the process has entered last.
_in_this_context: ContextVar[tuple[InfoReader, ...]] = ContextVar("runtimeinfo_hubs", default=())
_in_this_process: list[InfoReader] = []
_lock = threading.RLock()

_parent = Parent(_NOBODY)


def current_hub() -> InfoReader:
    """Return the hub of the run that this code is part of.

    That is the innermost `use_hub` of this thread or task; where it has none, the one that the process has
    entered last. In a worker process that has entered none it is a reader of the run that its parent is in,
    whichever that is when it is asked. Where nobody publishes, the answer is a reader which gives every default.

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
    """Let the child read what its parent publishes from now on, and not the copy of a hub that nobody updates."""
    _lock.release()
    hubs = _in_this_context.get() or _in_this_process
    _parent.note_fork(hubs[-1] if hubs else None)
    _in_this_context.set(())
    _in_this_process.clear()


if hasattr(os, "register_at_fork"):  # where processes can fork
    # Held during the fork: in the child there is no thread that could release it.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child)
