"""Turn the runs of a machine into samples: the values of metrics with their labels, in bounded number."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from runtimeinfo import BoardError, __version__
from runtimeinfo.board import BoardIdentity
from runtimeinfo_adapters.export import _metrics as metrics
from runtimeinfo_adapters.export._labels import label_value
from runtimeinfo_adapters.export._metrics import Metric
from runtimeinfo_adapters.top import Run, Runs

Sample = tuple[tuple[str, ...], float]
"""The values of the metric's labels, in their order, and the value."""

_UNKNOWN = BoardIdentity("")


@dataclass(frozen=True)
class Limits:
    """The selection of exported values, and its limits.

    Attributes:
        scalars: Patterns as of a shell; a scalar whose name matches one of them is exported.
        max_scalars: The greatest number of scalars of one run. The first that the run has published are kept.
        max_runs: The greatest number of runs. Live ones come first, and of these the oldest, so that a run that is
            exported stays.

    Raises:
        ValueError: If a number is negative, or there is no pattern.

    Example:
        >>> limits = Limits(scalars=("*loss", "val/*"), max_scalars=1)
        >>> limits.select(["train/lr", "train/loss", "val/acc"])
        (['train/loss'], 1)
    """

    scalars: tuple[str, ...] = ("*",)
    max_scalars: int = 64
    max_runs: int = 1000

    def __post_init__(self) -> None:
        if self.max_scalars < 0 or self.max_runs < 0:
            raise ValueError(f"a maximum is not negative, as in {self}: 0 leaves all out")
        if not self.scalars:
            raise ValueError("there is no pattern for scalars: '*' matches all")

    def select(self, names: Iterable[str]) -> tuple[list[str], int]:
        """Return the scalars to export, and the number of those that match a pattern but exceed the maximum."""
        if self.scalars == ("*",):
            matching = list(names)
        else:
            matching = [name for name in names if any(fnmatchcase(name, pattern) for pattern in self.scalars)]
        return matching[: self.max_scalars], max(0, len(matching) - self.max_scalars)


class RunSamples:
    """Read the boards, and return the samples to export. Threads may share it.

    Args:
        runs: What reads the boards.
        limits: What is exported.

    Example:
        >>> from runtimeinfo import use_hub
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-samples", runtime_info={"experiment_name": "digits", "epoch": 3})
        >>> with use_hub(hub):
        ...     samples = RunSamples(Runs()).take()
        >>> [value for labels, value in samples[metrics.EPOCH] if labels[0] == "digits"]
        [3]
    """

    def __init__(self, runs: Runs, limits: Limits | None = None) -> None:
        self._runs = runs
        self._limits = limits or Limits()
        self._lock = threading.Lock()

    def take(self) -> Mapping[Metric, list[Sample]]:
        """Return the samples of all metrics as of now.

        A folder that cannot be trusted is told by `metrics.FOLDER_USABLE`, and raises nothing.
        """
        found: dict[Metric, list[Sample]] = {metric: [] for metric in metrics.METRICS.values()}
        with self._lock:
            begin = time.perf_counter()
            try:
                runs, is_usable = self._runs.look(), True
            except BoardError:
                runs, is_usable = [], False
            duration = time.perf_counter() - begin
        runs = [run for run in runs if not run.is_check]
        readable = [run for run in runs if run.state != "damaged"]
        labelled, superseded = with_labels(readable)
        for run, labels in labelled[: self._limits.max_runs]:
            for metric, extra, value in _samples_of_run(run, self._limits):
                found[metric].append(((*labels, *extra) if extra else labels, value))
        left_out = {"superseded": superseded, "limit": max(0, len(labelled) - self._limits.max_runs)}
        found[metrics.BOARDS] = [((), len(runs))]
        found[metrics.BOARDS_UNREADABLE] = [((), len(runs) - len(readable))]
        found[metrics.RUNS_LEFT_OUT] = [((reason,), left_out[reason]) for reason in metrics.LEFT_OUT_REASONS]
        found[metrics.LOOK] = [((), duration)]
        found[metrics.FOLDER_USABLE] = [((), is_usable)]
        found[metrics.EXPORTER_INFO] = [((__version__,), 1)]
        return found


def with_labels(runs: Iterable[Run]) -> tuple[list[tuple[Run, tuple[str, ...]]], int]:
    """Return the runs with the values of `metrics.RUN_LABELS`, which differ, and the number of runs left out.

    Of runs with equal labels, one that is not live is left out: a training that was resumed after it was killed has
    superseded it. Live ones, as of one process with several hubs, are told apart by their boards.
    """
    labelled: list[tuple[Run, tuple[str, ...]]] = []
    taken: set[tuple[str, ...]] = set()
    superseded = 0
    for run in sorted(runs, key=_precedence):
        labels = _labels_of(run)
        if labels in taken:
            if run.state != "live":
                superseded += 1
                continue
            labels = (labels[0], label_value(f"{labels[1]}~{run.path.stem}"), *labels[2:])
        taken.add(labels)
        labelled.append((run, labels))
    return labelled, superseded


def _precedence(run: Run) -> tuple[bool, int, str]:
    # Of live runs the oldest first: its labels stay when a later one begins. Of the others the latest first.
    started = run.started_ns or 0
    is_live = run.state == "live"
    return not is_live, started if is_live else -started, run.path.name


def _labels_of(run: Run) -> tuple[str, ...]:
    identity = run.identity or _UNKNOWN
    return (
        label_value(run.experiment_name or ""),
        label_value(identity.run_id or run.path.stem),
        _number(identity.rank),
        label_value(identity.job or ""),
    )


def _samples_of_run(run: Run, limits: Limits) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    identity = run.identity or _UNKNOWN
    yield (
        metrics.INFO,
        (
            label_value(identity.host),
            _user_name(run.user_id),
            str(run.pid),
            _number(identity.local_rank),
            _number(identity.world_size),
            label_value(identity.scheduler or ""),
        ),
        1,
    )
    for state in metrics.STATES:
        yield metrics.STATE, (state,), run.state == state
    yield metrics.STALLED, (), run.is_stalled
    if run.loop_stage is not None:
        present = run.loop_stage if run.loop_stage in metrics.STAGES else "other"
        for stage in metrics.STAGES:
            yield metrics.STAGE, (stage,), stage == present
    for metric, value in (
        (metrics.EPOCH, run.epoch),
        (metrics.MAX_EPOCHS, run.max_epochs),
        (metrics.ITER, run.iter),
        (metrics.MAX_ITERS, run.max_iters),
        (metrics.PROGRESS, _ratio(run.iter, run.max_iters)),
        (metrics.RATE, run.rate),
        (metrics.REMAINING, run.eta_s),
        (metrics.UPDATE_AGE, run.age_s),
        (metrics.START, None if run.started_ns is None else run.started_ns / 1e9),
    ):
        if value is not None:
            yield metric, (), value
    names, left_out = limits.select(run.scalars)
    for name in names:
        value = run.scalars[name].value
        label = (label_value(name),)
        yield metrics.SCALAR, label, value
        if not math.isfinite(value):
            yield metrics.SCALAR_NOT_FINITE, label, 1
    yield metrics.SCALARS_LEFT_OUT, (), left_out


@cache
def _user_name(user_id: int | None) -> str:
    if user_id is None:
        return ""
    try:
        import pwd

        return label_value(pwd.getpwuid(user_id).pw_name)
    except (ImportError, KeyError):  # Windows; a user that only another container knows
        return str(user_id)


def _ratio(done: int | None, total: int | None) -> float | None:
    return done / total if done is not None and total is not None and 0 <= done <= total and total > 0 else None


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
