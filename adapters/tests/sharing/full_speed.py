"""Reads positions beside a writer at full speed, and counts those that are not of one moment.

Run as ``full_speed.py READS``: 10,000,000 take two minutes, and a test asks for fewer.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from runtimeinfo.board import BoardReader
from runtimeinfo_adapters import MessageHub

ITERS_PER_EPOCH = 7
SEEN = 1000
"""How many different positions are read at least: on a busy machine reader and writer take turns for long."""


def write(path: Any, stop: Event) -> None:
    """Write as a training without any work in it does; iter says what all else has to be."""
    hub = MessageHub("writer")
    path.send(hub.share().path)
    written = 0
    while not stop.is_set():
        for _ in range(1000):
            epoch, batch = divmod(written, ITERS_PER_EPOCH)
            if batch:
                hub.update_info("iter", written)
            else:  # what a reader must never see the half of
                hub.update_info_dict({"epoch": epoch, "iter": written, "max_iters": 2 * written})
            written += 1
    path.send(written)


def main(reads: int) -> None:
    receive, send = multiprocessing.Pipe(duplex=False)
    stop = multiprocessing.Event()
    writer = multiprocessing.Process(target=write, args=(send, stop))
    writer.start()
    reader = BoardReader(Path(receive.recv()))
    while reader.get_info("max_iters") is None:
        time.sleep(0.001)
    torn = backwards = 0
    last = -1
    seen = set()
    begin = time.perf_counter()
    count = 0
    while count < reads or len(seen) < SEEN:
        count += 1
        position = reader.position()
        begun = position.epoch * ITERS_PER_EPOCH
        torn += not (position.max_iters == 2 * begun and begun <= position.iter < begun + ITERS_PER_EPOCH)
        backwards += position.iter < last
        last = position.iter
        seen.add(last)
    seconds = time.perf_counter() - begin
    stop.set()
    written = receive.recv()
    writer.join()
    print(
        json.dumps(
            {"reads": count, "torn": torn, "backwards": backwards, "seen": len(seen), "written": written, "s": seconds}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
