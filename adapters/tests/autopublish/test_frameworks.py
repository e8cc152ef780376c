"""Unmodified scripts of each framework: under ``runtimeinfo run`` they publish, and behave as without it."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SCRIPTS = Path(__file__).parent / "frameworks"

# Of the output: times, and what follows from them.
_TIMES = re.compile(
    r"'(train|eval)_(runtime|samples_per_second|steps_per_second)': '[^']*'|^[\d/]+ [\d:]+ - ", re.MULTILINE
)

FRAMEWORKS = {
    "lightning": ["train_lightning.py", "lightning.pytorch", "interrupt"],
    "accelerate": ["train_accelerate.py", "fail"],
    "transformers": ["train_transformers.py", "fail"],
    "keras": ["train_keras.py", "fail"],
    "ignite": ["train_ignite.py", "fail"],
    "mmengine": ["train_mmengine.py", "fail"],
}
"""The script of each framework, and its arguments: in the end it fails, or is interrupted."""


class Read(NamedTuple):
    """What the hub said at one place of a script, beside what the script had counted."""

    place: str
    name: str
    expected: Any
    seen: Any

    @property
    def verdict(self) -> str:
        if _is_same(self.expected, self.seen) or (self.expected == [] and self.seen is None):
            return "right"
        return "absent" if self.seen is None else "wrong"


def _is_same(expected: Any, seen: Any) -> bool:
    if isinstance(expected, list) and isinstance(seen, list):
        return len(expected) == len(seen) and all(map(_is_same, expected, seen))
    if isinstance(expected, float) and isinstance(seen, float):
        return math.isclose(expected, seen, abs_tol=2e-5)
    return bool(expected == seen)


class Finished(NamedTuple):
    """What came out of a script."""

    code: int
    output: str
    errors: str
    reads: list[Read]


def start(words: list[str], folder: Path, *, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a script; `finish` waits for it."""
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=SCRIPTS,
        env={**os.environ, "RUNTIMEINFO_TEST_READS": str(folder / "reads.jsonl"), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], folder: Path) -> Finished:
    try:
        output, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    path = folder / "reads.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    reads = [Read(**json.loads(line)) for line in lines]
    return Finished(process.returncode, _TIMES.sub("", output), _TIMES.sub("", errors), reads)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Finished]:
    """Run a script without and under `runtimeinfo run`, at the same time."""
    words = FRAMEWORKS[request.param]
    folders = tmp_path_factory.mktemp("without"), tmp_path_factory.mktemp("under")
    processes = start(words, folders[0]), start(["-m", "runtimeinfo", "run", *words], folders[1])
    without, under = (finish(*each) for each in zip(processes, folders, strict=True))
    return without, under


def check_reads(reads: list[Read]) -> None:
    """Check that each read is right. Of a loop it is known only from the first step on that it trains."""
    assert [read for read in reads if read.verdict != "right" and read.place != "first step"] == []
    assert {read.seen for read in reads if read.place == "first step"} <= {None}
    named = {read.name.rpartition(".")[2] for read in reads if read.place == "train"}
    assert named == {"stage", "epoch", "iter", "lr", "losses"}


def test_each_read_is_right(both: tuple[Finished, Finished]) -> None:
    check_reads(both[1].reads)


def test_nothing_is_read_without_the_command(both: tuple[Finished, Finished]) -> None:
    """So that the reads of the other run are what it publishes."""
    without, under = both
    assert Counter((read.place, read.name) for read in without.reads) == Counter(
        (read.place, read.name) for read in under.reads
    )
    assert {read.seen for read in without.reads} == {None}


def test_output_exit_code_and_traceback_are_as_without_the_command(both: tuple[Finished, Finished]) -> None:
    without, under = both
    assert without.code == under.code == 1
    assert under.output == without.output
    assert under.errors == without.errors


def test_the_other_package_of_lightning_publishes_too(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    words = ["train_lightning.py", "pytorch_lightning", "fail"]
    finished = finish(start(["-m", "runtimeinfo", "run", *words], tmp_path), tmp_path)
    check_reads(finished.reads)
    assert finished.code == 1
    assert finished.errors.endswith("ValueError: the data is broken\n")
    assert "runtimeinfo" not in finished.errors
