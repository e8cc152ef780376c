from __future__ import annotations

import sys
from pathlib import Path

import pytest

# As the runners beside the kit's tests: what is shared here is imported from its own folder.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"
