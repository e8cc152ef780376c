"""Rows of new scalars, and the base of the sinks that write them."""

from __future__ import annotations

import operator
import os
import time
import warnings
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from runtimeinfo import MessageHub, RuntimeInfoError, ScalarHistory
from runtimeinfo.authoring import is_scalar, scalar_value, shown
from runtimeinfo_adapters._numbers import is_positive_int
from runtimeinfo_adapters._rank import global_rank
from runtimeinfo_adapters.sinks._updates import News


class SinkError(RuntimeInfoError):
    """A sink cannot write where it was told to; said at `before_run`, before training time is spent.

    Attributes:
        path: The file or folder.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class SinkWarning(UserWarning):
    """A sink cannot write any more, as on a full disk; the run goes on without it."""


POSITION = ("iter", "epoch", "loop_stage", "time")
"""The names of what each row has, before its scalars."""


@dataclass(frozen=True, slots=True)
class Row:
    """Scalars that were updated, and where the training was.

    Attributes:
        iter: The hub's iter.
        epoch: The hub's epoch.
        loop_stage: The hub's stage.
        time: When the row was made, in seconds since 1970, to the millisecond.
        scalars: The values by the hub's keys. None of them is older than the row before.
    """

    iter: int | None
    epoch: int | None
    loop_stage: str | None
    time: float
    scalars: dict[str, int | float] = field(default_factory=dict[str, int | float])

    def cells(self) -> dict[str, Any]:
        """Return everything by its name; a scalar that is called as the position is ``scalar/<key>``.

        Example:
            >>> Row(7, 1, "train", 0.5, {"train/loss": 0.25, "iter": 3}).cells()
            {'iter': 7, 'epoch': 1, 'loop_stage': 'train', 'time': 0.5, 'train/loss': 0.25, 'scalar/iter': 3}
        """
        cells: dict[str, Any] = {name: getattr(self, name) for name in POSITION}
        for key, value in self.scalars.items():
            cells[f"scalar/{key}" if key in POSITION else key] = value
        return cells


def whole_number(value: object) -> int | None:
    """Return a counter as a plain int, of whatever type of integer a hub gives it; None if it is none."""
    try:
        return operator.index(cast("Any", value))
    except TypeError:
        return None


Reduce = Literal["latest", "mean"]
"""What becomes of several values of a scalar in one row."""


class RowSink(ABC):
    """A hook that writes a row of what is new in the hub, every so often.

    It reads nothing but the runner's hub. A row has the scalars that were updated since the last row, and no
    others. In training there is one each `interval` iterations; it may have scalars of all of them. A validation
    or test has one of its own, with what came in it. What is left over is written when the training or the run
    ends, normally or not.

    Args:
        path: Where to write.
        interval: How many iterations a row of the training is for.
        reduce: ``"latest"`` value in these iterations, or the ``"mean"`` of them.
        all_ranks: Whether each process of a distributed run writes, each to a path of its own.
    """

    priority = "LOW"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        interval: int = 10,
        reduce: Reduce = "latest",
        all_ranks: bool = False,
    ) -> None:
        if not is_positive_int(interval):
            raise ValueError(
                f"interval must be an int from 1: a number of iterations, but is {shown(interval)}. Leave it "
                "out, or give 1 or more"
            )
        if reduce not in {"latest", "mean"}:
            raise ValueError(f"reduce must be 'latest' or 'mean', but is {shown(reduce)}: leave it out for 'latest'")
        self._given = Path(path).absolute()  # a run may change its working folder
        self._interval = interval
        self._takes_mean = reduce == "mean"
        self._all_ranks = all_ranks
        self._path = self._given
        self._news: News | None = None  # None outside of a run, and where nothing is to be written
        self._hub: MessageHub | None = None
        # Of the latest iteration. At its end the hub may be further on.
        self._iter: Any = None
        self._epoch: Any = None
        self._stage: Any = None

    @property
    def path(self) -> Path:
        """Where this process writes: with its rank in the name if all ranks do, once the run has begun."""
        return self._path

    # -- the hook points

    def before_run(self, runner: Any) -> None:
        """Make sure that the path can be written to.

        Raises:
            SinkError: If it cannot.
        """
        self._begin(runner.message_hub)

    def before_train(self, runner: Any) -> None:
        """Let what a checkpoint has brought count as old."""
        news = self._news_of(runner)
        if news is not None:
            news.skip_loaded()
            self._try(self._on_train, whole_number(news.hub.get_info("iter")) or 0)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Note where the training is."""
        hub = runner.message_hub
        if hub is not self._hub:  # registered when the run had begun already
            self._begin(hub)
        get_info = hub.get_info
        self._iter = get_info("iter")
        self._epoch = get_info("epoch")
        self._stage = get_info("loop_stage")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:  # noqa: ARG002
        """Write a row, if it is time."""
        if self._iter is not None and (self._iter + 1) % self._interval == 0:
            self._write_train_row(runner)

    def after_train(self, runner: Any) -> None:
        """Write what is left over."""
        self._write_train_row(runner)
        self._iter = None  # what comes now comes after the training, not in its last iteration

    def before_val(self, runner: Any) -> None:
        """Leave what is new of the training to its own next row."""
        news = self._news_of(runner)
        if news is not None:
            news.hold()

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
        """Write what is left over: nobody knows what still comes."""
        if runner.message_hub.get_info("loop_stage") in {"val", "test"}:
            self._write_row(runner, only_since_hold=True)
        self._write_train_row(runner)

    def after_run(self, runner: Any) -> None:
        """Write what is left over, and close."""
        try:
            self._write_train_row(runner)
            self._try(self._close)
        finally:
            self._news = self._hub = self._iter = None  # keep nothing of the run alive

    # -- for those who write

    @abstractmethod
    def _open(self, hub: MessageHub) -> None:
        """Make sure that rows can be written; raise `OSError` or `SinkError` if not."""

    @abstractmethod
    def _write(self, row: Row) -> None:
        """Write a row so that it outlives this process; raise `OSError` if that fails."""

    def _close(self) -> None:  # noqa: B027  # most have nothing to close
        """Close what `_open` has opened."""

    def _on_train(self, iter: int) -> None:  # noqa: B027  # most do not care
        """Hear that a training begins, and how many iterations it has behind it; raise `OSError` if that fails."""

    def _of_rank(self, path: Path, rank: int) -> Path:
        """Return the path for one of all ranks."""
        return path.with_name(f"{path.stem}.rank{rank}{path.suffix}")

    # -- how

    def _begin(self, hub: MessageHub) -> None:
        rank = global_rank()
        self._hub, self._news, self._iter = hub, None, None
        self._path = self._of_rank(self._given, rank) if self._all_ranks else self._given
        if rank and not self._all_ranks:
            return
        with suppress(OSError):  # of a run that nobody has ended
            self._close()
        try:
            self._open(hub)
        except OSError as error:
            raise SinkError(
                f"{type(self).__name__} cannot write to {self._path}: {error}. "
                "Give it a path that can be written to, or leave it out of the hooks",
                path=self._path,
            ) from error
        self._news = News(hub)

    def _news_of(self, runner: Any) -> News | None:
        hub = runner.message_hub
        if hub is not self._hub:
            self._begin(hub)
        return self._news

    def _write_train_row(self, runner: Any) -> None:
        if self._iter is None:
            self._write_row(runner)  # there was no iteration yet: it is where the hub says
        else:
            self._write_row(runner, (self._iter, self._epoch, self._stage))

    def _write_row(self, runner: Any, position: tuple[Any, ...] = (), *, only_since_hold: bool = False) -> None:
        news = self._news_of(runner)
        taken = [] if news is None else news.take(only_since_hold=only_since_hold)
        if news is None or not taken:
            return
        iteration, epoch, stage = position or map(news.hub.get_info, ("iter", "epoch", "loop_stage"))
        scalars = {key: self._value(history, updates) for key, history, updates in taken}
        row = Row(
            iter=whole_number(iteration),
            epoch=whole_number(epoch),
            loop_stage=None if stage is None else str(stage),
            time=round(time.time(), 3),
            scalars=scalars,
        )
        self._try(self._write, row)

    def _value(self, history: ScalarHistory, updates: int) -> int | float:
        value: Any = history.mean(updates) if self._takes_mean and updates > 1 else history.current()
        return scalar_value(value) if is_scalar(value) else float(value)

    def _try(self, write: Any, *args: Any) -> None:
        """Call what writes; after the first error, warn and write nothing any more in this run."""
        if self._news is None:
            return
        try:
            write(*args)
        except OSError as error:
            self._news = None
            with suppress(OSError):
                self._close()
            # Last of all: where warnings are errors, it raises.
            warnings.warn(
                f"{type(self).__name__} stops, since it cannot write to {self._path} any more: {error}. "
                "The run goes on, and what it publishes from here on is not written. Give the next "
                "one a path that can be written to",
                SinkWarning,
                stacklevel=2,
            )
