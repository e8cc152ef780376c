"""The sink that writes JSON Lines."""

from __future__ import annotations

import json
import math
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_adapters.sinks._line_file import LineFile
from runtimeinfo_adapters.sinks._row import Row
from runtimeinfo_adapters.sinks._row_sink import RowSink

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class JSONLWriter(RowSink):
    r"""Writes what is new in the hub to a file of JSON Lines: an object each row.

        {"iter":9,"epoch":0,"loop_stage":"train","time":1764046172.123,"train/lr":0.1,"train/loss":0.25}

    A row has the scalars that were updated since the last row: one that was not logged is absent. In training
    there is a row at each iteration whose number, counted from 1, `interval` divides, and with it goes the latest
    value of each scalar. Each validation and each test has a row with its metrics, and with the iter and epoch
    that the hub held then. What is left over is written at the end of a training or run, however it ends.

    NaN and infinity are written as text, ``"nan"`` and ``"-inf"``, which `float` reads: every line is JSON in
    the strict sense.

    A file that is there already is appended to, for a training that is resumed: what was done after the
    checkpoint is there twice then, and the later row counts. Each row is on its way to the disk before the next
    iteration. A SIGKILL loses the iterations since the last row, fewer than `interval`.

    To read a value that lies on an accelerator is to wait for it: with ``interval=1``, each iteration waits.

    Args:
        path: The file. Folders that are missing are made.
        interval: How many iterations a row of the training is for.
        reduce: What a row has of each scalar in them: the ``"latest"`` value or the ``"mean"``.
        all_ranks: Whether each process of a distributed run writes a file, with its rank in the name:
            ``metrics.rank1.jsonl``. Otherwise only the first one writes.

    Raises:
        ValueError: If `interval` is no positive int, or `reduce` none of the two.
        SinkError: At `before_run`, if the file cannot be written to. If it cannot be written to later, as on a
            full disk, there is one `SinkWarning`, and the run goes on.

    Example:
        >>> import tempfile
        >>> from runtimeinfo_adapters.pytorch import Loop
        >>> folder = tempfile.TemporaryDirectory()
        >>> writer = JSONLWriter(f"{folder.name}/metrics.jsonl", interval=2)
        >>> loop = Loop(train_loader=[3.0, 2.0, 1.0], max_epochs=1, hooks=[writer])
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=batch)
        >>> for line in writer.path.read_text().splitlines():
        ...     row = json.loads(line)
        ...     print(row["iter"], row["loop_stage"], row["train/loss"])
        1 train 2.0
        2 train 1.0
        >>> folder.cleanup()

    Source: HUB-01, HUB-04, ORDER-02.
    """

    def _open(self, hub: MessageHub) -> None:  # noqa: ARG002
        self._file = LineFile(self._path)
        self._file.open()

    def _write(self, row: Row) -> None:
        self._file.append(f"{_encoder.encode({key: _json(value) for key, value in row.cells().items()})}\n")


def _json(value: Any) -> Any:
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
