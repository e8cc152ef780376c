"""Threads that publish to a hub at once, and the way of its state into another interpreter."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_conformance.judges._hub_model import Entry, HubModel, contents
from runtimeinfo_conformance.plans import is_resumed
from runtimeinfo_conformance.ranks._rank import PickledFunction, RanksError

THREADS = 4

# One instruction in so many lets the other threads run. Without that, each thread may publish all in one go: the
# interpreter switches every 5 ms, and not between any two instructions.
_SWITCH_EVERY = 8

# How often a thread lets the others run while it publishes in one way; each time takes a tenth of a millisecond.
_SWITCHES = 50

_TIMEOUT = 60.0  # seconds; another interpreter loads the hub's package first

_CHILD = """
import os, pickle, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what is printed while modules load must not get into the answer
sys.path[:] = pickle.load(sys.stdin.buffer)
from runtimeinfo_conformance.judges._hub_elsewhere import answer_elsewhere
answers.write(answer_elsewhere(sys.stdin.buffer.read()))
answers.close()
"""


# -- threads


@dataclass
class Published:
    """The updates of several threads.

    Attributes:
        scalars: For each scalar, the values and counts of each thread, in its order.
        infos: For each info, the last value of each thread that published it.
        errors: The exceptions of the threads.
    """

    scalars: dict[str, list[list[Entry]]] = field(default_factory=dict[str, Any])
    infos: dict[str, list[Any]] = field(default_factory=dict[str, Any])
    errors: list[BaseException] = field(default_factory=list[BaseException])


def publish_in_threads(hub: MessageHub, key: str, times: int) -> Published:
    """Publish from several threads at once: to one scalar, to one with counts, to new scalars, to infos.

    Switches between the threads in the midst of the hub's code, between any two instructions.
    """
    published, barrier, resumed = Published(), threading.Barrier(THREADS), is_resumed(key)
    counted, new, last = f"{key}/counted", [f"{key}/new {index}" for index in range(times)], f"{key}/last"
    numbers = [range(thread * times, (thread + 1) * times) for thread in range(THREADS)]

    def publish(thread: int) -> None:
        own = numbers[thread]
        phases: list[Callable[[int], object]] = [
            lambda number: hub.update_scalar(counted, number, count=number + 1, resumed=resumed),
            lambda number: hub.update_scalar(key, float(number), resumed=resumed),
            lambda number: hub.update_scalars({new[number % times]: number}, resumed),
            lambda number: hub.update_info(f"{key}/{number}", number, resumed=resumed),
            lambda number: hub.update_info_dict({last: number}, resumed),
        ]
        try:
            for phase in phases:
                barrier.wait()
                sys.settrace(_Switching(thread))
                for number in own:
                    phase(number)
                sys.settrace(None)
        except BaseException as error:  # noqa: BLE001  # it is the finding
            sys.settrace(None)
            published.errors.append(error)
            barrier.abort()

    published.scalars[key] = [[(float(number), 1) for number in own] for own in numbers]
    published.scalars[counted] = [[(float(number), number + 1) for number in own] for own in numbers]
    for index, name in enumerate(new):
        published.scalars[name] = [[(float(own[index]), 1)] for own in numbers]
    published.infos = {f"{key}/{number}": [number] for own in numbers for number in own}
    published.infos[last] = [own[-1] for own in numbers]
    threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return published


class _Switching:
    """A trace function that lets other threads run at pseudo-random instructions; each thread has its own.

    Args:
        seed: The seed of the pseudo-random numbers.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # no secret
        self._left = 1
        self._switches = _SWITCHES

    def __call__(self, frame: FrameType, _event: str, _argument: object) -> _Switching | None:
        if not self._switches:
            sys.settrace(None)
            return None
        frame.f_trace_opcodes = True
        self._left -= 1
        if not self._left:
            self._left = self._random.randint(1, 2 * _SWITCH_EVERY)
            self._switches -= 1
            time.sleep(1e-6)
        return self


# -- another interpreter


@dataclass(frozen=True)
class _Job:
    """What another interpreter gets: the state, pickled, and what makes a hub, if it can be brought there."""

    state: bytes
    make: PickledFunction | None


class ElsewhereError(Exception):
    """Another interpreter could not load the state."""


def load_elsewhere(make: Callable[[str], MessageHub], state: bytes) -> HubModel:
    """Load a pickled state into a new hub in another interpreter; return what the hub then holds.

    Where `make` cannot be brought there, because it is local to a function, the state alone goes there and back.

    Raises:
        ElsewhereError: With what went wrong there.
    """
    job = _Job(state, _pickled(make))
    given = pickle.dumps(sys.path) + pickle.dumps(job)
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter
            [sys.executable, "-c", _CHILD], input=given, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ElsewhereError(f"no answer within {_TIMEOUT:.0f} s") from None
    if done.returncode:
        raise ElsewhereError(_last_line(done.stderr) or f"exit status {done.returncode}")
    answer = pickle.loads(done.stdout)  # noqa: S301  # of a process that was started for it
    if isinstance(answer, HubModel):
        return answer
    hub = make("conformance-elsewhere")
    hub.load_state_dict(pickle.loads(answer))  # noqa: S301  # likewise
    return contents(hub)


def answer_elsewhere(given: bytes) -> bytes:
    """Load the state of a job in this interpreter, and return what the hub then holds; or the state, pickled again."""
    job: _Job = pickle.loads(given)  # noqa: S301  # this process was started for it
    if job.make is None:
        return pickle.dumps(pickle.dumps(pickle.loads(job.state)))  # noqa: S301  # likewise
    make: Any = job.make.load()
    hub = make("conformance-elsewhere")
    hub.load_state_dict(pickle.loads(job.state))  # noqa: S301  # likewise
    return pickle.dumps(contents(hub))


def _pickled(make: Any) -> PickledFunction | None:
    try:
        pickled = PickledFunction.of(make)
    except RanksError:
        return None
    # A script that runs as `__main__` would run a second time there.
    return None if pickled.module == "__main__" else pickled


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
