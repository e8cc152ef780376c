"""The sink that writes a run of Weights & Biases."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_adapters._framework import import_framework
from runtimeinfo_adapters.sinks._row_sink import INFOS, Reduce, Row, RowSink, as_os_error, encodable


class WandbSink(RowSink):
    """Write the updated scalars of a hub as a run of Weights & Biases, into a folder: W&B's offline mode.

    ``wandb sync <folder>/wandb/offline-run-*`` sends it to a server, if you want that; the training needs neither a
    server nor an account. The id of the run is the hub's `run_id`, its name the hub's ``experiment_name``, and its
    config has the cfg and the seed. A training that is resumed writes another folder of the same run, and
    ``wandb sync`` sends the folders of a run in order.

    A step of W&B is the hub's iter, or the next one where that is taken, because W&B demands that steps grow. Each row
    has ``iter`` and ``epoch`` beside the scalars, and ``iter`` is the axis of the charts. W&B's server keeps what it
    has first: what is computed again after a resume appears there from the first step that it does not have yet.

    A key that W&B keeps for itself, with an underscore in front, is ``scalar/<key>``. NaN and infinity stay what they
    are.

    A run of your own in the same process goes on beside it. W&B writes in another process, every second here: a SIGKILL
    loses the rows of the last second, and so does a SIGTERM without ``stop_on``; every other end loses nothing.

    It needs the extra ``wandb``.

    Args:
        path: The folder in which W&B makes its folder ``wandb``. It is created if it is missing.
        project: The project of W&B.
        interval: The number of iterations of the training in a row.
        reduce: The value of each point: the ``"latest"``, or the ``"mean"`` since the last points.
        infos: The infos of the hub that are in the config.
        init: Other arguments of ``wandb.init``, such as ``tags``, or ``mode="online"``.
        all_ranks: Whether each process of a distributed run writes, to a subfolder such as ``rank1``. Otherwise only
            the first one writes.

    Raises:
        ModuleNotFoundError: If W&B is not installed; the message names the extra.
        ValueError: If `interval` is not a positive int, or `reduce` is something else.
        SinkError: At `before_run`, if the folder cannot be written to. If W&B fails later, there is one `SinkWarning`,
            and the run continues.

    Source: HUB-01, HUB-04, ORDER-02.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = ".",
        *,
        project: str = "runtimeinfo",
        interval: int = 10,
        reduce: Reduce = "latest",
        infos: Iterable[str] = INFOS,
        init: Mapping[str, Any] | None = None,
        all_ranks: bool = False,
    ) -> None:
        super().__init__(path, interval=interval, reduce=reduce, infos=infos, all_ranks=all_ranks)
        _check_installed()
        self._project = project
        self._init = dict(init or {})
        self._wandb_run: Any = None
        self._step = -1  # of the last row
        self._exit_code = 0

    def open(self, hub: MessageHub) -> None:  # noqa: ARG002
        """Create the folder if it is missing.

        Args:
            hub: The hub that the rows come from.

        Raises:
            OSError: If the folder cannot be written to.
        """
        self._step, self._exit_code = -1, 0
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path):  # W&B begins with the training
            pass

    def begin_training(self, done: int) -> None:
        """Start or continue the run of this training.

        Args:
            done: How many iterations are done.

        Raises:
            OSError: If W&B fails.
        """
        if self._wandb_run is None:
            with as_os_error():
                self._begin()
        self._step = max(self._step, done - 1)

    def write(self, row: Row) -> None:
        """Log the scalars of a row.

        Args:
            row: The row.

        Raises:
            OSError: If W&B fails.
        """
        with as_os_error():
            run = self._wandb_run or self._begin()
            infos = {_text(key): _text(info) for key, info in row.infos.items()}
            if infos:
                run.config.update(infos, allow_val_change=True)
            cells = row.cells()
            values = {name: cells[name] for name in ("iter", "epoch") if cells[name] is not None}
            for key, value in cells.items():
                if key not in _POSITION and key not in row.infos:
                    values[f"scalar/{_text(key)}" if key.startswith("_") else _text(key)] = value
            self._step = max(self._step + 1, row.iter or 0)
            run.log(values, step=self._step, commit=True)

    def on_exception(self, runner: Any, exception: BaseException) -> None:
        """Write the rest, because nothing more may come."""
        self._exit_code = 1
        super().on_exception(runner, exception)

    def close(self) -> None:
        """Finish the run of W&B.

        Raises:
            OSError: If W&B fails.
        """
        run, self._wandb_run = self._wandb_run, None
        if run is not None:
            with as_os_error():
                run.finish(exit_code=self._exit_code)

    def rank_path(self, path: Path, rank: int) -> Path:
        """Return the subfolder of a rank, such as ``rank1``.

        Args:
            path: The folder that was given.
            rank: The rank of this process.
        """
        return path / f"rank{rank}"

    def _begin(self) -> Any:
        wandb = importlib.import_module("wandb")
        # Otherwise, W&B puts itself between the training and its standard output.
        settings: dict[str, Any] = {"console": "off", "silent": True}
        if _FLUSH in getattr(wandb.Settings, "model_fields", ()):
            settings[_FLUSH] = 1.0  # seconds; by default 15, and a process that is killed loses what came since
        hub: Any = self._hub
        name = hub.get_info("experiment_name")
        arguments: dict[str, Any] = {
            "mode": "offline",
            "project": self._project,
            "id": self.run_id,
            "name": None if name is None else _text(str(name))[:128],
            "resume": "allow",
            "reinit": "create_new",  # a run of the user stays the current one
            "settings": wandb.Settings(**settings),
        }
        run = wandb.init(**{**arguments, "dir": str(self.path), **self._init})
        run.define_metric("iter")
        run.define_metric("*", step_metric="iter")
        self._wandb_run = run
        return run


_FLUSH = "x_transaction_log_flush_interval"
_POSITION = ("iter", "epoch", "loop_stage", "time", "run_id")


def _text(value: Any) -> Any:
    """Return a text as W&B can store it, without lone surrogates, and anything else as it is."""
    return encodable(value) if isinstance(value, str) else value


def _check_installed() -> None:
    import_framework("wandb", distribution="wandb", extra="wandb", at_least="0.31", below="1", used_by="WandbSink")
