"""The sink that writes to a database of MLflow."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import re
import tempfile
import zlib
from collections.abc import Iterable
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_adapters._framework import import_framework, import_of_extra
from runtimeinfo_adapters.sinks._row_sink import INFOS, Reduce, Row, RowSink, as_os_error, encodable

RUN_ID_TAG = "runtimeinfo_run_id"
"""The tag of an MLflow run by which a resumed training finds it."""

_EXPERIMENT = "runtimeinfo"
"""The experiment of a training that has no name."""

_MAX_NAME, _MAX_PARAM, _MAX_EXPERIMENT, _MAX_BATCH = 250, 6000, 500, 1000
"""MLflow's limits: the characters of a name, a param and an experiment's name, and the metrics of a call."""


class MLflowSink(RowSink):
    """Write the updated scalars of a hub to a database of MLflow: the hub's keys are the metrics, its iter is the step.

    The database is one SQLite file; no server is needed. To look at it: ``mlflow ui --backend-store-uri
    sqlite:///mlflow.db``. Files such as a long cfg are in a folder beside it, ``mlflow-artifacts``.

    An MLflow run has the hub's `run_id` as the tag ``runtimeinfo_run_id``, and a training that is resumed goes on in
    it. The experiment is the hub's ``experiment_name``, or ``runtimeinfo`` if it has none. The cfg and the seed are
    params. A cfg of more than 6,000 characters, which MLflow would cut, is the file ``cfg.txt``; one that has changed
    at a resume is ``cfg_at_<iter>.txt``, because MLflow does not let a param change.

    The steps of a metric never go back. What is computed again after a resume is written from the first step that the
    metric does not have yet: MLflow can neither remove nor replace a point.

    A name that MLflow refuses, such as ``train/a<b``, becomes one that it takes, with a checksum so that no two are the
    same. MLflow stores an infinity in a database as the largest float; the tag ``not_finite/<metric>`` tells its first
    step. NaN stays NaN.

    The run ends as ``FINISHED``, ``FAILED`` after an exception, or ``KILLED`` after Ctrl-C. Each row is in the database
    before the next iteration; a row takes about 30 ms. A SIGKILL loses the iterations since the last row, fewer than
    `interval`, and leaves the run ``RUNNING``.

    It needs the extra ``mlflow``.

    Args:
        path: The SQLite file. Missing folders are created.
        interval: The number of iterations of the training in a row.
        reduce: The value of each point: the ``"latest"``, or the ``"mean"`` since the last points.
        infos: The infos of the hub that are written once.
        all_ranks: Whether each process of a distributed run writes, to a file with its rank in the name. Otherwise only
            the first one writes.

    Raises:
        ModuleNotFoundError: If MLflow is not installed; the message names the extra.
        ValueError: If `interval` is not a positive int, or `reduce` is something else.
        SinkError: At `before_run`, if the file cannot be written to, or is not a database of MLflow. If MLflow fails
            later, there is one `SinkWarning`, and the run continues.

    Source: HUB-01, HUB-04, ORDER-02.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "mlflow.db",
        *,
        interval: int = 10,
        reduce: Reduce = "latest",
        infos: Iterable[str] = INFOS,
        all_ranks: bool = False,
    ) -> None:
        super().__init__(path, interval=interval, reduce=reduce, infos=infos, all_ranks=all_ranks)
        _check_installed()
        self._client: Any = None
        self._mlflow_run: str | None = None
        self._status = "FINISHED"
        self._steps: dict[str, int] = {}  # the last step of each metric
        self._tags: dict[str, str] = {}

    def open(self, hub: MessageHub) -> None:  # noqa: ARG002
        """Open the database, or create it.

        Args:
            hub: The hub that the rows come from.

        Raises:
            OSError: If that fails.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path.parent):  # SQLite puts its journal beside it
            pass
        self._mlflow_run, self._status = None, "FINISHED"
        with as_os_error():
            self._client = importlib.import_module("mlflow").MlflowClient(tracking_uri=f"sqlite:///{self.path}")
            self._client.search_experiments(max_results=1)

    def begin_training(self, done: int) -> None:
        """Find the run of this training, or begin one.

        Args:
            done: How many iterations are done.

        Raises:
            OSError: If MLflow fails.
        """
        with as_os_error():
            self._begin(is_new=not done)

    def write(self, row: Row) -> None:
        """Write a point for each scalar of a row.

        Args:
            row: The row.

        Raises:
            OSError: If MLflow fails.
        """
        with as_os_error():
            run = self._mlflow_run or self._begin(is_new=False)
            for key, info in row.infos.items():
                if key != "experiment_name":
                    self._write_info(run, key, str(info), row)
            self._write_metrics(run, row)

    def on_exception(self, runner: Any, exception: BaseException) -> None:
        """Write the rest, because nothing more may come."""
        self._status = "FAILED" if isinstance(exception, Exception) else "KILLED"
        super().on_exception(runner, exception)

    def close(self) -> None:
        """End the run in MLflow.

        Raises:
            OSError: If MLflow fails.
        """
        run, self._mlflow_run = self._mlflow_run, None
        client, self._client = self._client, None
        if run is not None:
            with as_os_error():
                client.set_terminated(run, self._status)

    def _begin(self, *, is_new: bool) -> str:
        """Start a run in MLflow, or continue the latest one with this run id, unless it has to be a new one."""
        hub: Any = self._hub
        experiment = self._experiment(hub.get_info("experiment_name"))
        found = self._client.search_runs(
            [experiment],
            f"tags.`{RUN_ID_TAG}` = '{self.run_id}'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        run = None if is_new or not found else found[0]
        if run is None:
            tags = {RUN_ID_TAG: self.run_id}
            run = self._client.create_run(experiment, tags=tags, run_name=f"{self.run_id[:8]}")
        else:
            self._client.update_run(run.info.run_id, status="RUNNING")
        name: str = run.info.run_id
        self._mlflow_run, self._tags = name, dict(run.data.tags)
        self._steps = {
            key: max(point.step for point in self._client.get_metric_history(name, key)) for key in run.data.metrics
        }
        return name

    def _experiment(self, info: Any) -> str:
        # Not MLflow's own "Default": its files are in a folder relative to where the database was made.
        text = encodable(str(info or _EXPERIMENT))
        name = text if len(text) <= _MAX_EXPERIMENT else f"{text[: _MAX_EXPERIMENT - 9]}-{_checksum(text)}"
        found = self._client.get_experiment_by_name(name)
        if found is None:
            folder = self.path.with_name(f"{self.path.stem}-artifacts")
            try:
                return str(self._client.create_experiment(name, artifact_location=folder.as_uri()))
            except Exception:
                found = self._client.get_experiment_by_name(name)  # another process was faster
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _write_info(self, run: str, key: str, info: str, row: Row) -> None:
        name, text = metric_name(key), encodable(info)
        tag = f"runtimeinfo.sha256.{name}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        before = self._tags.get(tag)
        if before == digest:  # an earlier process has written it
            return
        if before is None and len(text) <= _MAX_PARAM:
            self._client.log_param(run, name, text)
        else:
            self._client.log_text(run, text, f"{name}.txt" if before is None else f"{name}_at_{row.iter}.txt")
        self._client.set_tag(run, tag, digest)
        self._tags = {**self._tags, tag: digest}

    def _write_metrics(self, run: str, row: Row) -> None:
        metric = importlib.import_module("mlflow.entities").Metric
        step, time = row.iter or 0, round(row.time * 1000)
        metrics: list[Any] = []
        for key, value in row.scalars.items():
            name = metric_name(key)
            if step > self._steps.get(name, -1):
                self._steps = {**self._steps, name: step}
                metrics.append(metric(name, _float(value), time, step))
                if math.isinf(metrics[-1].value):
                    self._note_infinity(run, name, metrics[-1].value, step)
        for first in range(0, len(metrics), _MAX_BATCH):
            self._client.log_batch(run, metrics=metrics[first : first + _MAX_BATCH])

    def _note_infinity(self, run: str, name: str, value: float, step: int) -> None:
        tag = f"not_finite/{name}"[:_MAX_NAME]
        if tag not in self._tags:
            said = f"{value} at step {step}"
            self._client.set_tag(run, tag, said)
            self._tags = {**self._tags, tag: said}


def metric_name(key: str) -> str:
    """Return a name that MLflow takes: the key itself if it is one, otherwise one that no other key has.

    MLflow takes letters, digits, ``_-. :/`` and at most 250 characters, and refuses what a path would resolve to
    another one.

    Example:
        >>> metric_name("train/loss"), metric_name("train/a<b")
        ('train/loss', 'train/a_b-e000a781')
    """
    parts = (re.sub(r"[^\w\-. :]", "_", part) for part in key.split("/"))
    name = "/".join("_" if part.strip(".") == "" else part for part in parts)
    if name == key and len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - 9]}-{_checksum(key)}"


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode(errors='surrogatepass')):08x}"


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _check_installed() -> None:
    for name in ("sqlalchemy", "alembic"):
        import_of_extra(name, distribution=name, extra="mlflow", used_by="MLflowSink")
    import_framework(
        "mlflow", distribution="mlflow-skinny", extra="mlflow", at_least="3.17", below="4", used_by="MLflowSink"
    )
