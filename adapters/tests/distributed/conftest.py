"""Running a script under a real torchrun, and reading what each of its ranks has written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
HANG = 120  # seconds; a launch takes about ten
RANKS = 4

Launch = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="package")
def launch(torchrun: Any) -> Launch:
    """Return a function that runs a script with a folder, and returns what each rank has noted, by case."""

    def run(script: str, folder: Path, *, fails: bool = False) -> list[dict[str, Any]]:
        ended = torchrun(HERE / script, folder, ranks=RANKS, hang=HANG)
        assert (ended.returncode != 0) == fails, ended.stdout
        return [notes_of(folder / f"{rank}.jsonl") for rank in range(RANKS)]

    return run


def notes_of(path: Path) -> dict[str, Any]:
    notes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({note["case"] for note in notes}) == len(notes)
    return {note["case"]: note["noted"] for note in notes}
