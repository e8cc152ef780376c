"""Publish to a hub from two threads at once, pausing one at each instruction in turn while the other publishes."""

from __future__ import annotations

import dis
import gc
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, FrameType
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_conformance.judges._hub_model import Entry
from runtimeinfo_conformance.plans import is_resumed

# Seconds for which a paused thread waits for the other one. That one may itself be waiting for a lock that the paused
# thread holds. The second time applies where no thread has been seen to block before, because the thread may only be
# slow.
_SOON = 0.0005  # seconds
_LATE = 0.02

# A longer update is paused at this many instructions, evenly spread.
_MOST_PAUSES = 400

# These touch only the thread's own data, so a pause before one of them is the same as a pause before the next
# instruction. Unknown instructions are not among them, so a new Python costs time but no coverage.
_OWN = (
    "BUILD_", "CACHE", "COPY", "EXTENDED_ARG", "JUMP", "KW_NAMES", "LOAD_CLOSURE", "LOAD_CONST", "LOAD_FAST",
    "LOAD_GLOBAL", "LOAD_SMALL_INT", "MAKE_", "NOP", "NOT_TAKEN", "POP_", "PRECALL", "PUSH_", "RESUME", "RETURN_",
    "STORE_FAST", "SWAP", "UNPACK_",
)  # fmt: skip


@dataclass
class Published:
    """Updates published by two threads.

    Attributes:
        scalars: For each scalar, the values and counts of each thread, in its order.
        infos: For each info, the last value of each thread that published it.
        errors: The exceptions of the threads.
    """

    scalars: dict[str, list[list[Entry]]] = field(default_factory=dict[str, Any])
    infos: dict[str, list[Any]] = field(default_factory=dict[str, Any])
    errors: list[BaseException] = field(default_factory=list[BaseException])


def publish_in_threads(hub: MessageHub, key: str) -> Published:
    """Publish from two threads at once: to one scalar, to new scalars, to infos.

    Each kind of update is repeated until the first thread has been paused at each of its instructions.
    """
    published, resumed = Published(), is_resumed(key)
    last = f"{key}/last"

    def scalar(number: int) -> None:
        hub.update_scalar(key, number, count=number + 1, resumed=resumed)

    def scalars(number: int) -> None:
        hub.update_scalars({f"{key}/new {number // 2}": number}, resumed)

    def info(number: int) -> None:
        hub.update_info(f"{key}/{number}", number, resumed=resumed)

    def infos(number: int) -> None:
        hub.update_info_dict({f"{key}/dict {number}": number, last: number}, resumed)

    infos(0)
    ways = [scalar, scalars, info]
    if hub.get_info(last, None) is not None:  # otherwise it is HUB-09's
        ways.append(infos)
    rounds = [_interleaved(publish, published.errors) for publish in ways]
    numbers = [[range(thread, 2 * times, 2) for thread in range(2)] for times in rounds]
    published.scalars[key] = [[(float(number), number + 1) for number in own] for own in numbers[0]]
    for index in range(rounds[1]):
        published.scalars[f"{key}/new {index}"] = [[(float(own[index]), 1)] for own in numbers[1]]
    published.infos = {f"{key}/{number}": [number] for number in range(2 * rounds[2])}
    for times in rounds[3:]:
        published.infos |= {f"{key}/dict {number}": [number] for number in range(2 * times)}
        published.infos[last] = [2 * times - 2, 2 * times - 1]
    return published


def _interleaved(publish: Callable[[int], None], errors: list[BaseException]) -> int:
    """Publish even numbers from one thread and odd numbers from the other, until the first has been paused everywhere.

    Returns:
        The number of updates that each thread has published.
    """
    blocking: set[_Place] = set()

    def make_round(number: int, index: int) -> _Pause:
        other = threading.Thread(target=_noting(publish, errors), args=(number + 1,), daemon=True)
        pause = _Pause(index, other, blocking)
        first = threading.Thread(target=pause.around(_noting(publish, errors)), args=(number,), daemon=True)
        first.start()
        first.join()
        if not pause.has_come:
            other.start()
        other.join()
        return pause

    make_round(0, sys.maxsize)  # the first update of a scalar may do more
    passed = make_round(2, sys.maxsize).passed
    rounds, index = 2, 0
    while index < len(passed) and not errors:
        pause = make_round(2 * rounds, index)
        rounds += 1
        index += max(1, len(passed) // _MOST_PAUSES)
        # The other thread would only wait again until the first one has released the lock, which takes a call.
        while pause.has_blocked and index < len(passed) and not passed[index - 1]:
            index += 1
    return rounds


def _noting(publish: Callable[[int], None], errors: list[BaseException]) -> Callable[[int], None]:
    def noting(number: int) -> None:
        try:
            publish(number)
        except BaseException as error:  # noqa: BLE001  # it is the finding
            errors.append(error)

    return noting


_Place = tuple[CodeType, int]


class _Pause:
    """Trace function that pauses a thread at an instruction until another thread is done or waits for a lock.

    Args:
        index: The instruction to pause before, from 0.
        other: The other thread, started at the pause.
        blocking: The places where the other thread has been seen to wait for a lock, shared by all pauses of an update.

    Attributes:
        has_come: Whether the thread has reached that instruction.
        has_blocked: Whether the other thread then waited for a lock.
        passed: For each earlier instruction, whether it is a call.
    """

    def __init__(self, index: int, other: threading.Thread, blocking: set[_Place]) -> None:
        self._index = index
        self._other = other
        self._blocking = blocking
        self.has_come = False
        self.has_blocked = False
        self.passed: list[bool] = []

    def around(self, publish: Callable[[int], None]) -> Callable[[int], None]:
        """Return the function with the pause in it."""

        def paused(number: int) -> None:
            sys.settrace(self._trace)
            try:
                publish(number)
            finally:
                sys.settrace(None)

        return paused

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if self.has_come:
            sys.settrace(None)
            return None
        frame.f_trace_opcodes = True
        is_call = _shared_instructions(frame.f_code).get(frame.f_lasti) if event == "opcode" else None
        if is_call is not None:
            if len(self.passed) == self._index:
                self.has_come = True
                self._run_other()
            else:
                self.passed.append(is_call)
        return self._trace

    def _run_other(self) -> None:
        self._other.start()
        self._other.join(_SOON)
        place = self._place()
        if place is not None and place not in self._blocking:
            self._other.join(_LATE)
            if self._place() == place:
                self._blocking.add(place)
        self.has_blocked = self._place() in self._blocking

    def _place(self) -> _Place | None:
        """Return the place where the other thread is, or None once it is done."""
        frame = _frames().get(self._other.ident or 0) if self._other.is_alive() else None
        return None if frame is None else (frame.f_code, frame.f_lasti)


def _frames() -> dict[int, FrameType]:
    """Return the frame of each thread.

    Before Python 3.11.5, a garbage collection during this call can block all threads forever.
    Source: https://github.com/python/cpython/issues/106883
    """
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # documented, in spite of its name
    finally:
        if is_enabled:
            gc.enable()


@cache
def _shared_instructions(code: CodeType) -> dict[int, bool]:
    """Return the offsets of instructions that may touch shared data, and whether each is a call."""
    return {
        each.offset: "CALL" in each.opname or "WITH" in each.opname
        for each in dis.get_instructions(code)
        if not each.opname.startswith(_OWN)
    }
