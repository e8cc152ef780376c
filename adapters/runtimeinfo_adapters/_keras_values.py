"""What a Keras training publishes in each iteration: means of one batch, and learning rates.

On the CPU these are numbers. On an accelerator nothing is read in an iteration, because each read waits for the device:
the means are worked out there, and a rate is a number only where that is known without a wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, cast

from runtimeinfo.authoring import lies_on_device
from runtimeinfo_adapters._framework import load_framework

_keras: Any = load_framework("keras")

_NEVER_SEEN: Any = object()

# A tensor of torch is written in place, and counts how often. The other backends tell nothing of the kind.
COUNTS_WRITES = _keras.config.backend() == "torch"


def _tensor_on_device(variable: Any) -> Any:
    """Return the tensor of a variable that lies on an accelerator, or None."""
    tensor = getattr(variable, "_value", None)
    return tensor if COUNTS_WRITES and tensor is not None and not tensor.is_cpu else None


class _LastRead:
    """The value of a variable of Keras, which is read from its device only if it was written since the last time."""

    __slots__ = ("_number", "_tensor", "_version")

    def __init__(self) -> None:
        self._number = 0.0
        self._tensor: Any = _NEVER_SEEN
        self._version: Any = None

    def of(self, variable: Any) -> float:
        """Return the value that a scalar variable has now."""
        tensor = variable._value
        if tensor is self._tensor and tensor._version == self._version:
            return self._number
        if not COUNTS_WRITES or tensor is None or tensor.is_inference():
            return float(variable)
        self._number, self._tensor, self._version = float(tensor), tensor, tensor._version
        return self._number

    def writes_since(self, tensor: Any) -> int | None:
        """Return how often a tensor was written since it was read; None if another one was, or none."""
        return tensor._version - self._version if tensor is self._tensor else None

    @property
    def number(self) -> float:
        """The value that was read last."""
        return self._number


# -- learning rates


class LearningRate:
    """The learning rate of one optimizer.

    On an accelerator, `of` does not wait. A rate that was not written since `read` is the number that was read. One
    that was is its tensor, to be read later. A schedule is worked out on the CPU, from the iterations of the optimizer:
    as many as at the last `read`, and one for each write since. Its last digit may differ from the device's.

    Source: SCALAR-02, SCALAR-10.
    """

    __slots__ = ("_count", "_last", "_needs_device", "_rate", "_step")

    def __init__(self) -> None:
        self._last, self._count = _LastRead(), _LastRead()
        self._needs_device = False  # a user's schedule that works with its own tensors
        self._step: Any = None
        self._rate: tuple[Any, int, float] | None = None  # of which schedule, at which iteration

    def read(self, optimizer: Any) -> None:
        """Read what the rate follows from, outside of the iterations."""
        if _tensor_on_device(getattr(optimizer, "_iterations", None)) is None:
            return
        inner = _inner(optimizer)
        rate: Any = getattr(inner, "_learning_rate", None)
        if isinstance(rate, _keras.Variable):
            self._last.of(rate)
        elif _has_schedule(inner):
            self._count.of(inner._iterations)

    def of(self, optimizer: Any) -> Any:
        """Return the rate now: a number, or a tensor on an accelerator."""
        if _tensor_on_device(getattr(optimizer, "_iterations", None)) is not None and not self._needs_device:
            inner = _inner(optimizer)
            if _has_schedule(inner):
                return self._of_schedule(inner._learning_rate, inner._iterations, optimizer)
        rate: Any = optimizer.learning_rate
        if isinstance(rate, _keras.Variable):
            tensor = _tensor_on_device(rate)
            return self._last.of(rate) if tensor is None or self._last.writes_since(tensor) == 0 else tensor.detach()
        return rate if lies_on_device(rate) else float(rate)

    def _of_schedule(self, schedule: Any, iterations: Any, optimizer: Any) -> Any:
        writes = self._count.writes_since(iterations._value)
        if writes is None:
            self._count.of(iterations)
        step = int(self._count.number) + (writes or 0)
        if self._rate is None or self._rate[:2] != (schedule, step):
            try:
                with _keras.device("cpu"):
                    if self._step is None:
                        self._step = _keras.Variable(step, dtype=iterations.dtype, trainable=False, name="step")
                    self._step.assign(step)
                    self._rate = schedule, step, float(schedule(self._step))
            except (RuntimeError, TypeError, ValueError, AttributeError):  # what else goes wrong does so again
                self._needs_device = True
                return self.of(optimizer)
        return self._rate[2]


def _inner(optimizer: Any) -> Any:
    """Return the optimizer inside of a LossScaleOptimizer, and any other as it is."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _has_schedule(optimizer: Any) -> bool:
    """Return whether the rate of an optimizer is a schedule, as Keras has it: a function of the iterations."""
    kind = cast("Any", type(optimizer))
    is_keras = getattr(kind, "learning_rate", None) is _keras.optimizers.Optimizer.learning_rate
    schedules = _keras.optimizers.schedules
    return is_keras and isinstance(getattr(optimizer, "_learning_rate", None), schedules.LearningRateSchedule)


