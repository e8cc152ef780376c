"""The process that this one works for, if it is a worker."""

from __future__ import annotations

import os
import sys

from runtimeinfo._message_hub import InfoReader
from runtimeinfo._parents_run import ParentsRun


class Parent:
    """Knows which process this one works for, and whom to ask there.

    Args:
        nobody: Who answers while no run is shared.
    """

    def __init__(self, nobody: InfoReader) -> None:
        self._nobody = nobody
        self._inherited = nobody
        self._forked_from: int | None = None
        self._run: InfoReader = nobody
        self._is_final = False

    @property
    def hub(self) -> InfoReader:
        """The hub of the run that the parent is in; nobody's if this process is no worker."""
        if self._is_final:
            return self._run
        parent = self._parent_by_multiprocessing()
        # Asked anew as long as there is none: a spawned worker imports this before it knows its parent.
        self._is_final = parent is not None
        pid = self._forked_from if parent is None else parent
        if pid is not None and not (isinstance(self._run, ParentsRun) and self._run.pid == pid):
            self._run = ParentsRun(pid, self._inherited, self._nobody)
        return self._run

    def note_fork(self, inherited: InfoReader | None) -> None:
        """Note in a forked child whose child it is, and which hub was the current one at the fork."""
        # In the child of a worker the current hub is what reads the run of the worker's parent.
        self._inherited = self.hub if inherited is None else inherited
        self._forked_from = os.getppid()
        self._run = self._nobody
        self._is_final = False

    def _parent_by_multiprocessing(self) -> int | None:
        # Its workers have it loaded. What it calls the parent is not the system's: a fork server may be in between.
        process = sys.modules.get("multiprocessing.process")
        parent = None if process is None else process.parent_process()
        return None if parent is None else parent.pid
