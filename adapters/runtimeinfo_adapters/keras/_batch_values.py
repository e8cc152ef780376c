"""This batch's own values, out of the running means that Keras logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from runtimeinfo_adapters.keras._untyped import keras


class BatchValues:
    """Turns the logs of a training batch, which are means since the epoch began, into values of this batch.

    A mean keeps a sum and a count: what they have grown by is this batch's. The sum is a float32, so late in a long
    epoch the last digits get lost. A log without such a metric (what a `train_step` of the user's returns, an AUC)
    stays as it is.

    Source: SCALAR-04.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}

    def begin(self, model: Any) -> None:
        """Look at the means before a batch."""
        self._before = {name: _sums(mean) for name, mean in _means(model)}

    def end(self, model: Any, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the batch."""
        values = dict(logs)
        for name, mean in _means(model):
            total, count = _sums(mean)
            total_before, count_before = self._before.get(name, (0.0, 0.0))
            if name in values and count > count_before:
                values[name] = (total - total_before) / (count - count_before)
        return values


def _means(model: Any) -> Iterator[tuple[str, Any]]:
    for metric in _flat(getattr(model, "metrics", ())):
        kind = cast("Any", type(metric))
        # A subclass with a `result` of its own is another function of them.
        if issubclass(kind, keras.metrics.Mean) and kind.result is keras.metrics.Mean.result:
            yield metric.name, metric


def _flat(metrics: Any) -> Iterator[Any]:
    for metric in metrics:
        yield metric
        yield from _flat(getattr(metric, "metrics", ()))  # those that were compiled lie inside another one


def _sums(mean: Any) -> tuple[float, float]:
    return float(mean.total), float(mean.count)
