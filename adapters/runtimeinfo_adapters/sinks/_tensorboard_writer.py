"""The sink that writes for TensorBoard."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_adapters._framework import import_framework
from runtimeinfo_adapters.hub._run_id import RUN_ID_VARIABLE
from runtimeinfo_adapters.sinks._event_files import (
    EventFile,
    files_of,
    has_event_files,
    has_training,
    remove_values,
    scalar_value,
    start_event,
    summary_event,
    text_value,
    values_of,
)
from runtimeinfo_adapters.sinks._row_sink import INFOS, Reduce, Row, RowSink, encodable


class TensorBoardWriter(RowSink):
    """Write the updated scalars of a hub for TensorBoard: the hub's keys are the tags, its iter is the step.

    A point is one value of a scalar that was updated since the last points. In training, points are written at each
    iteration whose number, counted from 1, `interval` divides, with the latest value of each scalar; at each
    validation and each test, with the iter that the hub holds then; and the rest at the end of a training or run,
    however it ends. TensorBoard keeps 32 bits of a value.

    A training that is resumed continues in the same folder: its run id, which its event files have in their names, is
    that of the checkpoint. Points beyond the iter of the checkpoint are removed from those files, because they are
    computed again, so that every reader finds one curve. Any other training that is given the folder writes to a
    subfolder, named by its run id, because TensorBoard draws everything in one folder as one curve. Event files of
    other programs stay as they are.

    A SIGKILL loses the iterations since the last points, fewer than `interval`. Reading a value on an accelerator
    waits for it: with ``interval=1``, each iteration waits.

    A sink can be copied and pickled at any time. The copy begins its own event file when it first writes.

    It needs the extra ``tensorboard``.

    Args:
        log_dir: The folder. It is created if it is missing.
        interval: The number of iterations of the training for a point.
        reduce: The value of each point: the ``"latest"``, or the ``"mean"`` since the last points.
        infos: The keys of the infos of the hub that are written as text, once.
        all_ranks: Whether each process of a distributed run writes, to a subfolder such as ``rank1``. Otherwise only
            the first one writes.

    Raises:
        ModuleNotFoundError: If TensorBoard is not installed; the message names the extra.
        ValueError: If `interval` is not a positive int, or `reduce` is something else.
        SinkError: At `before_run`, if the folder cannot be written to. If it cannot be written to later, as on a
            full disk, there is one `SinkWarning`, and the run continues.

    Example:
        >>> import tempfile
        >>> from runtimeinfo_adapters.pytorch import Loop
        >>> folder = tempfile.TemporaryDirectory()
        >>> loop = Loop(train_loader=[3.0, 2.0], max_epochs=1, hooks=[TensorBoardWriter(folder.name)])
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=batch)
        >>> from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        >>> events = EventAccumulator(folder.name).Reload()
        >>> [(point.step, point.value) for point in events.Scalars("train/loss")]
        [(1, 2.0)]
        >>> folder.cleanup()

    Source: HUB-01, HUB-04, ORDER-02.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        interval: int = 10,
        reduce: Reduce = "latest",
        infos: Iterable[str] = INFOS,
        all_ranks: bool = False,
    ) -> None:
        super().__init__(log_dir, interval=interval, reduce=reduce, infos=infos, all_ranks=all_ranks)
        _check_installed()
        self._file: EventFile | None = None
        self._earlier: list[Path] = []  # the event files that this training goes on from
        self._done: int | None = None  # the iterations that were done when the training began
        self._texts: set[bytes] = set()  # those that are in the folder

    def open(self, hub: MessageHub) -> None:  # noqa: ARG002
        """Create the folder if it is missing.

        Args:
            hub: The hub that the rows come from.

        Raises:
            OSError: If the folder cannot be written to.
        """
        self._file, self._done = None, None
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path):  # the event file begins with the first row
            pass

    def begin_training(self, done: int) -> None:
        """Let the next event file continue where the checkpoint was saved.

        Args:
            done: How many iterations are done.
        """
        self._file, self._done = None, done

    def write(self, row: Row) -> None:
        """Write a point for each scalar of a row.

        Args:
            row: The row.

        Raises:
            OSError: If that fails.
        """
        file = self._file
        if file is None:
            file = self._begin_file()
        tags = {encodable(key): float(value) for key, value in row.scalars.items()}
        if self._done and row.iter == self._done:
            # A point of a validation is at the number of completed iterations, one of the training at the number of
            # the iteration, from 0: a point that is there at this step stays, unless there is a new one.
            self._remove(lambda event, value: event.step == row.iter and value.tag in tags)
        events = [summary_event(row.iter, row.time, [scalar_value(tag, value)]) for tag, value in tags.items()]
        file.append([*self._new_texts(row), *events])
        self._file = file

    def close(self) -> None:
        """Let the next row begin another event file."""
        self._file = None

    def rank_path(self, path: Path, rank: int) -> Path:
        """Return the subfolder of a rank, such as ``rank1``.

        Args:
            path: The folder that was given.
            rank: The rank of this process.
        """
        return path / f"rank{rank}"

    def _begin_file(self) -> EventFile:
        hub: Any = self._hub
        # Another hub has no id that a resumed training could be known by.
        run_id = self.run_id if hasattr(hub, "run_id") or os.environ.get(RUN_ID_VARIABLE) else ""
        folder = self._folder(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        is_first = not has_event_files(folder)
        self._earlier = files_of(folder, run_id)
        done = self._done
        if done is not None:
            self._remove(lambda event, _: event.step > done)
        self._texts = {value.SerializeToString() for value in values_of(self._earlier) if value.HasField("tensor")}
        file = EventFile(folder, run_id)
        if done is not None and (done or is_first):
            # For a TensorBoard that runs: it has read what is no longer there. Its Python loader obeys the mark only if
            # the first file has one as well.
            file.append([start_event(done + 1 if done else 0)])
        return file

    def _folder(self, run_id: str) -> Path:
        """Return where the points of this training go: TensorBoard draws everything in one folder as one curve."""
        if not run_id:
            return self.path
        named = [self.path, self.path / run_id]
        while named[-1].is_dir():
            named.append(self.path / f"{run_id}.{len(named)}")
        if self._done != 0:
            begun = [folder for folder in named if files_of(folder, run_id)]
            if begun:
                return begun[-1]
        return next(folder for folder in named if not has_training(folder))

    def _remove(self, is_replaced: Callable[[Any, Any], bool]) -> None:
        for path in self._earlier:
            with suppress(OSError):  # then the mark in the new file is all that hides the points
                remove_values(path, is_replaced)

    def _new_texts(self, row: Row) -> Iterator[Any]:
        texts = {"run_id": row.run_id, **row.infos}
        for key, info in texts.items():
            # Four spaces make it code, in which TensorBoard's Markdown leaves every line as it is.
            value = text_value(encodable(key), "\n".join(f"    {line}" for line in encodable(str(info)).splitlines()))
            if (data := value.SerializeToString()) not in self._texts:
                self._texts = {*self._texts, data}
                yield summary_event(self._done, row.time, [value])


_USER = "TensorBoardWriter"


def _check_installed() -> None:
    import_framework(
        "tensorboard", distribution="tensorboard", extra="tensorboard", at_least="2.16", below="3", used_by=_USER
    )
