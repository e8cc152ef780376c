from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The examples are imported from this folder, as the runners beside the tests of the kit are.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


@pytest.fixture(autouse=True)
def _quick_collection() -> Iterator[None]:
    """Exempt the objects of the frameworks from garbage collection, which a trace needs to reach its end."""
    gc.freeze()
    yield
    gc.unfreeze()
