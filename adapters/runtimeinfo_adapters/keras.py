"""The adapter for Keras 3: `fit` and `evaluate` of a model.

    from runtimeinfo_adapters.keras import attach

    attach(model, experiment_name="digits")
    model.fit(images, labels, validation_data=validation, epochs=3)

Keras has no event for an exception, so `attach` wraps the two methods of this one model: whatever leaves them closes
all scopes. A `RuntimeInfoCallback` among the `callbacks` alone publishes the same as far as Keras tells it: see there
what it cannot know.

An evaluation inside `fit` is a validation, wherever it sits; one on its own is a test.

All backends publish the same. With ``steps_per_execution`` above 1, which Keras has on JAX and TensorFlow, `fit` is
refused with a `RunnerError`: Keras calls its callbacks once for several batches then, and does not tell how many.

Keras continues with whole epochs only: ``fit(initial_epoch=n)``, and `BackupAndRestore` after a save in mid-epoch,
train that epoch from its first batch. `iter` counts on from the batches that the weights have seen, as the optimizer
does.

The workers of a `PyDataset` fetch the first batches of an epoch before Keras announces it, so that `epoch` can be one
behind there. They are started by a thread of Keras, of which it is not known whose it is while another run is open.

Keras copies and pickles a model through its saved form, which has no attributes of the instance: a copy of an attached
model is not attached.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import math
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from runtimeinfo import LoopError, MessageHub, RunnerError
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    EvaluationEvents,
    HasLearningRates,
    SupportsDropLatest,
    TrainDataLoader,
    length_of,
    shown,
    with_dataset,
)
from runtimeinfo_adapters._adapter import (
    FrameworkRunner,
    HubInForce,
    ResumeWarning,
    RunOptions,
    Target,
    WrappedMethod,
    check_target,
    wrapped_methods,
)
from runtimeinfo_adapters._copied_callback import copy_callback
from runtimeinfo_adapters._framework import load_framework
from runtimeinfo_adapters._keras_values import COUNTS_WRITES, BatchValues, LearningRate

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
# tracker, so that its identity tells whether the metrics are still the same; `_initial_epoch` is where `fit` begins if
# a callback has set it, and stays for later ones; `_model` is where a callback keeps its model; the file has the epoch
# that a backup brings back; `_value` is the tensor of a variable, to read which costs a tenth of what the variable's
# own `__float__` does; `_version` counts how often a tensor of torch was written; `_learning_rate` of an optimizer is
# its schedule, which is a function of `_iterations`.
_PRIVATE: dict[str, tuple[str, ...]] = {
    "model": ("_loss_tracker", "_initial_epoch"),
    "callback": ("_model",),
    "backup": ("_training_metadata_path",),
    "optimizer": ("_learning_rate", "_iterations"),
    "variable": ("_value",),
    "tensor": ("_version",),
}

_METHODS = ("fit", "evaluate")


class KerasRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with a model of Keras.

    Args:
        optimizers: Several optimizers by name; if left out, the one that the model is compiled with.
        options: The run options.

    Attributes:
        data: The data that `fit` was given.
        max_epochs: Epochs of the whole training, or None.
        ended_early: Whether an epoch of this training had fewer batches than Keras had said, and was not stopped.
        optim_wrapper: The runner itself, because a model may be compiled again.

    Source: META-01 to META-07, COUNT-01 to COUNT-10, SCALAR-02, SCALAR-03.
    """

    framework_name: str = "keras"
    framework_version: str = str(_keras.__version__)

    def __init__(self, optimizers: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]) -> None:
        super().__init__(**options)
        self.data: Any = None
        self.max_epochs: int | None = None
        self.ended_early: bool = False
        self._max_iters: int | None = None
        self.optim_wrapper: HasLearningRates = self
        self._target = Target()
        self._optimizers = optimizers
        self._rates: defaultdict[str, LearningRate] = defaultdict(LearningRate)
        self._held_rates: dict[str, list[Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run, and data may be a generator.
        return {**vars(self), "data": None, "_rates": defaultdict(LearningRate), "_held_rates": None}

    @property
    def model(self) -> Any:
        """The model, which is held weakly; None if there is none."""
        return self._target()

    @model.setter
    def model(self, model: Any) -> None:
        self._target = Target(model)

    @property
    def max_iters(self) -> int | None:
        """Iterations of the whole training, from today's length of an epoch; None if that is unknown, or was wrong."""
        return None if self.emitter.is_longer_than_told else self._max_iters

    def length(self, steps: int | None) -> int | None:
        """Return the batches of the epoch that begins, or None.

        Args:
            steps: The steps of an epoch that Keras tells a callback. They stay what they were when `fit` began: Keras
                cuts off what is more. Data with their own length may be shorter today.
        """
        data = self.data
        if steps is None or data is None:
            return steps
        if isinstance(data, _keras.utils.PyDataset):
            today = data.num_batches
        else:
            today = length_of(data) if hasattr(data, "dataset") else None  # a loader: any other counts samples
        return steps if today is None else min(steps, today)

    def tell_length(self, length: int | None) -> None:
        """Take the length of the epoch that begins."""
        self.emitter.epoch_length = math.inf if length is None else length
        self._max_iters = None if self.ended_early else self.total_iters(self.max_epochs, length)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The data that `fit` was given; data without a dataset are their own dataset.

        Keras tells a callback nothing of the data: without `attach` this is None.
        """
        return with_dataset(self.data)

    def get_lr(self) -> dict[str, list[Any]]:
        """Return the rates as they are now; a schedule is worked out.

        On an accelerator, a rate that was written in this epoch is a tensor of shape ``()`` there.
        """
        if self._held_rates is not None:
            return self._held_rates
        return {name: [self._rates[name].of(optimizer)] for name, optimizer in self._named_optimizers()}

    def hold_rates(self) -> None:
        """Keep the rates as they are, for an iteration that is published once its step is done."""
        self._held_rates = None
        self._held_rates = self.get_lr()

    def release_rates(self) -> None:
        """Return the rates as they are from now on."""
        self._held_rates = None

    def read_rates(self) -> None:
        """Read from the device what the rates follow from, so that no iteration has to."""
        for name, optimizer in self._named_optimizers():
            self._rates[name].read(optimizer)

    def _named_optimizers(self) -> list[tuple[str, Any]]:
        if self._optimizers is not None:
            return [(f"{name}.lr", optimizer) for name, optimizer in self._optimizers.items()]
        optimizer = getattr(self._target.get(), "optimizer", None)
        # A `train_step` of the user's own may have put an optimizer there that is not one of Keras.
        return [("lr", optimizer)] if hasattr(optimizer, "learning_rate") else []


class RuntimeInfoCallback(_Callback):
    """Makes a model publish through this protocol. `attach` does more: see there.

    Alone, give it to `fit` in a list: a callback that is not in one is called by Keras from another thread, some time
    later. It does not know what the callbacks after it do, nor what `fit` was given. So

    - put it after those that set the learning rate as a batch begins, and before those that ask for `iter` then;
    - an exception is noticed only when the next `fit` begins;
    - a training that `BackupAndRestore` brings back is noticed only when its first epoch begins: `iter` is worked out
      from whole epochs, or continues where it was;
    - the length of the data is that at the beginning.

    It overrides `on_train_batch_end` and `on_test_batch_end`: Keras then calls all callbacks of a list in this thread.
    It holds its model weakly, and a copy of it is outside of any run.

    Args:
        optimizers: Several optimizers by name, for a `train_step` that uses them; if left out, the one that the
            model is compiled with.
        standalone_stage: What an `evaluate` outside of `fit` is.
        options: The run options `hub`, `hooks`, `cfg`, `seed` and `experiment_name`.

    Attributes:
        runner: The view of the model that hooks get.

    Raises:
        RunnerError: If `standalone_stage` is neither, or this version of Keras lacks what the adapter relies on.
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-10, FAIL-01 to FAIL-06, RESUME-01, RESUME-02.
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
        _check_keras()
        self.runner: KerasRunner = KerasRunner(optimizers, **options)
        super().__init__()
        self._standalone_stage: Literal["val", "test"] = standalone_stage
        self._evaluation: EvaluationEvents = EVALUATION_EVENTS[standalone_stage]
        self._values = BatchValues()
        self._calls: list[str] = []  # of fit and evaluate, that are under way, outermost first
        self._is_guarded = False  # by `attach`, which ends the run, and begins the iterations
        self._is_deaf = False  # to a fit inside of a fit
        self._hub_in_force = HubInForce()  # if the calls are not guarded
        self._thread = 0  # that of the call
        self._last_model = Target()
        self._is_undecided = False  # whether the fit that has started continues the last one
        self._extra_iters: int | None = None  # if the counters are worked out: in addition to those of whole epochs
        self._begins_training = False
        self._was_loaded = False
        self._epochs: int | None = None  # of the training
        self._steps: int | None = None  # of an epoch, as Keras says when the training begins
        self._length: int | None = None  # of the epoch that is open
        self._waiting_batch: int | None = None  # which has begun, if it exists: see `begin_iteration`

    def __getstate__(self) -> dict[str, Any]:
        outside: dict[str, Any] = dict.fromkeys(("_is_guarded", "_is_deaf", "_is_undecided"), False)
        return {**vars(self), "_values": BatchValues(), "_calls": [], **outside}

    def __deepcopy__(self, memo: dict[int, Any]) -> RuntimeInfoCallback:
        is_attached = self.runner.model is not None
        return copy_callback(self, self.runner, memo, is_attached=is_attached, trainers=(_keras.Model,))

    @property
    def message_hub(self) -> MessageHub:
        """The hub that it publishes to. Each training that does not continue the last one has its own."""
        return self.runner.message_hub

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
        check_target(self.runner.model, _keras.Model, "a model of Keras", _PRIVATE["model"])

    # -- training

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open the training."""
        # An evaluation in a callback has its own parameters, and sets them here.
        params: dict[str, Any] = self.params or {}
        self._epochs, self._steps = params.get("epochs"), params.get("steps")
        if not self._is_guarded:
            _check_steps_per_execution(self.runner.model)
            self._close_unfinished("fit")
            model, emitter = self.runner.model, self.runner.emitter
            epoch = model._initial_epoch or 0
            if not epoch and not self._was_loaded and model is self._last_model():
                # It can start with epoch 0 or continue the last one; the first epoch shows which.
                self._is_undecided = 0 < emitter.epoch < (self._epochs or 0)
            if self._is_undecided:
                return
            self._begin_call("fit", epoch)
        self._begin_training()

    def _begin_training(self) -> None:
        self._thread = threading.get_ident()
        runner, emitter = self.runner, self.runner.emitter
        runner.max_epochs = self._epochs
        runner.ended_early = emitter.is_longer_than_told = False
        if self._extra_iters is not None:
            self._count_from(emitter.epoch, self._extra_iters)
        emitter.epoch_start, emitter.resumed_at = emitter.iter, 0
        self._tell_length()
        self._begins_training = True
        emitter.emit("before_train")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an epoch. The first one tells where the training begins, if that is not known yet."""
        self._decide(epoch)
        emitter = self.runner.emitter
        if self._begins_training and epoch != emitter.epoch:
            self._correct(epoch)
        self._begins_training = self._was_loaded = False
        self._values.forget()
        self.runner.read_rates()
        self._tell_length()
        emitter.emit("before_train_epoch")
        self.runner.claim_workers(self.runner.data)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Publish `iter`, and open an iteration, unless `attach` does so when all callbacks have set the rate."""
        if batch == 0 and self.runner.length(self._steps) != self._length:
            self._tell_length()  # data may change it at the very beginning of an epoch
            self.runner.publish_totals()
        self.runner.publish_iter()
        if not self._is_guarded:
            self.begin_iteration(batch)

    def begin_iteration(self, batch: int) -> None:
        """Open an iteration.

        On JAX and TensorFlow, Keras begins one batch more than data without a length have, in each epoch, and does not
        end it. There the iteration opens when the batch has ended, with the learning rate of its beginning.
        """
        self._values.begin(self.runner.model)
        if self._steps is None and not COUNTS_WRITES:
            self._waiting_batch = batch
            self.runner.hold_rates()
        else:
            self.runner.emitter.emit("before_train_iter", batch_idx=batch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the iteration."""
        if threading.get_ident() != self._thread:
            raise _out_of_turn("fit")
        if self._waiting_batch is not None:
            self.runner.emitter.emit("before_train_iter", batch_idx=self._waiting_batch)
            self._forget_batch()
        # Under JAX, Keras writes the variables when a callback asks for the model.
        model = self.runner.model if COUNTS_WRITES else self.model
        self.runner.emitter.emit("after_train_iter", outputs=self._values.end(model, logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the epoch."""
        runner, emitter = self.runner, self.runner.emitter
        self._forget_batch()
        if emitter.is_open("train_iter"):
            self._take_back_iteration()
        if emitter.iter - emitter.epoch_start < (self._length or 0) and not runner.model.stop_training:
            runner.ended_early = True
        emitter.emit("after_train_epoch")

    def _forget_batch(self) -> None:
        self._waiting_batch = None
        self.runner.release_rates()

    def _take_back_iteration(self) -> None:
        """Close an iteration that has no batch: on JAX and TensorFlow, data had fewer than they had said."""
        emitter, hub = self.runner.emitter, self.runner.message_hub
        emitter.emit("after_train_iter")
        emitter.iter -= 1
        if isinstance(hub, SupportsDropLatest):
            for name in self.runner.get_lr():
                hub.drop_latest(f"train/{name}")

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the training."""
        self._decide(0)  # it had no epoch
        self._values.forget()
        self.runner.emitter.emit("after_train")
        self._was_loaded = False
        self._end_call("fit")

    # -- validation and test

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open a validation or a test."""
        self._decide(0)
        self._thread = threading.get_ident()
        if not self._is_guarded:
            self._close_unfinished("evaluate")
            self._begin_call("evaluate")
        self._evaluation = EVALUATION_EVENTS["val" if "fit" in self._calls else self._standalone_stage]
        self.runner.emitter.emit(self._evaluation.before)
        self.runner.emitter.emit(self._evaluation.before_epoch)

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an iteration of it."""
        self.runner.emitter.emit(self._evaluation.before_iter, batch_idx=batch)

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the iteration."""
        if threading.get_ident() != self._thread:
            raise _out_of_turn("evaluate")
        self.runner.emitter.emit(self._evaluation.after_iter, outputs=logs)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Close it, with its metrics."""
        self.runner.emitter.emit(self._evaluation.after_epoch, metrics=dict(logs or {}))
        self.runner.emitter.emit(self._evaluation.after)
        self._end_call("evaluate")

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, with the state of the hub. Keras does not keep it: save it with the weights.

        Source: RESUME-01, RESUME-02.
        """
        return self.runner.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, at the next ``fit(initial_epoch=callback.runner.epoch, ...)``.

        A hub that an earlier training has published to keeps its histories, unless it is yours.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        if self.runner.emitter.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before model.fit()")
        runner, hub = self.runner, self.runner.message_hub
        runner.renew_hub()
        try:
            runner.load_state_dict(state_dict)
        except BaseException:
            runner.message_hub = hub
            raise
        self._was_loaded = True

    # -- the calls of fit and evaluate

    def guard(self, call: str, model: Any, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `fit` or `evaluate` of a model, as `attach` has it done: with this callback, and inside a run.

        Source: LIFE-15, FAIL-01 to FAIL-03.
        """
        signature = inspect.signature(method)
        bound = None
        with suppress(TypeError):
            bound = signature.bind(*args, **kwargs)
        if bound is None:
            return method(*args, **kwargs)  # raises as it does without us
        if call == "fit" and not self._is_deaf:
            _check_steps_per_execution(model)
        arguments: dict[str, Any] = bound.arguments
        more = _more_keywords(signature)
        if "callbacks" not in signature.parameters and more is not None:
            arguments = bound.arguments.setdefault(more, {})
        given: Any = arguments.get("callbacks")
        is_list = isinstance(given, _keras.callbacks.CallbackList)
        others: list[Any] = list(given.callbacks) if is_list else _keras.tree.flatten(given or [])
        data = bound.arguments.get("x", arguments.get("x"))  # which Keras does not tell a callback
        if is_list and any(each is self for each in others):
            self.runner.claim_workers(data)
            return method(*args, **kwargs)  # the validation of `fit`, which has the callbacks of `fit`
        if self._is_deaf or self._is_inside(call):
            was_deaf, self._is_deaf = self._is_deaf, True
            try:
                return method(*args, **kwargs)
            finally:
                self._is_deaf = was_deaf
        runner = self.runner
        runner.model = model
        if not runner.emitter.is_open("run"):
            runner.data = data
            if call == "fit":
                epoch, done = _restored_by(others) or (model._initial_epoch, None)
                self._begin_run(call, epoch or arguments.get("initial_epoch", 0), done)
            else:
                self._begin_run(call)
        others = [given] if is_list else [each for each in others if each is not self]
        callbacks = [self, *others, *([_IterationBegin(self)] if call == "fit" else [])]
        # Keras takes a list that was made by the user as it is, with the parameters that it has.
        make: Any = _keras.callbacks.CallbackList
        arguments["callbacks"] = make(callbacks, model=model, **(given.params or {})) if is_list else callbacks
        was_guarded, self._is_guarded = self._is_guarded, True
        self._calls.append(call)
        try:
            with runner.running():
                # Keras draws from the data before it calls a callback.
                if call == "fit":
                    runner.message_hub.update_info("epoch", runner.epoch)
                runner.claim_workers(data)
                return method(*bound.args, **bound.kwargs)
        finally:
            self._calls.pop()
            self._is_guarded = was_guarded

    def _is_inside(self, call: str) -> bool:
        """Return whether a call is inside of one that it cannot be a part of: then it is not heard."""
        emitter = self.runner.emitter
        return emitter.is_open("val") or emitter.is_open("test") or (call == "fit" and "fit" in self._calls)

    def _begin_run(self, call: str, epoch: int = 0, done: int | None = None) -> None:
        """Choose the hub and the counters of a run, before it begins.

        A training that starts where the counters are continues the last one. Any other has its own hub.

        Args:
            call: What is called.
            epoch: The epoch that `fit` begins with.
            done: The batches of it that the weights have seen, if a backup is brought back.

        Source: LIFE-10.
        """
        emitter, model = self.runner.emitter, self.runner.model
        is_same, self._last_model = model is self._last_model(), Target(model)
        self._extra_iters = None
        if self._was_loaded or (call == "evaluate" and is_same):
            return
        iteration: int | None = None
        if is_same and epoch == emitter.epoch:
            # After an exception, the weights have seen the batches of the epoch that did not end.
            iteration = emitter.epoch_start + done if done is not None else emitter.iter if epoch else None
        if iteration != emitter.iter:
            self.runner.renew_hub()
        emitter.epoch, emitter.iter = epoch, iteration or 0
        if iteration is None:
            self._extra_iters = done or 0  # the length of an epoch is not known yet

    def _begin_call(self, call: str, epoch: int = 0) -> None:
        """Frame a call that is not guarded: a run, or a part of one."""
        if not self._calls:
            self._begin_run(call, epoch)
            self._hub_in_force.enter(self.message_hub)
            self.runner.data = None
            self.runner.emitter.emit("before_run")
        self._calls.append(call)

    def _end_call(self, call: str) -> None:
        if self._is_guarded:
            return
        if call in self._calls:
            del self._calls[self._calls.index(call) :]  # with a validation inside that an exception has left
        if not self._calls:
            self.runner.emitter.emit("after_run")
            self._hub_in_force.leave()

    def _close_unfinished(self, call: str) -> None:
        """Close what an exception has left open in a call that is not guarded: Keras said nothing."""
        if "evaluate" in self._calls:
            self._calls.remove("evaluate")  # evaluations do not nest
            if self._calls and call == "evaluate":  # a validation: its training continues, and may have closed it
                scopes = self.runner.emitter.lifecycle.open_scopes
                if "val" in scopes:
                    self.runner.emitter.abort(RuntimeError("the last evaluate() did not finish"), scopes.index("val"))
                return
        elif call == "evaluate" or not self._calls:
            return
        self._calls.clear()
        self.runner.emitter.abort(RuntimeError(f"the last {call}() did not finish"))

    def _decide(self, epoch: int) -> None:
        """Begin the call whose first epoch was not known yet."""
        if self._is_undecided:
            self._is_undecided = False
            self._begin_call("fit", epoch)
            self._begin_training()

    def _tell_length(self) -> None:
        self._length = self.runner.length(self._steps)
        self.runner.tell_length(self._length)

    def _correct(self, epoch: int) -> None:
        """Follow Keras, which begins with another epoch than was known."""
        emitter = self.runner.emitter
        if self._was_loaded:
            warnings.warn(
                f"fit() begins with epoch {epoch}, but {emitter.epoch} epochs are completed in the state that was "
                f"loaded: call fit(initial_epoch={emitter.epoch}) to go on [RESUME-02]",
                ResumeWarning,
                stacklevel=2,
            )
            emitter.epoch = epoch
        else:
            self._count_from(epoch, 0)
        emitter.epoch_start = emitter.iter

    def _count_from(self, epoch: int, more: int) -> None:
        """Work out the counters of a training that begins with an epoch."""
        emitter = self.runner.emitter
        if epoch and self._steps is None:
            warnings.warn(
                f"fit() begins with epoch {epoch}, and data without a length do not tell how many iterations are "
                "completed: iter begins with 0. Load what state_dict() of the callback returned [RESUME-02]",
                ResumeWarning,
                stacklevel=2,
            )
        emitter.epoch, emitter.iter = epoch, epoch * (self._steps or 0) + more


def _restored_by(callbacks: list[Any]) -> tuple[int, int] | None:
    """Return the epoch that a `BackupAndRestore` brings back, and the batches of it that the weights have seen.

    None if there is none, or it has saved nothing that can be read: the first epoch tells then.
    """
    restored: tuple[int, int] | None = None
    for each in callbacks:
        if isinstance(each, _keras.callbacks.BackupAndRestore):
            backup: Any = each
            with (
                suppress(OSError, ValueError, KeyError),
                Path(backup._training_metadata_path).open(encoding="utf-8") as file,
            ):
                saved = json.load(file)
                restored = saved["epoch"], 0 if backup.save_freq == "epoch" else saved["batch"] + 1
    return restored


def _out_of_turn(call: str) -> RunnerError:
    return RunnerError(
        f"Keras calls the callbacks of this {call}() from another thread, some time later, because they are not in a "
        f"list: call {call}(callbacks=[callback]), or attach(model)",
        requirement="LIFE-01",
    )


def _check_steps_per_execution(model: Any) -> None:
    """Raise if Keras runs several batches between two calls of its callbacks."""
    steps = getattr(model, "steps_per_execution", 1)
    if steps != 1:
        raise RunnerError(
            f"the model is compiled with steps_per_execution={steps}: Keras tells of {steps} batches at once, even "
            "where fewer are left, and of their mean loss, so that iter and the loss of each batch cannot be "
            "published. Compile it with steps_per_execution=1, or detach(model) to train without publishing",
            requirement="COUNT-10",
        )


def _more_keywords(signature: inspect.Signature) -> str | None:
    """Return the name of the parameter that takes any other keywords; None if there is none."""
    return next((each.name for each in signature.parameters.values() if each.kind is each.VAR_KEYWORD), None)


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
        options: The run options `hub`, `hooks`, `cfg`, `seed` and `experiment_name`. Without `hub`, a training that
            does not continue the last one gets a new hub. A hub that you give is yours: every training is appended to
            what it holds.

    Returns:
        The callback. There is no need to hand it to `fit`.

    Raises:
        RunnerError: If it is not a model, its `fit` or `evaluate` takes no callbacks, `standalone_stage` is not a stage
            of an evaluation, or this version of Keras lacks what the adapter relies on.
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: LIFE-01, LIFE-15, FAIL-01 to FAIL-06.
    """
    check_target(model, _keras.Model, "a model of Keras", _PRIVATE["model"])
    for name in _METHODS:
        _check_method(model, name)
    callback = RuntimeInfoCallback(optimizers=optimizers, standalone_stage=standalone_stage, **options)
    detach(model)
    callback.runner.model = model
    for name in _METHODS:
        setattr(model, name, _MethodOfModel(model, name, functools.partial(callback.guard, name)))
    return callback


def _check_method(model: Any, name: str) -> None:
    """Raise if a method cannot be given the callback: it would train, and publish nothing."""
    try:
        signature = inspect.signature(getattr(model, name))
    except ValueError:  # a function that tells nothing of its arguments
        signature = inspect.Signature()
    # What a class defines over Keras's own method hands other keywords on. What an object has in front of it may do
    # anything with them.
    takes_any = name not in vars(model) and _more_keywords(signature) is not None
    if "callbacks" not in signature.parameters and not takes_any:
        given = ", ".join(str(each.replace(annotation=each.empty)) for each in signature.parameters.values())
        raise RunnerError(
            f"{type(model).__name__}.{name}({given}) takes no callbacks, so that the model would publish nothing: "
            "give it a parameter `callbacks`, or decorate what wraps it with functools.wraps, or attach first and wrap "
            "then",
            requirement="LIFE-01",
        )


def _check_keras() -> None:
    """Raise if this version of Keras lacks what the adapter relies on."""
    callbacks, variable = _keras.callbacks, _keras.Variable(0.0, name="probe")
    check_target(callbacks.Callback(), callbacks.Callback, "a callback", _PRIVATE["callback"])
    check_target(callbacks.BackupAndRestore("probe"), callbacks.Callback, "a callback", _PRIVATE["backup"])
    optimizers = _keras.optimizers
    check_target(optimizers.SGD(), optimizers.Optimizer, "an optimizer", _PRIVATE["optimizer"])
    check_target(variable, _keras.Variable, "a variable", _PRIVATE["variable"])
    if COUNTS_WRITES:
        check_target(variable._value, object, "a tensor", _PRIVATE["tensor"])


def detach(model: Any) -> None:
    """Take back what `attach` did to a model: it is as it was before. Does nothing to a model that is not attached."""
    for name in _METHODS:
        for wrapped in tuple(wrapped_methods(model, name)):
            if isinstance(wrapped.adapter, RuntimeInfoCallback):
                wrapped.remove()
