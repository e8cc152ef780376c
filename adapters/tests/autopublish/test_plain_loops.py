"""Plain scripts with independent counts, under ``runtimeinfo run``: each value is right, or absent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

SCRIPTS = Path(__file__).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
from expected import EXPECTED, compare  # noqa: E402

Run = Callable[..., Any]


@pytest.mark.parametrize("name", EXPECTED)
def test_values_of_a_plain_script_are_right_or_absent(published: Run, tmp_path: Path, name: str) -> None:
    read = tmp_path / "read.jsonl"
    ended = published(str(SCRIPTS / f"{name}.py"), PROBE_FILE=str(read))
    assert ended.code == EXPECTED[name].exit_code, ended.err
    assert "AutopublishWarning" not in ended.err
    assert compare(map(json.loads, read.read_text().splitlines()), EXPECTED[name]) == []