# -- means


class _RunningMean:
    """A running mean that Keras logs: what it had added up when the batch began."""

    __slots__ = ("_count", "_count_before", "_total", "_total_before", "metric", "name")

    def __init__(self, metric: Any) -> None:
        self.metric = metric
        self.name: str = metric.name
        self._total, self._count = _LastRead(), _LastRead()
        self._total_before = self._count_before = 0.0

    def begin(self) -> None:
        """Look at it before a batch."""
        self._total_before, self._count_before = self._total.of(self.metric.total), self._count.of(self.metric.count)

    def of_batch(self, logged: Any) -> Any:
        """Return the mean of the batch; what was logged if the batch has added nothing."""
        count = self._count.of(self.metric.count) - self._count_before
        return (self._total.of(self.metric.total) - self._total_before) / count if count > 0 else logged


class _MeansOnDevice:
    """The running means on one accelerator, all worked out there together.

    Args:
        metrics: The metrics.
        before: What they had added up when the batch began, each of shape ``(2,)``; those that are new had nothing.
    """

    __slots__ = ("_before", "_marks_before", "_now", "metrics")

    def __init__(self, metrics: list[Any], before: Mapping[int, tuple[Any, Any]]) -> None:
        import torch

        self.metrics = metrics
        self._now: tuple[list[tuple[Any, ...]], Any] | None = None
        known = [before.get(id(metric)) for metric in metrics]
        self._marks_before: list[Any] = [None if each is None else each[0] for each in known]
        zero = torch.zeros(2, dtype=self._dtype(), device=metrics[0].total._value.device)
        self._before: Any = torch.stack([zero if each is None else each[1] for each in known])

    @property
    def before(self) -> dict[int, tuple[Any, Any]]:
        """The totals of each metric at the start of the batch."""
        return {
            id(metric): (mark, row)
            for metric, mark, row in zip(self.metrics, self._marks_before, self._before.unbind(), strict=True)
        }

    def begin(self) -> None:
        """Look at them before a batch."""
        self._marks_before, self._before = self._state()

    def replace(self, values: dict[str, Any]) -> None:
        """Replace what was logged by the means of the batch, as tensors of shape ``()``.

        What was logged stays where the batch has added nothing. Which of the two it is, only the device may know.
        """
        import torch

        before, marks_before = self._before, self._marks_before
        marks, now = self._state()
        added = now - before
        total, count = added.unbind(1)
        means, has_none = (total / count).unbind(), (count > 0).logical_not().unbind()
        for metric, mean, none, mark, mark_before in zip(
            self.metrics, means, has_none, marks, marks_before, strict=True
        ):
            logged = values.get(metric.name)
            if mark == mark_before:
                continue
            if isinstance(logged, float):
                # Not `torch.where`, which copies a number to the device and waits for that.
                values[metric.name] = mean.masked_fill_(none, logged)
            elif isinstance(logged, torch.Tensor):
                values[metric.name] = torch.where(none, logged, mean)

    def _state(self) -> tuple[list[tuple[Any, ...]], Any]:
        """Return a mark of each, which changes as it is written, and a copy of what each has added up: ``(n, 2)``."""
        import torch

        tensors = [tensor for metric in self.metrics for tensor in (metric.total._value, metric.count._value)]
        marks = [_mark(tensors[at]) + _mark(tensors[at + 1]) for at in range(0, len(tensors), 2)]
        if self._now is None or self._now[0] != marks:
            with torch.no_grad():
                self._now = marks, torch.stack(tensors).to(self._dtype()).view(-1, 2)
        return self._now

    def _dtype(self) -> Any:
        import torch

        # As Python does it, so that a value is the same as on the CPU. Apple's GPUs have no such numbers.
        return torch.float32 if self.metrics[0].total._value.is_mps else torch.float64


