"""Record the scalars of live runs while they are watched: a board has the latest values only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from runtimeinfo import BoardError
from runtimeinfo_adapters.plot._curves import Curve, RunCurves, SourceError
from runtimeinfo_adapters.top._watch import Run, Runs

LOOK_INTERVAL_S = 0.1
# Run ids are random: so much of one is enough.
_SHORTEST_PREFIX = 6


class Watch:
    """Watch the live runs that were named.

    Args:
        names: What names them: a process id, a run id or six characters of its beginning, the name of an experiment, a
            job, or the path of a board. Several runs may have one name, such as the ranks of a job.

    Attributes:
        is_over: Whether no run that was named is live.
        problems: An error for each name that no run has.

    Raises:
        SourceError: If the boards cannot be read.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._runs = Runs()
        self._recorded: dict[tuple[Path, int | None], _Recorded] = {}
        self.is_over: bool = True
        seen = self.look() if names else []
        self.problems: list[SourceError] = [
            _unknown(name, seen) for name in names if not any(_is_named(run, name) for run in seen)
        ]

    def look(self) -> list[Run]:
        """Record what is new, and return all runs.

        Raises:
            SourceError: If the boards cannot be read.
        """
        try:
            seen = self._runs.look()
        except BoardError as error:
            raise SourceError(str(error), source=", ".join(self._names)) from error
        now = time.time()
        mine = [run for run in seen if any(_is_named(run, name) for name in self._names)]
        for run in mine:
            self._recorded.setdefault((run.path, run.started_ns), _Recorded()).record(run, now)
        self.is_over = not any(run.state == "live" for run in mine)
        return seen

    def watch(
        self,
        seconds: float | None,
        each_look: Callable[[], object] = lambda: None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Look until no run is live, for some seconds at most, or until Ctrl-C.

        Args:
            seconds: The longest time; None for no limit.
            each_look: It is called after each look.
            wait: It is called with the seconds between two looks, and ends the watch if it returns something true.
        """
        end = time.monotonic() + (float("inf") if seconds is None else seconds)
        try:
            while not self.is_over and (left := end - time.monotonic()) > 0:
                if wait(min(LOOK_INTERVAL_S, left)):
                    break
                self.look()
                each_look()
        except KeyboardInterrupt:  # what was seen is shown
            pass

    def curves(self) -> list[RunCurves]:
        """Return the recorded curves of each run."""
        recorded = sorted(self._recorded.values(), key=lambda each: (each.experiment, each.rank, each.pid))
        labels = [each.label for each in recorded]
        return [
            each.curves(each.label if labels.count(each.label) == 1 else f"{each.label} pid {each.pid}")
            for each in recorded
        ]


@dataclass
class _Recorded:
    experiment: str = ""
    rank: int = -1
    label: str = ""
    pid: int = 0
    source: str = ""
    updates: dict[str, int] = field(default_factory=dict[str, int])
    points: dict[str, list[tuple[float, float, float, float]]] = field(
        default_factory=dict[str, list[tuple[float, float, float, float]]]
    )

    def record(self, run: Run, now: float) -> None:
        if run.identity is not None and run.identity.rank is not None:
            self.rank = run.identity.rank
        self.experiment, self.pid = run.experiment_name or f"pid {run.pid}", run.pid
        self.label = self.experiment if self.rank < 0 else f"{self.experiment} rank {self.rank}"
        self.source = str(run.path)
        position = _number(run.iter), _number(run.epoch), now
        for key, scalar in run.scalars.items():
            if self.updates.get(key) != scalar.updates:
                self.updates[key] = scalar.updates
                self.points.setdefault(key, []).append((*position, scalar.value))

    def curves(self, name: str) -> RunCurves:
        curves: dict[str, Curve] = {}
        for key, points in self.points.items():
            iters, epochs, times, values = np.array(points, dtype=np.float64).T
            known_iters, known_epochs = (None if np.isnan(of).all() else of for of in (iters, epochs))
            curves[key] = Curve(values, known_iters, known_epochs, times)
        return RunCurves(name, self.source, curves)


def _number(counter: int | None) -> float:
    return float("nan") if counter is None else float(counter)


def _is_named(run: Run, name: str) -> bool:
    run_id = job = ""
    if run.identity is not None:
        run_id, job = run.identity.run_id, run.identity.job or ""
    is_begin = len(name) >= _SHORTEST_PREFIX and run_id.startswith(name)
    return name in (str(run.pid), run.experiment_name, run_id, job, str(run.path)) or is_begin


def _unknown(name: str, seen: Sequence[Run]) -> SourceError:
    others = ", ".join(f"{run.experiment_name or 'a run'} (pid {run.pid})" for run in seen[:5]) or "none"
    return SourceError(
        f"{name!r} is neither a file nor a live run of this user; these live: {others}. Give a path, or the process "
        "id, run id or experiment name of one of them; `runtimeinfo top` shows them",
        source=name,
    )
