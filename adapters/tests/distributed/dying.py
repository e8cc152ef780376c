"""Rank 3 dies in the middle; the others are told, and go on without it."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from noting import Notes, told

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.distributed import Reducer


def main() -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=3))
    rank = dist.get_rank()
    notes = Notes(Path(sys.argv[1]), rank)
    hub = MessageHub("dying")
    reducer = Reducer(hub)
    hub.update_scalar("loss", float(rank))
    notes.note("together", told(reducer.reduce))
    hub.update_scalar("loss", 10.0 + rank)
    if rank == 3:
        os._exit(3)
    begin = time.monotonic()
    notes.note("alone", told(reducer.reduce))
    notes.note("seconds", time.monotonic() - begin)
    notes.note("again", told(reducer.reduce))
    hub.update_scalar("loss", 20.0 + rank)
    left = dist.new_group([0, 1, 2], use_local_synchronization=True, timeout=timedelta(seconds=20))
    notes.note("those who are left", told(lambda: reducer.reduce(left)))


if __name__ == "__main__":
    main()
