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
from expected import EVERYTHING, EXPECTED, Expectation, compare  # noqa: E402

Run = Callable[..., Any]


@pytest.mark.parametrize("name", EXPECTED)
def test_values_of_a_plain_script_are_right_or_absent(published: Run, tmp_path: Path, name: str) -> None:
    read = tmp_path / "read.jsonl"
    ended = published(str(SCRIPTS / f"{name}.py"), PROBE_FILE=str(read))
    assert ended.code == EXPECTED[name].exit_code, ended.err
    assert "AutopublishWarning" not in ended.err
    assert compare(map(json.loads, read.read_text().splitlines()), EXPECTED[name]) == []


def test_values_of_each_rank_are_right(published: Run, tmp_path: Path) -> None:
    read = tmp_path / "read.jsonl"
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPTS / "ranks.py"))
    ended = published(*command, PROBE_FILE=str(read))
    assert ended.code == 0, ended.err
    assert "AutopublishWarning" not in ended.err
    assert sorted(ended.out.splitlines()) == ["rank 0 done", "rank 1 done"]
    for rank in range(2):
        lines = [json.loads(line) for line in Path(f"{read}.{rank}").read_text().splitlines()]
        assert len(lines) == 12
        assert compare(lines, Expectation("a loader of its own in each rank", EVERYTHING)) == []
