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
    """Writes what is new in the hub as TensorBoard shows it: the hub's keys are the tags, its iter is the step.

    A point is one value of a scalar that was updated since the last time. In training they are written at each
    iteration whose number, counted from 1, `interval` divides, with the latest value of each scalar; at each
    validation and each test, with the iter that the hub held then; and at the end of a training or run, however it
    ends, what is left over. TensorBoard keeps 32 bits of a value.

    A training that is resumed goes on in the same folder. Points beyond the iter of the checkpoint are not shown any
    more, since they are done again; one at that very iter stays, since a validation may have left it. Each other
    training should have a folder of its own: TensorBoard draws all that is in one as one curve.

    A SIGKILL loses the iterations since the last points, fewer than `interval`. To read a value that lies on an
    accelerator is to wait for it: with ``interval=1``, each iteration waits.

    It needs the extra ``tensorboard``.

    Args:
        log_dir: The folder. It is made if it is missing.
        interval: How many iterations a point of the training is for.
        reduce: What becomes of the values of a scalar in them: the ``"latest"`` is taken or the ``"mean"``.
        infos: Which infos of the hub go there as text, once.
        all_ranks: Whether each process of a distributed run writes, to a folder of its own in this one: ``rank1``.
            Otherwise only the first one writes.

    Raises:
        ModuleNotFoundError: If TensorBoard or PyTorch is not installed; the message names the extra.
        ValueError: If `interval` is no positive int, or `reduce` none of the two.
        SinkError: At `before_run`, if the folder cannot be written to. If it cannot be written to later, as on a
            full disk, there is one `SinkWarning`, and the run goes on.

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
        self._infos = tuple(infos)
        self._make_writer: Any = _summary_writer()
        self._writer: Any = None
        self._purge_step: int | None = None
        self._texts: dict[str, str] = {}

    def _open(self, hub: MessageHub) -> None:  # noqa: ARG002
        self._purge_step = None
        self._path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._path):  # TensorBoard's own file begins where the training does
            pass

    def _on_train(self, iter: int) -> None:
        self._close()
        # A validation's points have how many iterations were done, a training's the number of the iteration, from 0:
        # at `iter` may be the validation that came before the checkpoint. With `interval` 1, the iteration that is
        # done again is there as well: one point twice is less harm than a validation that is gone.
        self._purge_step = iter + 1 if iter else None

    def _write(self, row: Row) -> None:
        writer = self._opened(row)
        for key, value in row.scalars.items():
            writer.add_scalar(_tag(key), float(value), row.iter, row.time)
        writer.flush()

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except OSError:
            with suppress(OSError):
                writer.file_writer.close()  # it flushes no more, and ends its thread
            raise

    def _of_rank(self, path: Path, rank: int) -> Path:
        return path / f"rank{rank}"

    def _opened(self, row: Row) -> Any:
        if self._writer is None:
            self._writer = self._make_writer(str(self._path), purge_step=self._purge_step)
            self._purge_step = None
            self._write_infos(row)
        return self._writer

    def _write_infos(self, row: Row) -> None:
        for key in self._infos:
            info = None if self._hub is None else self._hub.get_info(key)
            text = str(info)
            if info is not None and self._texts.get(key) != text:
                self._texts[key] = text
                # Four spaces make it code, in which TensorBoard's Markdown leaves every line as it is.
                code = "\n".join(f"    {line}" for line in _tag(text).splitlines())
                self._writer.add_text(_tag(key), code, row.iter, row.time)


_USER = "TensorBoardWriter"


def _summary_writer() -> Any:
    import_framework(
        "tensorboard", distribution="tensorboard", extra="tensorboard", at_least="2.16", below="3", used_by=_USER
    )
    import_framework("torch", distribution="torch", extra="tensorboard", at_least="2.6", below="3", used_by=_USER)
    return importlib.import_module("torch.utils.tensorboard").SummaryWriter


def _tag(text: str) -> str:
    """Return text as a protocol buffer can hold it: any but half a character."""
    return text.encode("utf-8", "backslashreplace").decode()
