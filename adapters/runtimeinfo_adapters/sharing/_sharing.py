"""Sharing of a hub: whether it has a board now, and which of the shared hubs is the current one.

Nothing here raises into a training; only `Sharing.start`, which the user asks for, raises a `BoardError`. After a fault
the hub is unshared, with one warning, until its next run.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from runtimeinfo import BoardError
from runtimeinfo._hub_numbers import reference, shared_hubs
from runtimeinfo._scopes import is_entered, origin_of, was_entered_at_fork
from runtimeinfo._user_warning import warn_user
from runtimeinfo._worker_run import WorkerOrigin
from runtimeinfo.authoring import hub_number, on_new_run, other_run_number, run_number
from runtimeinfo.board import UnsharedWarning, layout
from runtimeinfo_adapters.sharing._board import Board, HasLatest
from runtimeinfo_adapters.sharing._followed import Followed

SHARE_VARIABLE = "RUNTIMEINFO_SHARE"
"""The environment variable that turns sharing by default off: ``0``, ``false``, ``no`` or ``off``."""

_OFF = ("0", "false", "no", "off")

# Held while a board is made or removed, and during a fork: in the child there is no thread that could release it.
_lock = threading.RLock()
# The hubs that this process has entered, by their scopes, in the order of entering.
_entered: dict[object, Sharing] = {}
_all: weakref.WeakSet[Sharing] = weakref.WeakSet()
# The worker processes that a run has taken over.
_claims: dict[int, Sharing] = {}


class Sharing:
    """The sharing of one hub: it has a board while it is shared.

    Args:
        infos: A live view of the infos of the hub.
        scalars: A live view of its histories.
        by_default: Whether the hub is shared while it is the current one, without a call of `start`.
        hub: The hub, which is held weakly.
        before_close: It is called before a board is closed, to bring over values that lie on a device.
    """

    def __init__(
        self,
        infos: Mapping[str, Any],
        scalars: Mapping[str, HasLatest],
        *,
        by_default: bool,
        hub: object,
        before_close: Callable[[], None] | None = None,
    ) -> None:
        self.board: Board | None = None
        self.followed: Followed | None = None  # in a worker process
        self._hub: Callable[[], object] = reference(hub)
        self._number = hub_number(hub)  # before a worker is started, which has to know it
        self.by_default: bool = by_default
        self._infos = infos
        self._scalars = scalars
        self._before_close = before_close
        self._is_requested = False
        self._is_broken = False
        self._close: weakref.finalize[..., Any] | None = None
        with _lock:  # another thread, in which a run begins, might be iterating over them
            _all.add(self)

    def start(self) -> Path:
        """Share the hub until `stop`, and return the board.

        Raises:
            BoardError: If no board can be made.
        """
        with _lock:
            board = self._open_board()
            self._is_requested = True
            return board.path

    def stop(self) -> None:
        """Stop sharing the hub, except while it is the current one."""
        with _lock:
            self._is_requested = False
            self._close_if_unused()

    @contextmanager
    def while_current(self) -> Generator[None]:
        """Share the hub as the current one of this process. If no board can be made, warn and continue."""
        scope = object()
        try:
            if self.by_default and os.environ.get(SHARE_VARIABLE, "").lower() not in _OFF:
                self._enter(scope)
            yield
        finally:
            self._leave(scope)

    def give_up(self, error: Exception) -> None:
        """Stop sharing after a fault, until the next run, and warn.

        Args:
            error: The fault.
        """
        # Without the lock: the caller might hold that of a board. To set an attribute needs none.
        board, self.board = self.board, None
        shared_hubs.discard(self._number)
        self._is_broken = True
        if self._close is not None:
            self._close()
        fault = error.message if isinstance(error, BoardError) else f"{type(error).__name__}: {error}"
        warn_user(
            f"this run is {'not' if board is None else 'no longer'} seen from worker processes and other terminals: "
            f"{fault}. {SHARE_VARIABLE}=0 turns sharing, and this warning, off",
            UnsharedWarning,
        )

    def is_of(self, hub: object) -> bool:
        """Tell whether this shares a hub."""
        return self._hub() is hub

    def write_run(self) -> None:
        """Write which hub this is, and which run of its process."""
        hub = self._hub()
        if hub is not None and self.board is not None:
            self.board.write_run(self._number, run_number(hub), other_run_number(hub))

    def write_identity(self) -> None:
        """Write the identity of the run again: the id of the run has changed."""
        board = self.board
        if board is not None:
            board.write_identity(self._run_id())

    def claim_workers(self, pids: Sequence[int]) -> None:
        """Take over worker processes that were started outside of this run, and work for it from now on."""
        with _lock:
            board = self.board
            if board is None or all(_claims.get(pid) is self for pid in pids):
                return
            _claims.update(dict.fromkeys(pids, self))
            for sharing in {*_entered.values()}:
                if sharing.board is not None:
                    sharing.board.write_claims([pid for pid, owner in _claims.items() if owner is sharing])

    def abandon(self) -> None:
        """Stop sharing in a forked child, and leave the board to the parent process, which it follows."""
        self.board = None
        self._is_requested = self._is_broken = False
        hub = self._hub()
        if hub is not None:
            self.follow(origin_of(hub, os.getppid()), is_in_run=was_entered_at_fork(hub))

    def follow(self, origin: WorkerOrigin, *, is_in_run: bool) -> None:
        """Let the hub, which is a copy in a worker process, follow that in the process that trains.

        Args:
            origin: That process, and the number of the hub in it.
            is_in_run: Whether a run publishes to the hub there.
        """
        attributes = getattr(self._hub(), "__dict__", None)
        if origin.hub and attributes is not None:
            self.followed = Followed(origin, self._infos, self._scalars, is_in_run=is_in_run)
            # In front of the methods of the class, so that a hub that follows none pays nothing.
            attributes["get_info"] = self.followed.get_info
            attributes["get_scalar"] = partial(_get_followed_scalar, self.followed, weakref.ref(self._hub()))

    def origin_for_spawned(self) -> tuple[str, bool] | None:
        """Return the argument of `follow_as_spawned`, if the hub is pickled for a process that is being spawned.

        Any other pickle of a hub is a copy that follows none.
        """
        context = sys.modules.get("multiprocessing.context")
        hub = self._hub()
        if context is None or hub is None or context.get_spawning_popen() is None:
            return None
        if self.followed is not None:
            return self.followed.origin.to_text(), True
        return origin_of(hub, os.getpid()).to_text(), is_entered(hub)

    def follow_as_spawned(self, sent: tuple[str, bool]) -> None:
        """Let the hub, which was pickled for this process, follow that in the process which spawned it."""
        origin = WorkerOrigin.from_text(sent[0])
        if origin is not None and origin.pid != os.getpid():
            self.follow(origin, is_in_run=sent[1])

    def _follow_no_longer(self) -> None:
        if self.followed is not None:
            self.followed = None
            attributes = getattr(self._hub(), "__dict__", {})
            attributes.pop("get_info", None)
            attributes.pop("get_scalar", None)

    def _enter(self, scope: object) -> None:
        with _lock:
            self._follow_no_longer()  # this process trains itself
            if self not in _entered.values():
                self._is_broken = False
            _set_current(layout.IS_ENTERED)
            _entered[scope] = self
            if not self._is_broken:
                try:
                    self._open_board()
                except Exception as error:  # noqa: BLE001  # whatever it is, the training goes on
                    self.give_up(error)
            _set_current(layout.IS_CURRENT)
            if self.board is not None:
                shared_hubs.add(self._number)

    def _leave(self, scope: object) -> None:
        with _lock:
            if _entered.pop(scope, None) is None:  # it is not shared, or a forked child leaves its parent's scope
                return
            if self not in _entered.values():
                shared_hubs.discard(self._number)
                for pid in [pid for pid, owner in _claims.items() if owner is self]:
                    del _claims[pid]
                if self.board is not None:
                    self.board.set_current(0)
            self._close_if_unused()
            _set_current(layout.IS_CURRENT)

    def _run_id(self) -> str:
        from runtimeinfo_adapters.hub._run_id import run_id_of  # which imports this module

        return run_id_of(self._hub())

    def _open_board(self) -> Board:
        board = self.board
        if board is None:
            give_up = weakref.WeakMethod(self.give_up)  # a board must not keep its hub
            board = Board(self._infos, self._scalars, lambda error: _call(give_up(), error), run_id=self._run_id())
            self._close = weakref.finalize(self, _discard, board)  # at the latest when the process ends
            self.board = board  # from now on each update is written to it
            self.write_run()
            board.refresh_all()
            if self.board is not board:
                raise BoardError("the board could not be written", path=board.path)
        return board

    def _close_if_unused(self) -> None:
        board = self.board
        if board is None or self._is_requested or self in _entered.values():
            return
        try:
            if self._before_close is not None:
                self._before_close()
                board.write_scalars()
            board.close()
        except Exception as error:  # noqa: BLE001  # the file is gone, or cannot be removed
            self.give_up(error)
        self.board = None
        if self._close is not None:
            self._close.detach()


def _set_current(state: int) -> None:
    """Write on the board of the hub entered last whether it is the current one."""
    last = next(reversed(_entered.values()), None)
    if last is not None and last.board is not None:
        last.board.set_current(state)


def _after_new_run() -> None:
    with _lock:
        for sharing in list(_all):
            sharing.write_run()


on_new_run.append(_after_new_run)


def claim_workers(hub: object, pids: Sequence[int]) -> None:
    """Let worker processes that were started outside of the run of a hub work for it from now on.

    Args:
        hub: The hub of a run, which has begun.
        pids: The processes.

    Source: SCOPE-05.
    """
    sharing = next((each for each in list(_entered.values()) if each.is_of(hub)), None)
    if sharing is not None and pids:
        sharing.claim_workers(pids)


def _get_followed_scalar(followed: Followed, hub: Callable[[], Any], key: str) -> Any:
    found = followed.get_scalar(key)
    if found is not None:
        return found
    own = hub()
    return cast("Any", type(own)).get_scalar(own, key)


def _discard(board: Board) -> None:
    with suppress(Exception):
        board.close()


def _call(give_up: Callable[[Exception], None] | None, error: Exception) -> None:
    if give_up is not None:  # its hub still exists
        give_up(error)


def _after_fork_in_child() -> None:
    _lock.release()
    _entered.clear()
    _claims.clear()
    shared_hubs.clear()
    for sharing in list(_all):
        sharing.abandon()


if hasattr(os, "register_at_fork"):  # where the system can fork
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child)
