"""One rank in its process, the function that is sent to it, and its answers."""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance.plans import RANKS, Turn

# Seconds that a rank waits for another. A busy machine can delay a process for long. Where the plan keeps a rank away
# the wait is in vain, so it is short.
_TIMEOUT = 10.0
_TIMEOUT_OF_ABSENCE = 2.0

_STATISTICS = ("sum", "count", "mean", "min", "max")

Reduce = Callable[[Any, Any], Mapping[str, Any]]
"""Reduces the scalars of a hub over a process group: called with both."""


class RanksError(Exception):
    """The ranks cannot be started, or the function cannot be sent to them."""


@dataclass(frozen=True)
class PickledFunction:
    """A function in the form in which it is sent to another process.

    Attributes:
        pickled: The function, pickled by its name.
        module: The module that defines it.
        file: The file of that module, or None: it is loaded from there where it cannot be imported.
    """

    pickled: bytes
    module: str
    file: str | None

    @classmethod
    def of(cls, reduce: Reduce) -> PickledFunction:
        try:
            pickled = pickle.dumps(reduce)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise RanksError(
                f"{reduce!r} cannot be brought to another process: {error}. Put it at the top of a module"
            ) from error
        name = getattr(reduce, "__module__", None) or type(reduce).__module__
        return cls(pickled, name, getattr(sys.modules.get(name), "__file__", None))

    def load(self) -> Reduce:
        try:
            found: Reduce = pickle.loads(self.pickled)  # noqa: S301  # this process was started to run it
        except ImportError:
            if self.file is None:
                raise
            spec = importlib.util.spec_from_file_location(self.module, self.file)
            if spec is None or spec.loader is None:
                raise
            module = sys.modules[self.module] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found = pickle.loads(self.pickled)  # noqa: S301
        return found


@dataclass(frozen=True)
class Answer:
    """The result of one turn on one rank.

    Attributes:
        scalars: The statistics of each scalar; None if there is no result.
        error: The exception as text, or the fate of the rank.
        is_hub_unchanged: Whether its hub had the same contents before and after.
        is_there: Whether the rank has answered.
    """

    scalars: dict[str, dict[str, float]] | None = None
    error: str | None = None
    is_hub_unchanged: bool = True
    is_there: bool = True


class _Hub(MessageHub):
    """A hub that can be made unreadable."""

    is_unreadable = False

    @property
    def log_scalars(self) -> Any:
        self._check()
        return super().log_scalars

    def get_scalar(self, key: str) -> Any:
        self._check()
        return super().get_scalar(key)

    def _check(self) -> None:
        if self.is_unreadable:
            raise OSError("this hub cannot be read")


class _Rank:
    """One rank, in its process."""

    def __init__(self, rank: int, store: Any) -> None:
        import torch.distributed as dist

        self._dist: Any = dist
        self._rank = rank
        self._store = store
        self._reduce: Reduce | None = None
        self._hub = _Hub("conformance")
        self._is_group_good = False

    def begin(self, number: int, function: PickledFunction) -> str:
        try:
            self._reduce = function.load()
        except Exception as error:  # noqa: BLE001  # sent back to the parent
            return f"{type(error).__name__}: {error}"
        self._hub = _Hub("conformance")
        self._new_group(number)
        return "ready"

    def turn(self, number: int, turn: Turn) -> Answer:
        for put in turn.puts:
            if put.rank % RANKS == self._rank:
                for _ in range(put.times):
                    self._hub.update_scalar(put.key, float(put.value), put.count)
        is_faulty = turn.fault is not None and turn.at % RANKS == self._rank
        if turn.fault == "absent":
            self._new_group(number, _TIMEOUT_OF_ABSENCE)
        elif not self._is_group_good:
            self._new_group(number)
        # Without a rank, the group of the others breaks.
        self._is_group_good = turn.fault != "absent"
        if is_faulty and turn.fault == "absent":
            return Answer()
        before = _snapshot(self._hub)
        self._hub.is_unreadable = is_faulty
        try:
            scalars, error = self._result(), None
        except Exception as raised:  # noqa: BLE001  # it is the answer
            scalars, error = None, f"{type(raised).__name__}: {raised}"
        finally:
            self._hub.is_unreadable = False
        return Answer(scalars, error, _snapshot(self._hub) == before)

    def _result(self) -> dict[str, dict[str, float]]:
        if self._reduce is None:
            raise RanksError("a turn came before a beginning")
        result = self._reduce(self._hub, self._dist.group.WORLD)
        return {
            key: {name: float(getattr(scalar, name)) for name in _STATISTICS} for key, scalar in dict(result).items()
        }

    def _new_group(self, number: int, timeout: float = _TIMEOUT) -> None:
        if self._dist.is_initialized():
            self._dist.destroy_process_group()
        self._dist.init_process_group(
            "gloo",
            store=self._dist.PrefixStore(str(number), self._store),
            rank=self._rank,
            world_size=RANKS,
            timeout=timedelta(seconds=timeout),
        )
        self._is_group_good = True


def _snapshot(hub: MessageHub) -> tuple[Any, Any]:
    scalars = {key: tuple(map(repr, history.data)) for key, history in hub.log_scalars.items()}
    return dict(hub.runtime_info), scalars


def be_a_rank(rank: int, pipe: Connection) -> None:
    """Serve the parent process until it closes the pipe."""
    if sys.platform == "linux":  # works even where the name of the machine cannot be resolved
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    import torch
    import torch.distributed

    dist: Any = torch.distributed
    torch.set_num_threads(1)
    try:
        if rank == 0:
            store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
            pipe.send(store.port)
        else:
            store = dist.TCPStore("127.0.0.1", pipe.recv(), is_master=False)
        served = _Rank(rank, store)
        pipe.send("ready")
        while True:
            command, number, argument = pipe.recv()
            try:
                answer = served.begin(number, argument) if command == "begin" else served.turn(number, argument)
            except Exception as error:  # noqa: BLE001  # sent back to the parent
                answer = f"cannot go on: {type(error).__name__}: {error}"
            pipe.send(answer)
    except (EOFError, OSError):
        return
