"""The base of sinks that write rows: when there is a row, what is in it, and what a failure to write does."""

from __future__ import annotations

import math
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runtimeinfo import MessageHub, RuntimeInfoError, ScalarHistory
from runtimeinfo.authoring import is_scalar, scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int, whole_number
from runtimeinfo_adapters._rank import global_rank
from runtimeinfo_adapters.hub._run_id import run_id_of
from runtimeinfo_adapters.sinks._updates import UpdateTracker

POSITION = ("iter", "epoch", "loop_stage", "time")
"""The columns that each row has, before its scalars."""

INFOS = ("experiment_name", "seed", "cfg")
"""The infos that are written once for each run, in the order of their columns."""

NOT_FINITE = "not_finite"
"""The field in which `JSONLWriter` says which null is a NaN or an infinity."""

_TAKEN = (*POSITION, "run_id", *INFOS, NOT_FINITE)

Reduce = Literal["latest", "mean"]
"""How several values of a scalar become one value of a row."""


class SinkError(RuntimeInfoError):
    """A sink cannot write to its path; raised at `before_run`, before training time is spent.

    Attributes:
        path: The file or folder.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class SinkWarning(UserWarning):
    """A sink can no longer write, as on a full disk; the run continues without it."""


@dataclass(frozen=True, slots=True)
class Row:
    """The scalars that were updated since the last row, and the position of the training.

    Attributes:
        iter: The hub's iter.
        epoch: The hub's epoch.
        loop_stage: The hub's stage.
        time: When the row was made, in seconds since 1970, rounded to milliseconds.
        scalars: The values by the hub's keys. None of them is older than the last row.
        run_id: The hub's `run_id`; of a hub that has none, a random one for each hub and process.
        infos: What is known of the run and was not in an earlier row: cfg, seed, the experiment's name. Numbers stay
            numbers, and anything else is text.
    """

    iter: int | None
    epoch: int | None
    loop_stage: str | None
    time: float
    scalars: dict[str, int | float] = field(default_factory=dict[str, int | float])
    run_id: str = ""
    infos: dict[str, int | float | str] = field(default_factory=dict[str, int | float | str])

    def cells(self) -> dict[str, Any]:
        """Return the position, the run and the scalars in one dict.

        A scalar that is named like a field of a row, such as ``iter`` or ``seed``, is ``scalar/<key>``. An info other
        than cfg, seed and experiment_name is ``info/<key>``.

        Example:
            >>> Row(7, 1, "train", 0.5, {"train/loss": 0.25, "iter": 3}, "a1").cells()
            {'iter': 7, 'epoch': 1, 'loop_stage': 'train', 'time': 0.5, 'run_id': 'a1', 'train/loss': 0.25, 'scalar/iter': 3}
        """  # noqa: E501  # a doctest
        cells: dict[str, Any] = {name: getattr(self, name) for name in POSITION}
        if self.run_id:
            cells["run_id"] = self.run_id
        for key, value in self.infos.items():
            if value != "":
                cells[key if key in INFOS else f"info/{key}"] = value
        for key, value in self.scalars.items():
            cells[f"scalar/{key}" if key in _TAKEN else key] = value
        return cells


class RowSink(ABC):
    """Base of a hook that writes a row of the updated scalars every few iterations.

    To write rows somewhere else, inherit from it and implement `open` and `write`, and `close` if there is
    something to close. The base decides when there is a row and what is in it, writes on rank 0 only, stops with
    one `SinkWarning` when a write fails, and reads nothing but the runner's hub.

    In training there is a row each `interval` iterations. A validation or test has its own row, when its epoch
    ends. The rest is written when the training or the run ends, normally or not. A row has the scalars that were
    updated since the last row, and no others.

    A sink can be copied and pickled at any time, as part of a trainer for example. The copy has the attributes that
    the sink had before its first run: whatever `open` or `write` has set, such as an open file, stays with the
    original. The copy opens `path` itself when it joins a run, and finds there what the original has written.

    Args:
        path: Where to write. A relative path is resolved at once.
        interval: The number of iterations of the training in a row.
        reduce: The value of each scalar in a row: its ``"latest"``, or the ``"mean"`` since the last row.
        infos: The infos of the hub that are in the first row of each run, and in a later one if they change.
        all_ranks: Whether each process of a distributed run writes, to the path that `rank_path` returns.

    Raises:
        ValueError: If `interval` is not a positive int, or `reduce` is something else.

    Example:
        >>> import tempfile
        >>> from runtimeinfo_adapters.pytorch import Loop
        >>> class TextWriter(RowSink):
        ...     def open(self, hub):
        ...         self.path.touch()  # a path that cannot be written to fails here, before the training
        ...     def write(self, row):
        ...         with self.path.open("a") as file:
        ...             print(row.loop_stage, row.iter, row.scalars, file=file)
        >>> folder = tempfile.TemporaryDirectory()
        >>> writer = TextWriter(f"{folder.name}/metrics.txt", interval=2)
        >>> loop = Loop(train_loader=[3.0, 2.0, 1.0], max_epochs=1, hooks=[writer])
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=batch)
        >>> print(writer.path.read_text(), end="")
        train 1 {'train/loss': 2.0}
        train 2 {'train/loss': 1.0}
        >>> folder.cleanup()

    Source: HUB-01, HUB-04, ORDER-02.
    """

    priority = "LOW"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        interval: int = 10,
        reduce: Reduce = "latest",
        infos: Iterable[str] = INFOS,
        all_ranks: bool = False,
    ) -> None:
        if not is_positive_int(interval):
            raise ValueError(
                f"interval must be an int from 1: a number of iterations, but is {shown(interval)}. Leave it "
                "out, or give 1 or more"
            )
        if reduce not in {"latest", "mean"}:
            raise ValueError(f"reduce must be 'latest' or 'mean', but is {shown(reduce)}: leave it out for 'latest'")
        self._given_path = Path(path).absolute()  # a run may change its working folder
        self._interval = interval
        self._takes_mean = reduce == "mean"
        self._infos = tuple(infos)
        self._all_ranks = all_ranks
        self._path = self._given_path
        self._before_first_run: dict[str, Any] | None = None
        self._is_open = False
        self._hub: MessageHub | None = None
        self._tracker: UpdateTracker | None = None  # None outside of a run, and where nothing is to be written
        self._written: dict[str, dict[str, int | float | str]] = {}  # the infos of each run that are in a row
        # Of the latest iteration: at its end, the hub may have advanced.
        self._iter: Any = None
        self._epoch: Any = None
        self._stage: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # For pickle and copy alike. A run sets attributes that cannot be pickled, such as files, or that must not be
        # shared, such as the hub; a subclass sets others, which are not known here.
        return dict(vars(self) if self._before_first_run is None else self._before_first_run)

    @property
    def path(self) -> Path:
        """The path that this process writes to. If all ranks write, it includes the rank once the run has started."""
        return self._path

    @property
    def run_id(self) -> str:
        """The `run_id` of the hub, or a random one of a hub that has none; empty outside of a run."""
        return "" if self._hub is None else run_id_of(self._hub)

    # -- for a subclass to implement

    @abstractmethod
    def open(self, hub: MessageHub) -> None:
        """Make sure that rows can be written to `path`; called when the sink joins a run.

        Args:
            hub: The hub that the rows come from.

        Raises:
            OSError: If rows cannot be written. The run then ends with a `SinkError`, before any training.
            SinkError: The same, with a message that says how to correct it.
        """

    @abstractmethod
    def write(self, row: Row) -> None:
        """Write a row so that it outlives this process.

        Args:
            row: The row.

        Raises:
            OSError: If that fails; a `SinkError` does the same. The sink then stops with a `SinkWarning`, and the run
                continues. Any other exception ends the run.
        """

    def close(self) -> None:  # noqa: B027  # most sinks have nothing to close
        """Close what `open` has opened, at the end of the run or after a write that failed."""

    def begin_training(self, done: int) -> None:  # noqa: B027  # most sinks need not know
        """Prepare for the rows of a training.

        Args:
            done: How many iterations are done, as of the checkpoint that was loaded; 0 in a new training.

        Raises:
            OSError: If that fails; see `write`.
        """

    def written_infos(self, run_id: str) -> Mapping[str, int | float | str]:  # noqa: ARG002  # for a subclass
        """Return the infos of a run that an earlier process has written, which no row then repeats.

        Args:
            run_id: The run, which this sink has not written yet.

        Raises:
            OSError: If that cannot be read; see `write`.
        """
        return {}

    def rank_path(self, path: Path, rank: int) -> Path:
        """Return the path for one of all ranks: ``metrics.rank1.csv`` for ``metrics.csv``.

        Args:
            path: The path that was given.
            rank: The rank of this process.
        """
        return path.with_name(f"{path.stem}.rank{rank}{path.suffix}")

    # -- the hook points

    def before_run(self, runner: Any) -> None:
        """Open the path.

        Raises:
            SinkError: If it cannot be written to.
        """
        self._join(runner.message_hub)

    def before_train(self, runner: Any) -> None:
        """Leave out what a checkpoint has brought."""
        tracker = self._tracker_of(runner)
        if tracker is not None:
            tracker.skip_loaded()
            self._try(lambda: self.begin_training(whole_number(tracker.hub.get_info("iter")) or 0))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Note the position of the training."""
        hub = runner.message_hub
        if hub is not self._hub:  # registered after the run had begun
            self._join(hub)
        get_info = hub.get_info
        self._iter = get_info("iter")
        self._epoch = get_info("epoch")
        self._stage = get_info("loop_stage")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:  # noqa: ARG002
        """Write a row each `interval` iterations."""
        if self._iter is not None and (self._iter + 1) % self._interval == 0:
            self._write_train_row(runner)

    def after_train(self, runner: Any) -> None:
        """Write the rest."""
        self._write_train_row(runner)
        self._iter = None  # what comes now comes after the training, not in its last iteration

    def before_val(self, runner: Any) -> None:
        """Leave what is new of the training to its own next row."""
        tracker = self._tracker_of(runner)
        if tracker is not None:
            tracker.hold()

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:  # noqa: ARG002
        """Write the row of a validation."""
        self._write_row(runner, only_since_hold=True)

    def before_test(self, runner: Any) -> None:
        """Leave what is new of the training to its own next row."""
        self.before_val(runner)

    def after_test_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Write the row of a test."""
        self.after_val_epoch(runner, metrics)

    def on_exception(self, runner: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Write the rest, because nothing more may come."""
        if runner.message_hub.get_info("loop_stage") in {"val", "test"}:
            self._write_row(runner, only_since_hold=True)
        self._write_train_row(runner)

    def after_run(self, runner: Any) -> None:
        """Write the rest, and close."""
        try:
            self._write_train_row(runner)
            self._try(self._close)
        finally:
            self._tracker = self._hub = self._iter = None  # keep nothing of the run alive

    # -- how

    def _join(self, hub: MessageHub) -> None:
        if self._before_first_run is None:
            self._before_first_run = vars(self).copy()
        rank = global_rank()
        self._hub, self._tracker, self._iter = hub, None, None
        self._path = self.rank_path(self._given_path, rank) if self._all_ranks else self._given_path
        if rank and not self._all_ranks:
            return
        with suppress(OSError):  # of a run that has no end
            self._close()
        try:
            run_id_of(hub)  # one that the environment gives wrongly is an error before any training
            self.open(hub)
        except OSError as error:
            raise SinkError(
                f"{type(self).__name__} cannot write to {self._path}: {error}. "
                "Give it a path that can be written to, or leave it out of the hooks",
                path=self._path,
            ) from error
        self._is_open = True
        self._tracker = UpdateTracker(hub)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.close()

    def _tracker_of(self, runner: Any) -> UpdateTracker | None:
        hub = runner.message_hub
        if hub is not self._hub:
            self._join(hub)
        return self._tracker

    def _write_train_row(self, runner: Any) -> None:
        if self._iter is None:
            self._write_row(runner)  # before the first iteration, the hub knows the position
        else:
            self._write_row(runner, (self._iter, self._epoch, self._stage))

    def _write_row(self, runner: Any, position: tuple[Any, ...] = (), *, only_since_hold: bool = False) -> None:
        tracker = self._tracker_of(runner)
        updated = [] if tracker is None else tracker.take(only_since_hold=only_since_hold)
        if tracker is None or not updated:
            return
        iteration, epoch, stage = position or map(tracker.hub.get_info, ("iter", "epoch", "loop_stage"))
        scalars = {key: self._value(history, updates) for key, history, updates in updated}
        run_id, new = self.run_id, dict[str, int | float | str]()
        written = self._written.get(run_id, {}).copy()
        if run_id not in self._written:
            self._try(lambda: written.update(self.written_infos(run_id)))
        for key in self._infos:
            info = _plain(tracker.hub.get_info(key))
            if info is not None and written.get(key) != info:
                new[key] = info
        row = Row(
            iter=whole_number(iteration),
            epoch=whole_number(epoch),
            loop_stage=None if stage is None else str(stage),
            time=round(time.time(), 3),
            scalars=scalars,
            run_id=run_id,
            infos=new,
        )
        if self._try(lambda: self.write(row)):
            # Not changed in place: a copy of this sink begins with the first one.
            self._written = {**self._written, run_id: {**written, **new}}

    def _value(self, history: ScalarHistory, updates: int) -> int | float:
        value: Any = history.mean(updates) if self._takes_mean and updates > 1 else history.current()
        return scalar_value(value) if is_scalar(value) else float(value)

    def _try(self, write: Callable[[], None]) -> bool:
        """Call what writes, and return whether it did; after the first error, warn, and write no more in this run."""
        if self._tracker is None:
            return False
        try:
            write()
        except (OSError, SinkError) as error:
            self._tracker = None
            with suppress(OSError):
                self._close()
            # At the very end: where warnings are errors, it raises.
            warnings.warn(
                f"{type(self).__name__} stops, because it cannot write to {self._path} any more: {error}. "
                "The run continues, and what it publishes from here on is not written. Give the next "
                "one a path that can be written to",
                SinkWarning,
                stacklevel=2,
            )
            return False
        return True


@contextmanager
def as_os_error() -> Generator[None]:
    """Turn any error of a tool into one that stops the sink, and not the run."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        # SQLAlchemy adds the statement and its parameters.
        said = " ".join(str(error).partition("[SQL: ")[0].split())
        raise OSError(f"{type(error).__name__}: {said[:500]}") from error


def encodable(text: str) -> str:
    """Return text that can be encoded as UTF-8, with lone surrogates as escapes."""
    return text.encode(errors="backslashreplace").decode()


def _plain(info: Any) -> int | float | str | None:
    """Return an info as a file can hold it: text for everything but finite numbers, and None if it has no text."""
    if info is None:
        return None
    try:
        if isinstance(info, int):
            return int(info)
        if isinstance(info, float) and math.isfinite(info):
            return float(info)
        return str(info)
    except Exception:  # noqa: BLE001  # of any object, which must not end the run
        return None
