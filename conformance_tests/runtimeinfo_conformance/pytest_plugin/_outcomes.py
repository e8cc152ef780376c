"""The outcomes of a test session: one check of each subject, however many processes the session has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from runtimeinfo_conformance.pytest_plugin._outcome import Outcome, OutcomeData


class Outcomes:
    """The outcomes of the checks of a session.

    Args:
        folder: Where its processes share them; None if there is only one process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[str, Outcome] = {}

    def get(self, key: str, make: Callable[[], Outcome]) -> Outcome:
        """Return the outcome with a key; make it if nobody in this session has.

        While one process makes it the others wait. If that process dies, the next one makes it.
        """
        if key not in self._known:
            self._known[key] = make() if self._folder is None else _shared(self._folder, key, make)
        return self._known[key]

    def all(self) -> list[OutcomeData]:
        """Return the outcomes that there are so far, of all processes, in the order of their keys."""
        if self._folder is None:
            return [self._known[key].data for key in sorted(self._known)]
        files = [json.loads(file.read_text(encoding="utf-8")) for file in self._folder.rglob("*.json")]
        return [data for _, data in sorted(files, key=lambda entry: entry[0])]


OUTCOMES = pytest.StashKey[Outcomes]()
"""Where the configuration of a session keeps its outcomes."""


def _shared(folder: Path, key: str, make: Callable[[], Outcome]) -> Outcome:
    from filelock import FileLock  # which only several processes need

    from runtimeinfo_conformance.pytest_plugin._outcome import Outcome

    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    file = folder / f"{name}.json"
    # The system releases it when the process dies.
    with FileLock(str(folder / f"{name}.lock")):
        if file.exists():
            return Outcome(json.loads(file.read_text(encoding="utf-8"))[1])
        outcome = make()
        # It is there as a whole or not at all.
        half = file.with_suffix(".half")
        half.write_text(json.dumps([key, outcome.data]), encoding="utf-8")
        half.replace(file)
        return outcome
