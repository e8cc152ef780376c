"""Faults in the view of another process: a missing run, or one that differs from the hub."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtimeinfo.board import find_board, layout
from runtimeinfo_adapters.sharing import Board
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault
from runtimeinfo_conformance.observation import Recorder, observer_of
from runtimeinfo_conformance.plans import Plan, _planned_data

Change = Callable[[Any], dict[int, int]]
"""Returns the faulty cells of a board. Called with the hub."""


def board_shows(change: Change, *events: str) -> MakeFault:
    """Let a board show faulty values while the given events, by default all, are recorded."""

    def make(_plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if not isinstance(observer_of(hook), Recorder) or (events and event not in events):
                return call(runner, given)
            path = find_board(os.getpid())
            before = _write(path, change(runner.message_hub))
            try:
                return call(runner, given)
            finally:
                _write(path, before)

        return fault

    return make


def board_is_open_to_others(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Make the board readable for other users."""
    path = find_board(os.getpid())
    if path is None:
        return call(runner, given)
    path.chmod(0o644)
    try:
        return call(runner, given)
    finally:
        path.chmod(0o600)


class BoardShowsBetweenEvents:
    """Fault that lets a board show faulty values while data is read.

    Args:
        change: Returns the faulty cells.
    """

    def __init__(self, change: Change) -> None:
        self._change = change
        self._path: Path | None = None
        self._before: dict[int, int] = {}

    def __call__(self, _plan: Plan, hook: object) -> Fault:
        """Return the fault for one hook of a run."""

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if event != "before_run":  # then it is the board of an earlier run
                _write(self._path, self._before)
            self._path, self._before = None, {}
            result = call(runner, given)
            if isinstance(observer_of(hook), Recorder) and event != "after_run":  # the last event of all
                self._path = find_board(os.getpid())
                self._before = _write(self._path, self._change(runner.message_hub))
            return result

        return fault


def iterators_are_made_early(run: Callable[[], object]) -> object:
    """Let other processes see the previous epoch while each iterator over data is created."""
    module: Any = _planned_data
    tell = module.notify_iterator

    def tell_early(name: str) -> Any:
        path = find_board(os.getpid())
        before = _write(path, {layout.EPOCH: 0})
        _write(path, {cell: epoch - 1 for cell, epoch in before.items()})
        try:
            return tell(name)
        finally:
            _write(path, before)

    module.notify_iterator = tell_early
    try:
        return run()
    finally:
        module.notify_iterator = tell


class BoardLeftBehind:
    """Leave a board behind when a run has ended, until the next run ends."""

    def __init__(self) -> None:
        self._left: Board | None = None

    def __call__(self, run: Callable[[], object]) -> object:
        """Run, and leave a board."""
        try:
            return run()
        finally:
            # In this order, so that the names differ, because a board that existed before the run does not count as
            # left behind.
            before, self._left = self._left, Board({}, {})
            if before is not None:
                before.close()
            atexit.register(self._left.close)


def counters_of_iteration_before(hub: Any) -> dict[int, int]:
    """Show the previous iteration."""
    return {layout.ITER: (hub.get_info("iter") or 0) - 1}


def epoch_of_next(hub: Any) -> dict[int, int]:
    """Show the next epoch."""
    return {layout.EPOCH: (hub.get_info("epoch") or 0) + 1}


def iteration_far_back(hub: Any) -> dict[int, int]:
    """Lag by three iterations."""
    return {layout.ITER: (hub.get_info("iter") or 0) - 3}


def not_current(_hub: Any) -> dict[int, int]:
    """Mark the run as ended."""
    return {layout.CURRENT: 0}


def no_entries(_hub: Any) -> dict[int, int]:
    """Hide all scalars."""
    return {layout.ENTRIES: 0}


def _write(path: Path | None, cells: dict[int, int]) -> dict[int, int]:
    """Write cells of a board, and return their previous values."""
    if path is None or not path.exists():
        return {}
    before: dict[int, int] = {}
    with path.open("r+b", buffering=0) as file:
        for cell, value in cells.items():
            file.seek(cell * layout.CELL)
            before[cell] = int.from_bytes(file.read(layout.CELL), sys.byteorder, signed=True)
            file.seek(cell * layout.CELL)
            file.write(value.to_bytes(layout.CELL, sys.byteorder, signed=True))
    return before
