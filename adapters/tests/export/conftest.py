from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.board import board_files
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.export import RunSamples

TRAINING = Path(__file__).with_name("training.py")
COMMAND = ("-c", "from runtimeinfo_conformance.command_line._cli import main; main()", "export")
# Of one that runs these tests.
_IDENTITY = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "RUNTIMEINFO_JOB", "RUNTIMEINFO_RUN_ID", "RUNTIMEINFO_CHECK")


@pytest.fixture(autouse=True)
def folder(board_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in _IDENTITY:
        monkeypatch.delenv(name, raising=False)
    return board_folder


@pytest.fixture
def shared() -> Iterator[Callable[..., MessageHub]]:
    """Return a function that makes a hub with infos and scalars, which is on a board until the test ends."""
    hubs: list[MessageHub] = []

    def make(scalars: dict[str, float] | None = None, **infos: Any) -> MessageHub:
        hub = MessageHub(f"of-test-{len(hubs)}", runtime_info=infos)
        hubs.append(hub)
        for name, value in (scalars or {}).items():
            hub.update_scalar(name, value)
        hub.share()
        return hub

    yield make
    for hub in hubs:
        hub.unshare()


@pytest.fixture
def taken() -> Callable[..., dict[str, list[tuple[dict[str, str], float]]]]:
    """Return a function that takes samples, and returns them by the names of their metrics."""

    def take(samples: RunSamples) -> dict[str, list[tuple[dict[str, str], float]]]:
        return {
            metric.name: [(dict(zip(metric.labels, labels, strict=True)), float(value)) for labels, value in found]
            for metric, found in samples.take().items()
        }

    return take


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a program of Python, which is killed when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def exporter(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[subprocess.Popen[str], str]]:
    """Return a function that starts ``runtimeinfo export``, and returns the process and its first line."""

    def begin(*options: object) -> tuple[subprocess.Popen[str], str]:
        process = start(*COMMAND, *options)
        assert process.stderr is not None
        return process, process.stderr.readline()

    return begin


@pytest.fixture
def board_of(wait_until: Callable[..., Any]) -> Callable[[subprocess.Popen[str]], Path]:
    """Return a function that waits for the board of a process."""

    def wait(process: subprocess.Popen[str]) -> Path:
        def found() -> list[Path]:
            assert process.poll() is None
            return [path for path in board_files() if path.name.startswith(f"{process.pid}-")]

        return wait_until(found)[0]

    return wait
