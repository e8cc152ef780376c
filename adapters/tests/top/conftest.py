from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.board import BoardScalar, BoardSnapshot
from runtimeinfo_adapters.top import Timestamp

TRAINING = Path(__file__).with_name("training.py")
BEGIN_NS = 1_700_000_000_000_000_000


@pytest.fixture(autouse=True)
def folder(board_folder: Path) -> Path:
    return board_folder


@pytest.fixture
def at() -> Callable[..., Timestamp]:
    """Return a function that makes a timestamp: seconds after the beginning, and the error of the wall clock."""
    return lambda seconds, wrong=0.0: Timestamp(1000.0 + seconds, BEGIN_NS + round((seconds + wrong) * 1e9))


@pytest.fixture
def board() -> Callable[..., BoardSnapshot]:
    """Return a function that makes a snapshot of a board, from when it was written in seconds after the beginning."""

    def make(written: float = 0.0, *, scalars: dict[str, tuple[float, int]] | None = None, **other: Any) -> Any:
        about = {"state": "live", "is_whole": True, "is_current": True, "is_elsewhere": False, "created_ns": BEGIN_NS}
        about |= {"unshared": frozenset(), "unshared_numbers": 0, "pid": 4711}
        infos = {key: other.pop(key) for key in list(other) if key not in about}
        return BoardSnapshot(
            path=Path("boards/4711-0.board"),
            updated_ns=BEGIN_NS + round(written * 1e9),
            infos=infos,
            scalars={key: BoardScalar(value, 1.0, updates) for key, (value, updates) in (scalars or {}).items()},
            **(about | other),
        )

    return make


@pytest.fixture
def training(folder: Path, wait_until: Callable[..., Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A real training under the adapter for plain PyTorch, in another process, that has begun."""
    process = subprocess.Popen([sys.executable, str(TRAINING)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        wait_until(lambda: list(folder.glob("*.board")) or process.poll() is not None)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()
