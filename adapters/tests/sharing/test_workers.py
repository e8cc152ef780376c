"""What a component reads in real workers of a DataLoader, however these were started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "training_with_workers.py"
LENGTH, WORKERS, PREFETCH, EPOCHS = 14, 2, 2, 3
HANG = 180  # seconds; one takes ten

# Spawned workers import PyTorch, which takes seconds: where they are not persistent, for each epoch.
CASES = [
    ("pytorch", "fork", "fresh"),
    ("pytorch", "spawn", "persistent"),
    ("forked_before", "fork", "persistent"),
    ("by_hand", "forkserver", "fresh"),
    ("lightning", "fork", "persistent"),
    ("mmengine", "fork", "fresh"),
]


@pytest.mark.parametrize(("framework", "start_method", "persistence"), CASES)
def test_the_epoch_is_exact_and_the_iteration_as_far_behind_as_workers_fetch_ahead(
    framework: str, start_method: str, persistence: str
) -> None:
    found = subprocess.run(
        [sys.executable, str(SCRIPT), framework, start_method, persistence],
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert found.returncode == 0, found.stderr
    reads = json.loads(found.stdout.splitlines()[-1])
    assert len(reads) == EPOCHS * LENGTH
    assert [epoch for epoch, _, _ in reads] == [index // LENGTH for index in range(EPOCHS * LENGTH)]
    assert all(max_epochs == EPOCHS for _, _, max_epochs in reads[PREFETCH * WORKERS :])
    behind = [index - iteration for index, (_, iteration, _) in enumerate(reads)]
    # One more than is fetched ahead, since an iteration is published once its batch is there; and in Lightning
    # another one, which it fetches ahead itself.
    assert max(behind) <= WORKERS * PREFETCH + 1 + (framework == "lightning")
    assert min(behind) >= 0
    assert len({iteration for _, iteration, _ in reads}) > EPOCHS  # it moves within an epoch
