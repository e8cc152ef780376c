"""The processes of all ranks, which form a gloo group and execute a plan turn by turn.

They are started once per process and kept, because PyTorch takes seconds to load. The function of a subject is sent to
them by pickle, so they must find it by its name. A module that they cannot import, for example a test module under
pytest, is loaded from its file.
"""

from __future__ import annotations

import atexit
import importlib.util
import multiprocessing
import time
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from runtimeinfo_conformance.plans import RANKS, Turn
from runtimeinfo_conformance.ranks._rank import Answer, PickledFunction, RanksError, Reduce, be_a_rank

# Seconds for all ranks together: longer than one of them waits for another.
_HANG = 40.0


class Ranks:
    """The processes of all ranks.

    Raises:
        RanksError: If PyTorch is not installed, or they do not start.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("torch") is None:
            raise RanksError("to reduce over ranks takes PyTorch: pip install torch")
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork of a process with threads, as PyTorch starts them, can deadlock
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for rank in range(RANKS):
            ours, theirs = context.Pipe()
            process = context.Process(target=be_a_rank, args=(rank, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._groups = 0
        port = self._answers(range(1))[0]
        self._tell(range(1, RANKS), port)
        if any(answer != "ready" for answer in self._answers(range(RANKS))):
            self.close()
            raise RanksError("the ranks do not start: run the check again, and see what they print")

    def begin(self, reduce: Reduce) -> None:
        """Give each rank a new hub, and the function that reduces it.

        Raises:
            RanksError: If a rank cannot find the function.
        """
        self._groups += 1
        self._tell(range(RANKS), ("begin", self._groups, PickledFunction.of(reduce)))
        for answer in self._answers(range(RANKS)):
            if answer != "ready":
                raise RanksError(f"the ranks cannot find {reduce!r}: {answer}. Put it at the top of a module")

    def turn(self, turn: Turn) -> list[Answer]:
        """Let each rank publish and reduce, and return their answers."""
        self._groups += 1  # a group that breaks in this turn is replaced in the next one
        self._tell(range(RANKS), ("turn", self._groups, turn))
        answers = self._answers(range(RANKS))
        return [
            each if isinstance(each, Answer) else Answer(error=f"this rank {each}", is_there=False) for each in answers
        ]

    @property
    def is_whole(self) -> bool:
        """Whether every process is alive; one that did not answer was killed."""
        return all(process.is_alive() for process in self._processes)

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.kill()
            process.join()

    def _tell(self, ranks: range, message: Any) -> None:
        for rank in ranks:
            try:
                self._pipes[rank].send(message)
            except OSError:
                continue  # it has died, which becomes its answer

    def _answers(self, ranks: range) -> list[Any]:
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + _HANG
        while len(answers) < len(ranks):
            open_pipes = [self._pipes[rank] for rank in ranks if rank not in answers]
            ready = wait(open_pipes, timeout=max(deadline - time.monotonic(), 0.0))
            if not ready:
                break
            for pipe in cast("list[Connection]", ready):
                try:
                    answers[self._pipes.index(pipe)] = pipe.recv()
                except (EOFError, OSError):
                    answers[self._pipes.index(pipe)] = "has died"
        if len(answers) < len(ranks):
            for rank in ranks:
                if rank not in answers:
                    self._processes[rank].kill()
                    self._processes[rank].join()
        return [answers.get(rank, "hangs") for rank in ranks]


_shared: list[Ranks] = []


def shared_ranks() -> Ranks:
    """Return the ranks of this process; start them if there are none, or if one has died.

    Raises:
        RanksError: If they cannot be started.
    """
    if _shared and not _shared[0].is_whole:
        _shared.pop().close()
    if not _shared:
        _shared.append(Ranks())
    return _shared[0]


def close_ranks() -> None:
    """End the processes, if any were started."""
    while _shared:
        _shared.pop().close()


atexit.register(close_ranks)
