"""The sink that writes for TensorBoard."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_adapters._framework import import_framework
from runtimeinfo_adapters.sinks._row_sink import Reduce, Row, RowSink


class TensorBoardWriter(RowSink):
    """Write the updated scalars of a hub for TensorBoard: the hub's keys are the tags, its iter is the step.

    A point is one value of a scalar that was updated since the last points. In training, points are written at each
    iteration whose number, counted from 1, `interval` divides, with the latest value of each scalar; at each
    validation and each test, with the iter that the hub holds then; and the rest at the end of a training or run,
    however it ends. TensorBoard keeps 32 bits of a value.

    A training that is resumed continues in the same folder. Points beyond the iter of the checkpoint are then hidden,
    because they are computed again; a point at that very iter stays, because a validation may have written it. Any
    other training needs its own folder: TensorBoard draws everything in one folder as one curve.

    A SIGKILL loses the iterations since the last points, fewer than `interval`. Reading a value on an accelerator
    waits for it: with ``interval=1``, each iteration waits.

    A sink can be copied and pickled at any time. The copy opens its own event file in the same folder when it first
    writes.

    It needs the extra ``tensorboard``.

    Args:
        log_dir: The folder. It is created if it is missing.
        interval: The number of iterations of the training for a point.
        reduce: The value of each point: the ``"latest"``, or the ``"mean"`` since the last points.
        infos: The keys of the infos of the hub that are written as text, once.
        all_ranks: Whether each process of a distributed run writes, to a subfolder such as ``rank1``. Otherwise only
            the first one writes.

    Raises:
        ModuleNotFoundError: If TensorBoard or PyTorch is not installed; the message names the extra.
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
        infos: Iterable[str] = ("cfg", "seed", "experiment_name"),
        all_ranks: bool = False,
    ) -> None:
        super().__init__(log_dir, interval=interval, reduce=reduce, all_ranks=all_ranks)
        _check_installed()
        self._infos = tuple(infos)
        self._writer: Any = None
        self._purge_step: int | None = None
        self._texts: dict[str, str] = {}

    def open(self, hub: MessageHub) -> None:  # noqa: ARG002
        """Create the folder if it is missing.

        Args:
            hub: The hub that the rows come from.

        Raises:
            OSError: If the folder cannot be written to.
        """
        self._purge_step = None
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path):  # TensorBoard's own file begins with the training
            pass

    def begin_training(self, done: int) -> None:
        """Have the next event file hide points that are computed again.

        Args:
            done: How many iterations are done.

        Raises:
            OSError: If the last event file cannot be closed.
        """
        self.close()
        # A point of a validation is at the number of completed iterations, one of the training at the number of the
        # iteration, from 0: at `done` there may be the validation before the checkpoint. With `interval` 1, the
        # iteration that is repeated is there as well: one point twice is less harm than a validation that is lost.
        self._purge_step = done + 1 if done else None

    def write(self, row: Row) -> None:
        """Write a point for each scalar of a row.

        Args:
            row: The row.

        Raises:
            OSError: If that fails.
        """
        writer = self._opened(row)
        for key, value in row.scalars.items():
            writer.add_scalar(_tag(key), float(value), row.iter, row.time)
        writer.flush()

    def close(self) -> None:
        """Close the event file."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except OSError:
            with suppress(OSError):
                writer.file_writer.close()  # flushes no more, and ends its thread
            raise

    def rank_path(self, path: Path, rank: int) -> Path:
        """Return the subfolder of a rank, such as ``rank1``.

        Args:
            path: The folder that was given.
            rank: The rank of this process.
        """
        return path / f"rank{rank}"

    def _opened(self, row: Row) -> Any:
        if self._writer is None:
            self._writer = importlib.import_module(_MODULE).SummaryWriter(str(self.path), purge_step=self._purge_step)
            self._purge_step = None
            self._write_infos(row)
        return self._writer

    def _write_infos(self, row: Row) -> None:
        for key in self._infos:
            info = None if self._hub is None else self._hub.get_info(key)
            text = str(info)
            if info is not None and self._texts.get(key) != text:
                self._texts = {**self._texts, key: text}  # not changed in place: a copy begins with the first one
                # Four spaces make it code, in which TensorBoard's Markdown leaves every line as it is.
                code = "\n".join(f"    {line}" for line in _tag(text).splitlines())
                self._writer.add_text(_tag(key), code, row.iter, row.time)


_USER = "TensorBoardWriter"
_MODULE = "torch.utils.tensorboard"


def _check_installed() -> None:
    import_framework(
        "tensorboard", distribution="tensorboard", extra="tensorboard", at_least="2.16", below="3", used_by=_USER
    )
    import_framework("torch", distribution="torch", extra="tensorboard", at_least="2.6", below="3", used_by=_USER)
    importlib.import_module(_MODULE)


def _tag(text: str) -> str:
    """Return text as a protocol buffer can hold it: without lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()