def _mark(tensor: Any) -> tuple[Any, ...]:
    """Return what changes with each write; for a tensor that does not count these, with each call."""
    return id(tensor), object() if tensor.is_inference() else tensor._version


class BatchValues:
    """Turns the logs of a training batch, which are means since the epoch began, into values of this batch.

    A mean keeps a sum and a count: what they have grown by is this batch's. The sum is a float32, so late in a long
    epoch the last digits get lost. A log without such a metric (what a user's `train_step` returns, an AUC) stays as
    it is.

    To walk through the metrics of a model takes longer than all else here, so the means are remembered. The first
    batch of an epoch may build metrics, and `compile` and new logs show that there are others.

    Source: SCALAR-04, SCALAR-10.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the means of the model."""
        self._means: list[_RunningMean] = []
        self._on_devices: list[_MeansOnDevice] = []
        self._loss_tracker: Any = _NEVER_SEEN
        self._logged: tuple[str, ...] | None = None

    def begin(self, model: Any) -> None:
        """Look at the means before a batch."""
        if model._loss_tracker is not self._loss_tracker:
            self._find(model)
            self._logged = None  # this batch builds what was compiled: look again when it ends
        for mean in self._means:
            mean.begin()
        for means in self._on_devices:
            means.begin()

    def end(self, model: Any, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the batch: numbers, or tensors on an accelerator."""
        values = dict(logs)
        logged = tuple(values)
        if logged != self._logged:
            self._find(model)
            self._logged = logged
        for mean in self._means:
            if mean.name in values:
                values[mean.name] = mean.of_batch(values[mean.name])
        for means in self._on_devices:
            means.replace(values)
        return values

    def _find(self, model: Any) -> None:
        known = {id(mean.metric): mean for mean in self._means}
        before = {metric: state for means in self._on_devices for metric, state in means.before.items()}
        self._means = []
        by_device: defaultdict[Any, list[Any]] = defaultdict(list)
        for metric in _means(getattr(model, "metrics", ())):
            tensor = _tensor_on_device(metric.total)
            if tensor is None:
                self._means.append(known.get(id(metric)) or _RunningMean(metric))
            else:
                by_device[tensor.device].append(metric)
        self._on_devices = [_MeansOnDevice(metrics, before) for metrics in by_device.values()]
        self._loss_tracker = model._loss_tracker


def _means(metrics: Any) -> Iterator[Any]:
    for metric in metrics:
        kind = cast("Any", type(metric))
        # A subclass with its own `result` is another function of the sum and the count.
        if issubclass(kind, _keras.metrics.Mean) and kind.result is _keras.metrics.Mean.result:
            yield metric
        yield from _means(getattr(metric, "metrics", ()))  # those that were compiled lie inside another one
