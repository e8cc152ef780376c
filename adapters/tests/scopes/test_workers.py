"""Run the tests of forked workers in a process that has done nothing else.

A worker that is forked from a thread, in a process in which hundreds of tests have left threads of frameworks behind,
can die of that. People fork from a process that trains.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).with_name("forked_workers.py")


@pytest.mark.parametrize(
    "tests",
    ["test_workers_of_trainings_in_two_threads", "test_workers_of_a_training_around", "test_persistent_workers"],
)
def test_forked_workers_of_several_trainings(tests: str) -> None:
    arguments = ["-q", "-p", "no:cacheprovider", "-o", f"python_files={TESTS.name}", "-k", tests, str(TESTS)]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], check=False, capture_output=True, text=True, timeout=600, cwd=ROOT
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert " passed" in found.stdout
    assert "failed" not in found.stdout
