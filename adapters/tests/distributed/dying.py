"""Rank 3 dies in the middle; the others are told, and go on without it."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from noting import Notes, told

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.distributed import Reducer


def main() -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    dist.barrier()  # from here on no rank is late because it was still loading PyTorch
    group = dist.new_group(timeout=timedelta(seconds=4))
    notes = Notes(Path(sys.argv[1]), rank)
    hub = MessageHub("dying")
    reducer = Reducer(hub)
    hub.update_scalar("loss", float(rank))
    notes.note("together", told(lambda: reducer.reduce(group)))
    hub.update_scalar("loss", 10.0 + rank)
    if rank == 3:
        os._exit(3)
    notes.note("alone", told(lambda: reducer.reduce(group)))
    notes.note("again", told(lambda: reducer.reduce(group)))
    hub.update_scalar("loss", 20.0 + rank)
    left = dist.new_group([0, 1, 2], use_local_synchronization=True, timeout=timedelta(seconds=20))
    notes.note("those who are left", told(lambda: reducer.reduce(left)))


if __name__ == "__main__":
    main()
