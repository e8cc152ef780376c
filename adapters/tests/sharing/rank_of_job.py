"""One rank of a job: share a hub until all ranks do, and note what each rank has on its board."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from runtimeinfo.board import board_files, read_board
from runtimeinfo_adapters import MessageHub

folder = Path(sys.argv[1])
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
hub = MessageHub("rank")
hub.share()
deadline = time.monotonic() + 60
while len(board_files()) < size and time.monotonic() < deadline:
    time.sleep(0.01)
path = hub.board_path
assert path is not None
identity = read_board(path).identity
assert identity is not None
(folder / f"{rank}.json").write_text(json.dumps({**asdict(identity), "of_hub": hub.run_id}))
while len(list(folder.glob("*.json"))) < size and time.monotonic() < deadline:
    time.sleep(0.01)
