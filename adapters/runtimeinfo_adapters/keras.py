"""The adapter for Keras 3: `fit` and `evaluate` of a model.

    from runtimeinfo_adapters.keras import attach

    attach(model, experiment_name="digits")
    model.fit(images, labels, validation_data=validation, epochs=3)

Keras has no event for an exception, so `attach` wraps the two methods of this one model: whatever leaves them closes
all scopes. A `RuntimeInfoCallback` among the `callbacks` alone publishes the same, but learns of an exception only
when the next `fit` begins.

An evaluation inside `fit` is a validation, wherever it sits; one on its own is a test. Tried with the torch backend.

Keras copies and pickles a model through its saved form, which has no attributes of the instance: a copy of an attached
model is not attached.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from runtimeinfo import LoopError, MessageHub, RunnerError
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    EvaluationEvents,
    HasLearningRates,
    TrainDataLoader,
    shown,
    with_dataset,
)
from runtimeinfo_adapters._adapter import (
    FrameworkRunner,
    HubInForce,
    RunOptions,
    Target,
    WrappedMethod,
    check_target,
    wrapped_methods,
)
from runtimeinfo_adapters._framework import load_framework

__all__ = ["KerasRunner", "RuntimeInfoCallback", "attach", "detach"]

_keras: Any = load_framework("keras")

if TYPE_CHECKING:  # Keras has no types

    class _Callback:
        params: dict[str, Any]

        @property
        def model(self) -> Any: ...

        def set_model(self, model: Any) -> None: ...

else:
    _Callback = _keras.callbacks.Callback

# What this adapter relies on of what Keras does not promise, by the object that has it. `compile` replaces the loss
# tracker, so that its identity tells whether the metrics are still the same; `_model` is where a callback keeps its
# model; `_value` is the tensor of a variable, to read which costs a tenth of what the variable's own `__float__` does.
_PRIVATE: dict[str, tuple[str, ...]] = {"model": ("_loss_tracker",), "callback": ("_model",), "variable": ("_value",)}

_METHODS = ("fit", "evaluate")

_NEVER_SEEN: Any = object()

# A tensor of torch is written in place, and counts how often. The other backends tell nothing of the kind.
_COUNTS_WRITES = _keras.config.backend() == "torch"


class _LastRead:
    """The value of a variable of Keras, which is read from its device only if it was written since the last time."""

    __slots__ = ("_number", "_tensor", "_version")

    def __init__(self) -> None:
        self._number = 0.0
        self._tensor: Any = _NEVER_SEEN
        self._version: object = None

    def of(self, variable: Any) -> float:
        """Return the value that a scalar variable has now."""
        tensor = variable._value
        if tensor is self._tensor and tensor._version == self._version:
            return self._number
        if not _COUNTS_WRITES or tensor is None or tensor.is_inference():
            return float(variable)
        self._number, self._tensor, self._version = float(tensor), tensor, tensor._version
        return self._number


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


class _BatchValues:
    """Turns the logs of a training batch, which are means since the epoch began, into values of this batch.

    A mean keeps a sum and a count: what they have grown by is this batch's. The sum is a float32, so late in a long
    epoch the last digits get lost. A log without such a metric (what a user's `train_step` returns, an AUC) stays as
    it is.

    To walk through the metrics of a model takes longer than all else here, so the means are remembered. The first
    batch of an epoch may build metrics, and `compile` and new logs show that there are others.

    Source: SCALAR-04.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the means of the model."""
        self._means: list[_RunningMean] = []
        self._loss_tracker: Any = _NEVER_SEEN
        self._logged: tuple[str, ...] | None = None

    def begin(self, model: Any) -> None:
        """Look at the means before a batch."""
        if model._loss_tracker is not self._loss_tracker:
            self._find(model)
            self._logged = None  # this batch builds what was compiled: look again when it ends
        for mean in self._means:
            mean.begin()

    def end(self, model: Any, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the batch."""
        values = dict(logs)
        logged = tuple(values)
        if logged != self._logged:
            self._find(model)
            self._logged = logged
        for mean in self._means:
            if mean.name in values:
                values[mean.name] = mean.of_batch(values[mean.name])
        return values

    def _find(self, model: Any) -> None:
        known = {id(mean.metric): mean for mean in self._means}
        means = _means(getattr(model, "metrics", ()))
        self._means = [known.get(id(metric)) or _RunningMean(metric) for metric in means]
        self._loss_tracker = model._loss_tracker


def _means(metrics: Any) -> Iterator[Any]:
    for metric in metrics:
        kind = cast("Any", type(metric))
        # A subclass with its own `result` is another function of the sum and the count.
        if issubclass(kind, _keras.metrics.Mean) and kind.result is _keras.metrics.Mean.result:
            yield metric
        yield from _means(getattr(metric, "metrics", ()))  # those that were compiled lie inside another one


class KerasRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with a model of Keras.

    Args:
        optimizers: Several optimizers by name; if left out, the one that the model is compiled with.
        options: The run options.

    Attributes:
        data: The data that `fit` was given.
        max_epochs: Epochs of the whole training, or None.
        max_iters: Iterations of the whole training, or None.
        optim_wrapper: The runner itself, because a model may be compiled again.

    Source: META-01 to META-07, COUNT-01 to COUNT-10, SCALAR-02, SCALAR-03.
    """

    framework_name: str = "keras"
    framework_version: str = str(_keras.__version__)

    def __init__(self, optimizers: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]) -> None:
        super().__init__(**options)
        self.data: Any = None
        self.max_epochs: int | None = None
        self.max_iters: int | None = None
        self.optim_wrapper: HasLearningRates = self
        self._target = Target()
        self._optimizers = optimizers
        self._rates: defaultdict[str, _LastRead] = defaultdict(_LastRead)

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run, and data may be a generator.
        return {**vars(self), "data": None, "_rates": defaultdict(_LastRead)}

    @property
    def model(self) -> Any:
        """The model, which is held weakly; None if there is none."""
        return self._target()

    @model.setter
    def model(self, model: Any) -> None:
        self._target = Target(model)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The data that `fit` was given; data without a dataset are their own dataset.

        Keras tells a callback nothing of the data: without `attach` this is None.
        """
        return with_dataset(self.data)

    def get_lr(self) -> dict[str, list[float]]:
        """Return the rates as they are now; Keras works out a schedule."""
        if self._optimizers is not None:
            return {f"{name}.lr": [self._rate(name, optimizer)] for name, optimizer in self._optimizers.items()}
        optimizer = getattr(self._target.get(), "optimizer", None)
        return {} if optimizer is None else {"lr": [self._rate("lr", optimizer)]}

    def _rate(self, name: str, optimizer: Any) -> float:
        rate = optimizer.learning_rate
        return self._rates[name].of(rate) if isinstance(rate, _keras.Variable) else float(rate)


class RuntimeInfoCallback(_Callback):
    """Makes a model publish through this protocol. `attach` does more: see there.

    It overrides `on_train_batch_end` and `on_test_batch_end`: Keras then calls all callbacks in this thread, and not
    some time later in another one. It holds its model weakly, and a copy of it is outside of any run.

    Args:
        optimizers: Several optimizers by name, for a `train_step` that uses them; if left out, the one that the
            model is compiled with.
        standalone_stage: What an `evaluate` outside of `fit` is.
        options: The run options `hub`, `hooks`, `cfg`, `seed` and `experiment_name`.

    Attributes:
        runner: The view of the model that hooks get.
        message_hub: The hub that it publishes to.

    Raises:
        RunnerError: If `standalone_stage` is neither.
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-09, FAIL-01 to FAIL-06, RESUME-01, RESUME-02.
    """

    def __init__(
        self,
        *,
        optimizers: Mapping[str, Any] | None = None,
        standalone_stage: Literal["val", "test"] = "test",
        **options: Unpack[RunOptions],
    ) -> None:
        if standalone_stage not in EVALUATION_EVENTS:
            raise RunnerError(
                f"standalone_stage must be 'val' or 'test', but is {shown(standalone_stage)}: say what an evaluate() "
                "outside of fit() is"
            )
        self.runner: KerasRunner = KerasRunner(optimizers, **options)
        self.message_hub: MessageHub = self.runner.message_hub
        super().__init__()
        self._standalone_stage: Literal["val", "test"] = standalone_stage
        self._evaluation: EvaluationEvents = EVALUATION_EVENTS[standalone_stage]
        self._values = _BatchValues()
        self._calls: list[str] = []  # of fit and evaluate, that are under way, outermost first
        self._is_guarded = False  # by `attach`, which ends the run, and begins the iterations
        self._hub_in_force = HubInForce()  # if the calls are not guarded
        self._initial_epoch = 0
        self._begins_training = False
        self._was_loaded = False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_values": _BatchValues(), "_calls": [], "_is_guarded": False}

    @property
    def _model(self) -> Any:
        # Keras keeps its model here. A callback outlives its calls: it must not keep the model alive, and a copy of it
        # must not copy the model.
        return self.runner.model

    @_model.setter
    def _model(self, model: Any) -> None:
        self.runner.model = model

    def set_model(self, model: Any) -> None:
        """Take the model."""
        super().set_model(model)
        self.runner.model = self.model  # without what PyTorch may have put around it

    # -- training

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open the training."""
        self._begin_call("fit")
        epochs, steps = self.params.get("epochs"), self.params.get("steps")  # steps: None for data without a length
        self.runner.max_epochs = epochs
        self.runner.max_iters = None if epochs is None or steps is None else epochs * steps
        if not self._was_loaded:
            self._count_from(self._initial_epoch)
        self._begins_training = True
        self.runner.emitter.emit("before_train")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an epoch. The first one tells where the training begins, if that is not known yet."""
        if self._begins_training and not self._was_loaded:
            self._count_from(epoch)
        self._begins_training = self._was_loaded = False
        self._values.forget()
        self.runner.emitter.emit("before_train_epoch")

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an iteration, unless `attach` does so when all callbacks have set the learning rate."""
        if not self._is_guarded:
            self.begin_iteration(batch)

    def begin_iteration(self, batch: int) -> None:
        """Open an iteration."""
        self._values.begin(self.runner.model)
        self.runner.emitter.emit("before_train_iter", batch_idx=batch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the iteration."""
        # Under JAX, Keras writes the variables when a callback asks for the model.
        model = self.runner.model if _COUNTS_WRITES else self.model
        self.runner.emitter.emit("after_train_iter", outputs=self._values.end(model, logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the epoch."""
        self.runner.emitter.emit("after_train_epoch")

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the training."""
        self._values.forget()
        self.runner.emitter.emit("after_train")
        self._end_call()

    # -- validation and test

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open a validation or a test."""
        self._begin_call("evaluate")
        self._evaluation = EVALUATION_EVENTS["val" if "fit" in self._calls else self._standalone_stage]
        self.runner.emitter.emit(self._evaluation.before)
        self.runner.emitter.emit(self._evaluation.before_epoch)

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an iteration of it."""
        self.runner.emitter.emit(self._evaluation.before_iter, batch_idx=batch)

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the iteration."""
        self.runner.emitter.emit(self._evaluation.after_iter, outputs=logs)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Close it, with its metrics."""
        self.runner.emitter.emit(self._evaluation.after_epoch, metrics=dict(logs or {}))
        self.runner.emitter.emit(self._evaluation.after)
        self._end_call()

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included. Keras has no place for it: save it beside.

        Source: RESUME-01, RESUME-02.
        """
        return self.runner.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, at the next ``fit(initial_epoch=callback.runner.epoch, ...)``.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        if self.runner.emitter.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before model.fit()")
        self.runner.load_state_dict(state_dict)
        self._was_loaded = True

    # -- the calls of fit and evaluate

    def guard(self, call: str, model: Any, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `fit` or `evaluate` of a model, as `attach` has it done: with this callback, and inside a run.

        Source: LIFE-15, FAIL-01 to FAIL-03.
        """
        runner, emitter = self.runner, self.runner.emitter
        bound = inspect.signature(method).bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        # The validation of `fit` has the callbacks of `fit`; and no evaluation nests in another one.
        if isinstance(given, _keras.callbacks.CallbackList) or emitter.is_open("val") or emitter.is_open("test"):
            return method(*args, **kwargs)
        others = [each for each in _keras.tree.flatten(given or []) if each is not self]
        last = [_IterationBegin(self)] if call == "fit" else []
        bound.arguments["callbacks"] = [self, *others, *last]
        runner.model = model
        if not emitter.is_open("run"):  # what Keras does not tell a callback
            runner.data, self._initial_epoch = bound.arguments.get("x"), bound.arguments.get("initial_epoch", 0)
        was_guarded, self._is_guarded = self._is_guarded, True
        self._calls.append(call)
        try:
            with runner.running():
                return method(*bound.args, **bound.kwargs)
        finally:
            self._calls.pop()
            self._is_guarded = was_guarded

    def _begin_call(self, call: str) -> None:
        """Frame a call that is not guarded: a run, or a part of one."""
        if self._is_guarded:
            return
        emitter = self.runner.emitter
        if call == "fit" and self._calls:  # Keras said nothing
            emitter.abort(RuntimeError("the last fit() did not finish"))
            self._calls.clear()
        if not self._calls:
            self._hub_in_force.enter(self.message_hub)
            self.runner.data, self._initial_epoch = None, 0
            emitter.emit("before_run")
        self._calls.append(call)

    def _end_call(self) -> None:
        if self._is_guarded:
            return
        self._calls.pop()
        if not self._calls:
            self.runner.emitter.emit("after_run")
            self._hub_in_force.leave()

    def _count_from(self, epoch: int) -> None:
        """Count from an epoch on: the counters go on if that is where they are, or are worked out."""
        emitter = self.runner.emitter
        if epoch == 0 or epoch != emitter.epoch:
            emitter.epoch, emitter.iter = epoch, epoch * (self.params.get("steps") or 0)


class _IterationBegin(_Callback):
    """Begins an iteration when all other callbacks have set the learning rate."""

    def __init__(self, callback: RuntimeInfoCallback) -> None:
        super().__init__()
        self._callback = callback

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Begin it."""
        self._callback.begin_iteration(batch)


class _MethodOfModel(WrappedMethod):
    """A wrapped method of a model. A copy of it is the plain method of the copied model, which is not attached."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return getattr(copy.deepcopy(self.owner, memo), self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.owner, self._name)


def attach(
    model: Any,
    *,
    optimizers: Mapping[str, Any] | None = None,
    standalone_stage: Literal["val", "test"] = "test",
    **options: Unpack[RunOptions],
) -> RuntimeInfoCallback:
    """Make a model publish through this protocol, whatever calls its `fit` and `evaluate`.

    Each call gets the callback, before those of the user; an exception that leaves it closes all scopes. A copy of the
    model, or a pickled one, is not attached.

    Args:
        model: The model. If it was attached before, it is detached first.
        optimizers: As for `RuntimeInfoCallback`.
        standalone_stage: As for `RuntimeInfoCallback`.
        options: The run options `hub`, `hooks`, `cfg`, `seed` and `experiment_name`.

    Returns:
        The callback. There is no need to hand it to `fit`.

    Raises:
        RunnerError: If it is not a model, `standalone_stage` is not a stage of an evaluation, or this version of
            Keras lacks what the adapter relies on.
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: LIFE-01, LIFE-15, FAIL-01 to FAIL-06.
    """
    check_target(model, _keras.Model, "a model of Keras", _PRIVATE["model"])
    check_target(_keras.callbacks.Callback(), _keras.callbacks.Callback, "a callback", _PRIVATE["callback"])
    check_target(_keras.Variable(0.0, name="probe"), _keras.Variable, "a variable", _PRIVATE["variable"])
    callback = RuntimeInfoCallback(optimizers=optimizers, standalone_stage=standalone_stage, **options)
    detach(model)
    callback.runner.model = model
    for name in _METHODS:
        setattr(model, name, _MethodOfModel(model, name, functools.partial(callback.guard, name)))
    return callback


def detach(model: Any) -> None:
    """Take back what `attach` did to a model: it is as it was before. Does nothing to a model that is not attached."""
    for name in _METHODS:
        for wrapped in tuple(wrapped_methods(model, name)):
            if isinstance(wrapped.adapter, RuntimeInfoCallback):
                wrapped.remove()
