"""Running a script under a real torchrun, and reading what each of its ranks has written down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
HANG = 120  # seconds; a launch takes about ten
RANKS = 4

Launch = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="package")
def launch() -> Launch:
    """Return a function that runs a script with a folder, and returns what each rank has noted, by case."""

    def run(script: str, folder: Path, *, fails: bool = False) -> list[dict[str, Any]]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if sys.platform == "linux":  # whatever name this machine has, and whoever may resolve it
            environment["GLOO_SOCKET_IFNAME"] = "lo"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]
        # When a rank has failed, torchrun ends the others by SIGTERM, maybe before they have noted what they saw. Held
        # back from them, which a new process inherits, it leaves them the 30 seconds that torchrun gives for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            process = subprocess.Popen(
                [*command, str(HERE / script), str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        with process:
            try:
                output, _ = process.communicate(timeout=HANG)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # torchrun then ends its ranks
                pytest.fail(f"{script} hangs:\n{process.communicate()[0]}")
        assert (process.returncode != 0) == fails, output
        return [notes_of(folder / f"{rank}.jsonl") for rank in range(RANKS)]

    return run


def notes_of(path: Path) -> dict[str, Any]:
    notes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({note["case"] for note in notes}) == len(notes)
    return {note["case"]: note["noted"] for note in notes}
