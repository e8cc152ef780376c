"""Processes of every kind: each is told of the run whose thread has started it, while another run is open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "processes.py"
HANG = 180  # seconds; one takes five at most: PyTorch is imported there, and in each spawned process


@pytest.mark.parametrize("part", ["of_one_run", "kept_hubs", "loaders", "other_libraries"])
def test_processes_are_told_of_the_run_that_started_them(part: str, board_folder: Path) -> None:
    if part == "other_libraries":
        pytest.importorskip("joblib")
    found = subprocess.run(
        [sys.executable, str(SCRIPT), part],
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[-1]) == []
    assert "UnsharedWarning" not in found.stderr
    assert list(board_folder.iterdir()) == []
