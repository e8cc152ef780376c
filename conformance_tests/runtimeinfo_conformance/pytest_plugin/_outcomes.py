"""Outcomes of checks as plain data: one check of each subject in a session, in all its threads and processes.

The plugin imports this module in every session, so it loads nothing of the kit.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pytest

if TYPE_CHECKING:
    from runtimeinfo_conformance._verdict import Crash
    from runtimeinfo_conformance.reports import ReportData


class ItemData(TypedDict):
    """The outcome of one item: `problem` is why it fails, if it does; `reason` why its requirement was not judged."""

    level: str
    verdict: str
    problem: str | None
    reason: str


class OutcomeData(TypedDict):
    """The outcome of all items of a subject; `summary` has the lines for the end of the session."""

    spec: str
    items: dict[str, ItemData]
    summary: list[str]
    report: ReportData | None


@dataclass(frozen=True)
class Outcome:
    """The outcome of the check of a subject.

    Attributes:
        data: The part that crosses from one process to another.
        crash: The error that the subject broke with, if it did; in the process that made the check.
    """

    data: OutcomeData
    crash: Crash | None = None


class Outcomes:
    """The outcomes of the checks of a session.

    Args:
        folder: The folder in which its processes share them; None if there is only one process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[str, Outcome] = {}
        # One item may run in several threads at once, and two items of the same subject may too.
        self._lock = threading.RLock()

    def get(self, key: str, make: Callable[[], Outcome]) -> Outcome:
        """Return the outcome with a key; make it if this session has not made it yet.

        While one thread or process makes it the others wait. If that process dies, the next one makes it.
        """
        with self._lock:
            if key not in self._known:
                self._known[key] = make() if self._folder is None else _shared(self._folder, key, make)
            return self._known[key]

    def all(self) -> list[OutcomeData]:
        """Return the outcomes so far, of all processes, in the order of their keys."""
        if self._folder is None:
            return [self._known[key].data for key in sorted(self._known)]
        files = [json.loads(file.read_text(encoding="utf-8")) for file in self._folder.rglob("*.json")]
        return [data for _, data in sorted(files, key=lambda entry: entry[0])]


OUTCOMES = pytest.StashKey[Outcomes]()
"""The place of the outcomes in the configuration of a session."""


def _shared(folder: Path, key: str, make: Callable[[], Outcome]) -> Outcome:
    from filelock import FileLock  # which only several processes need

    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    file = folder / f"{name}.json"
    # The system releases it when the process dies.
    with FileLock(str(folder / f"{name}.lock")):
        if file.exists():
            return Outcome(json.loads(file.read_text(encoding="utf-8"))[1])
        outcome = make()
        # A reader finds the whole file or none.
        half = file.with_suffix(".half")
        half.write_text(json.dumps([key, outcome.data]), encoding="utf-8")
        half.replace(file)
        return outcome
