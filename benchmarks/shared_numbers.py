"""What it costs to let another process know a number: to write it, and to read it there."""

from __future__ import annotations

import multiprocessing
from timeit import Timer
from typing import Any

import torch
from timing import round_robin

from runtimeinfo import current_hub, use_hub
from runtimeinfo.board import BoardReader
from runtimeinfo_adapters import MessageHub

WRITE = "hub.update_info"
READ = "current_hub().get_info"
READ_BOARD = "BoardReader.get_info"
PEERS = ("multiprocessing.Value", "multiprocessing.RawValue", "a shared torch tensor")

_WRITES = {
    WRITE: "hub.update_info('iter', 7)",
    PEERS[0]: "value.value = 7",
    PEERS[1]: "raw.value = 7",
    PEERS[2]: "tensor.fill_(7)",
}
_READS = {
    READ: "current_hub().get_info('iter')",
    READ_BOARD: "reader.get_info('iter')",
    PEERS[0]: "value.value",
    PEERS[1]: "raw.value",
    PEERS[2]: "tensor.item()",
}


class WrongReadError(Exception):
    """A worker does not read what was written."""


def costs(repetitions: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of a write, and those of a read in a forked worker, for us and each of the peers.

    Raises:
        WrongReadError: If the worker does not read what was written.
    """
    fork = multiprocessing.get_context("fork")
    hub = MessageHub("shared numbers")
    names: dict[str, Any] = {
        "hub": hub,
        "current_hub": current_hub,
        "value": fork.Value("q"),
        "raw": fork.RawValue("q"),
        "tensor": torch.zeros((), dtype=torch.int64).share_memory_(),
    }
    here, there = fork.Pipe()

    def read_in_worker(path: str) -> None:
        names["reader"] = BoardReader(path)
        read = {name: eval(statement, names) for name, statement in _READS.items()}
        there.send((read, _medians(_READS, names, repetitions, rounds)))

    with use_hub(hub):
        written = _medians(_WRITES, names, repetitions, rounds)
        worker = fork.Process(target=read_in_worker, args=(str(hub.board_path),))
        worker.start()
        there.close()
        try:
            read, taken = here.recv()
        finally:
            worker.join()
    if set(read.values()) != {7}:
        raise WrongReadError(f"written was 7, and a worker has read {read}")
    return written, taken


def _medians(statements: dict[str, str], names: dict[str, Any], repetitions: int, rounds: int) -> dict[str, float]:
    timers = {name: Timer(statement, globals=names) for name, statement in statements.items()}
    return round_robin(
        {name: lambda timer=timer: timer.timeit(repetitions) / repetitions for name, timer in timers.items()}, rounds
    )
