from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SITE = Path(__file__).parents[2] / "runtimeinfo_adapters" / "autopublish" / "_site"

COMMAND = "from runtimeinfo_conformance.command_line._cli import main; main()"


class Ended(NamedTuple):
    """How a process has ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


def environment(**more: str) -> dict[str, str]:
    # pytest and coverage would also see the processes, and each would compile what it imports.
    unwanted = ("PYTEST", "COV", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "RUNTIMEINFO_AUTOPUBLISH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | {"OMP_NUM_THREADS": "1"} | more


def run(command: list[str], folder: Path, *, stdin: str = "", seconds: float = 120, **more: str) -> Ended:
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment(**more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def bare(tmp_path: Path) -> Run:
    """Return a function that runs Python in the folder of the test."""

    def run_bare(*words: str, **options: Any) -> Ended:
        return run([sys.executable, *words], tmp_path, **options)

    return run_bare


@pytest.fixture
def published(tmp_path: Path) -> Run:
    """Return a function that calls ``runtimeinfo run`` in the folder of the test."""

    def run_published(*words: str, **options: Any) -> Ended:
        return run([sys.executable, "-c", COMMAND, "run", *words], tmp_path, **options)

    return run_published


@pytest.fixture
def hooked(tmp_path: Path) -> Run:
    """Return a function that runs Python in the environment that ``runtimeinfo run`` makes.

    The command itself is a Python, too, and would see what a test does to every Python.
    """

    def run_hooked(*words: str, PYTHONPATH: str = "", **options: Any) -> Ended:  # noqa: N803  # the variable
        paths = os.pathsep.join(filter(None, [str(SITE), PYTHONPATH]))
        return run([sys.executable, *words], tmp_path, PYTHONPATH=paths, RUNTIMEINFO_AUTOPUBLISH="1", **options)

    return run_hooked


@pytest.fixture
def same(bare: Run, published: Run) -> Run:
    """Return a function that runs Python without and with ``runtimeinfo run``, and expects the same of both."""

    def run_both(*words: str, **options: Any) -> Ended:
        without, with_us = bare(*words, **options), published(*words, **options)
        assert with_us == without
        return without

    return run_both
