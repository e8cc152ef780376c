"""The adapter for Lightning: a callback, and `attach` for a trainer that was built already.

    trainer = Trainer(max_epochs=3)
    attach(trainer, seed=0, experiment_name="digits")
    trainer.fit(model, train_loader, val_loader)

Or, in Lightning's own way, ``Trainer(callbacks=[RuntimeInfoCallback()])``. The only difference: Lightning turns
Ctrl-C into SystemExit(1), where no callback can prevent it. From a trainer that was attached, the KeyboardInterrupt
comes out as it was.

How Lightning's loops are published:

- Each of `fit`, `validate`, `test` and `predict` is a run. The sanity check is not a validation.
- Lightning validates before it ends the epoch: that validation stands inside the epoch.
- A batch that is refused by returning -1 from ``on_train_batch_start`` has begun by then. It counts as an
  iteration, without outputs.
- Over several validation loaders Lightning makes one epoch. Here each one has its own, and its metrics lose
  Lightning's ``/dataloader_idx_0``.
- A value that ``self.log`` does not take (a confusion matrix, a text) is a metric too, if it was put into
  ``trainer.callback_metrics`` by the end of the validation.
"""

# ruff: noqa: ARG002
# The signatures are Lightning's.

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from runtimeinfo import MessageHub, RunnerError
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    Emitter,
    EvaluationEvents,
    LearningRates,
    TrainDataLoader,
    detached,
    with_dataset,
)
from runtimeinfo_adapters._adapter import (
    Displaced,
    FrameworkRunner,
    HubInForce,
    RunOptions,
    Target,
    check_target,
    displace,
    put_back,
    remove_wrappers,
    wrap_method,
    wrapped_methods,
)
from runtimeinfo_adapters._framework import load_framework

__all__ = ["LightningRunner", "RuntimeInfoCallback", "attach", "detach"]

_lightning = load_framework("lightning")

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    Callback = _lightning.Callback

_ENTRIES = ("fit", "validate", "test", "predict")
# Members of a trainer's fit_loop, which Lightning does not document.
_PRIVATE = ("setup_data", "epoch_progress", "epoch_loop", "is_resuming", "restarted_mid_epoch")

# Lightning gives them to each callback: methods of the module, which hold the model and the trainer.
_OF_THE_MODULE = ("log", "log_dict")

_VAL = EVALUATION_EVENTS["val"]
_TEST = EVALUATION_EVENTS["test"]


class LightningRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with a Lightning trainer.

    Args:
        optimizer_names: Names of the optimizers, in their order.
        options: The run options. What they leave out is taken from the trainer: see `RuntimeInfoCallback`.

    Source: META-01 to META-04, COUNT-01 to COUNT-10.
    """

    framework_name: str = "lightning"
    framework_version: str = str(_lightning.__version__)

    def __init__(self, *, optimizer_names: Iterable[str] = (), **options: Unpack[RunOptions]) -> None:
        super().__init__(**options)
        self._trainer = Target()
        self._optimizer_names = tuple(optimizer_names)
        self._optimizers: list[Any] = []
        self._rates = LearningRates(None)

    def __getstate__(self) -> dict[str, Any]:
        # To copy the optimizers would copy the model.
        return {**vars(self), "_optimizers": [], "_rates": LearningRates(None)}

    @property
    def trainer(self) -> Any:
        """The trainer, once it runs."""
        return self._trainer()

    def connect(self, trainer: Any) -> None:
        """Go over to a trainer. The counters of another one than before begin where that one is."""
        if trainer is not self.trainer:
            check_target(trainer.fit_loop, object, "a Trainer", members=_PRIVATE)
            self._trainer = Target(trainer)
            self.emitter.epoch = trainer.fit_loop.epoch_progress.current.processed
            self.emitter.iter = trainer.fit_loop.epoch_loop.batch_progress.total.processed
        self.read_metadata()

    def read_metadata(self) -> None:
        """Take from the trainer what the options have left out."""
        trainer = self.trainer
        parts = (trainer.datamodule, trainer.lightning_module)
        saved = [part.hparams for part in parts if part is not None]
        seed = os.environ.get("PL_GLOBAL_SEED", "")  # where seed_everything leaves it
        name = None if trainer.logger is None else trainer.logger.name
        self.identify(
            cfg={name: value for hparams in saved for name, value in hparams.items()},
            seed=int(seed) if seed.lstrip("-").isdecimal() else None,
            experiment_name=None if name is None else str(name),
        )

    def release(self) -> None:
        """Let go of the optimizers: the run has ended."""
        self._optimizers, self._rates = [], LearningRates(None)

    @property
    def max_epochs(self) -> int | None:
        """Epochs of the training; None if there is no bound."""
        bound = self.trainer.max_epochs
        return None if bound is None or bound < 0 else cast("int", bound)

    @property
    def max_iters(self) -> int | None:
        """Iterations of the training; None if there is no bound, or it cannot be known."""
        batches = self._batches
        by_epochs = None if self.max_epochs is None or batches is None else self.max_epochs * batches
        if self.trainer.max_steps < 0:
            return by_epochs
        by_steps = self._iterations_of(self.trainer.max_steps)
        # Either bound may be the first one to be reached: while one is unknown, so is the first.
        if by_steps is None or (by_epochs is None and self.max_epochs is not None):
            return None
        return by_steps if by_epochs is None else min(by_steps, by_epochs)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader; of several the first one that has a dataset."""
        loaders: Any = self.trainer.train_dataloader
        several: list[Any] = [loaders]
        if isinstance(loaders, Mapping):
            several += cast("Mapping[Any, Any]", loaders).values()
        elif isinstance(loaders, list | tuple):
            several += cast("list[Any]", loaders)
        return with_dataset(next((each for each in several if hasattr(each, "dataset")), several[0]))

    @property
    def optim_wrapper(self) -> LearningRates:
        """The learning rates."""
        optimizers: list[Any] = self._trainer.get().optimizers
        if optimizers != self._optimizers:  # a trainer may get others in the middle of a training
            self._optimizers = list(optimizers)
            # Without configure_optimizers Lightning has a mock, which has no groups.
            with_groups = [optimizer for optimizer in optimizers if optimizer.param_groups]
            self._rates = LearningRates.of_list(with_groups, self._optimizer_names)
        return self._rates

    @property
    def _batches(self) -> int | None:
        """Batches an epoch, as far as they are known: a loader without a length has inf."""
        batches = self.trainer.num_training_batches
        return None if math.isinf(batches) else int(batches)

    def _iterations_of(self, steps: int) -> int | None:
        """Return how many batches make that many optimizer steps, if that can be known."""
        # By name: the package pytorch_lightning has its own class.
        kinds = [kind.__name__ for callback in self.trainer.callbacks for kind in type(callback).__mro__]
        if not self.trainer.lightning_module.automatic_optimization or "GradientAccumulationScheduler" in kinds:
            return None  # a module that steps by hand may do so at any time
        each: int = self.trainer.accumulate_grad_batches
        batches = self._batches
        if batches is None:
            return steps if each == 1 else None
        if batches == 0:
            return 0
        # Lightning steps with the last batch of an epoch, too.
        epochs, rest = divmod(steps, math.ceil(batches / each))
        return epochs * batches + rest * each


class RuntimeInfoCallback(Callback):
    """Publishes where a Lightning trainer is.

    Put it first among the callbacks: those after it find the hub up to date. Its hub is what
    `runtimeinfo.current_hub` returns while the trainer runs. The hub and the counters go into each checkpoint of the
    trainer, and come back with ``fit(ckpt_path=...)``. One callback serves any number of trainers, one after the other.
    A copy is outside of any run.

    Args:
        optimizer_names: Names of the optimizers, in the order of ``configure_optimizers``. If left out, several
            are named after their class.
        options: The run options: hub, hooks, cfg, seed and experiment_name. The hooks run in this callback's place, by
            their priority among themselves. If left out, the configuration is the hyperparameters that the module and
            the data module have saved with ``save_hyperparameters``, the seed is that of ``seed_everything``, and the
            name is that of the first logger.

    Attributes:
        runner: What the hooks get as their runner.

    Raises:
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-15, FAIL-01 to FAIL-06, RESUME-01 to RESUME-03.
    """

    def __init__(self, *, optimizer_names: Iterable[str] = (), **options: Unpack[RunOptions]) -> None:
        self.runner: LightningRunner = LightningRunner(optimizer_names=optimizer_names, **options)
        self._emitter: Emitter = self.runner.emitter
        self._hub = HubInForce()
        self._metrics: dict[str, Any] = {}  # of the trainer, as they were before the open validation or test
        self._loader = 0  # whose epoch of a validation or test is open
        self._has_several_loaders = False
        self._has_trained = False
        self._has_state = False  # of a checkpoint
        self._was_interrupted = False  # by the last exception that Lightning has reported
        self._attached_to = Target()  # not so for a copy that is made without the trainer
        self._displaced: Displaced = []

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _OF_THE_MODULE}

    @property
    def message_hub(self) -> MessageHub:
        """The hub."""
        return self.runner.message_hub

    # -- the trainer

    def attach_to(self, trainer: Any) -> None:
        """Take the first place among a trainer's callbacks, and wrap its methods: see `attach`."""
        self._attached_to = Target(trainer)
        self._displaced = displace(trainer.callbacks, lambda each: isinstance(each, RuntimeInfoCallback))
        trainer.callbacks.insert(0, self)
        for name in _ENTRIES:
            wrap_method(trainer, name, self._guard)

    def detach_from(self, trainer: Any) -> None:
        """Leave a trainer to the callbacks that it had, and end the run that is under way: see `detach`."""
        displaced, self._displaced = self._displaced, []
        self._attached_to = Target()
        put_back(trainer, "callbacks", self, displaced, is_running=self._emitter.is_open("run"))
        try:
            self._emitter.emit("after_run")
        finally:
            self._leave(trainer)

    def is_attached_to(self, trainer: Any) -> bool:
        """Tell whether `attach` has put this callback among those of a trainer."""
        return self._attached_to() is trainer

    # -- the run: each call of fit, validate, test or predict

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Begin the run."""
        self.runner.connect(trainer)
        self._has_trained = self._has_state = False
        self._hub.enter(self.message_hub)
        self._emitter.emit("before_run")
        if stage == "fit":
            remove_wrappers(trainer.fit_loop, ("setup_data",), self)
            wrap_method(trainer.fit_loop, "setup_data", self._before_workers)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """End the run."""
        if stage == "fit" and not self._has_trained and trainer.num_training_batches == 0:
            self._publish_empty_training()
        self._emitter.emit("after_run")
        self._leave(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the run abnormally. Lightning closes nothing of what it has opened."""
        self._was_interrupted = isinstance(exception, KeyboardInterrupt)
        self._abort(trainer, exception)

    def _abort(self, trainer: Any, exception: BaseException) -> None:
        try:
            self._emitter.abort(exception)
        finally:
            self._leave(trainer)

    def _leave(self, trainer: Any) -> None:
        self._hub.leave()
        remove_wrappers(trainer.fit_loop, ("setup_data",), self)
        self._metrics = {}
        self.runner.release()
        for name in _OF_THE_MODULE:
            vars(self).pop(name, None)

    def _guard(self, trainer: Any, entry: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call an entry of the trainer, so that the exception that was raised inside comes out of it."""
        self._was_interrupted = False
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        try:
            return entry(*args, **kwargs)
        except BaseException as error:
            # If the user has turned an interrupt into an exit, Lightning reports the exit, and it stays one.
            is_replaced = self._was_interrupted and isinstance(error, SystemExit)
            interrupt = error.__context__ if is_replaced else None
            # Nothing is open any more, unless this callback has not heard: one before it has failed at this very error.
            self._abort(trainer, interrupt or error)
            if interrupt is None:
                raise
        # Outside of the handler: this is the interrupt itself, and not one that SystemExit has led to.
        if threading.current_thread() is threading.main_thread() and on_ctrl_c is not None:
            signal.signal(signal.SIGINT, on_ctrl_c)
        raise interrupt

    def _publish_empty_training(self) -> None:
        """Publish a training without a batch: Lightning returns from it before its first event.

        Source: LIFE-04.
        """
        self._emitter.emit("before_train")
        for _ in range(self.runner.epoch, self.runner.max_epochs or 0):
            self._emitter.emit("before_train_epoch")
            self._emitter.emit("after_train_epoch")
        self._emitter.emit("after_train")

    # -- training

    def _before_workers(self, loop: Any, setup_data: Callable[[], None]) -> None:
        """Publish the counters before a fit loop makes its iterator.

        Its workers begin at once, and only then does Lightning announce the training.

        Source: SHARE-02.
        """
        # A search for a learning rate or a batch size trains inside of the fit, with other callbacks.
        if self in self.runner.trainer.callbacks:
            self._take_counters(loop)
            self.message_hub.update_info_dict({"epoch": self.runner.epoch, "iter": self.runner.iter})
        setup_data()

    def _take_counters(self, loop: Any) -> None:
        self._emitter.epoch = loop.epoch_progress.current.processed
        if loop.is_resuming and not self._has_state:  # the checkpoint of a trainer that had no such callback
            self._emitter.iter = loop.epoch_loop.batch_progress.total.processed

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the training, maybe in the middle of an epoch: Lightning then has no event for its start."""
        self._has_trained = True
        remove_wrappers(trainer.fit_loop, ("setup_data",), self)
        self._take_counters(trainer.fit_loop)
        self.runner.read_metadata()
        self._emitter.emit("before_train")
        if trainer.fit_loop.restarted_mid_epoch:
            self._emitter.emit("before_train_epoch")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the training."""
        self._emitter.emit("after_train")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin an epoch."""
        self._emitter.emit("before_train_epoch")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End an epoch."""
        self._emitter.emit("after_train_epoch")

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Begin an iteration."""
        self._emitter.emit("before_train_iter", batch_idx=batch_idx, data_batch=batch)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End an iteration."""
        if batch is None and not self._emitter.is_open("train_iter"):
            # Lightning passes over the start of a batch that is None.
            self._emitter.emit("before_train_iter", batch_idx=batch_idx)
        divisor = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        self._emitter.emit("after_train_iter", outputs=_outputs(outputs, divisor))

    # -- validation and test

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a validation."""
        self._begin(_VAL, trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """End a validation: only by now does Lightning have all its metrics."""
        if not trainer.sanity_checking:
            self._end(_VAL, trainer, trainer.num_val_batches)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int | None = None
    ) -> None:
        """Begin an iteration of a validation."""
        self._begin_iteration(_VAL, trainer, batch, batch_idx, dataloader_idx)

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int | None = None
    ) -> None:
        """End an iteration of a validation."""
        if not trainer.sanity_checking:
            self._emitter.emit("after_val_iter", outputs=_evaluated(outputs))

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a test."""
        self._begin(_TEST, trainer)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """End a test."""
        self._end(_TEST, trainer, trainer.num_test_batches)

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int | None = None
    ) -> None:
        """Begin an iteration of a test."""
        self._begin_iteration(_TEST, trainer, batch, batch_idx, dataloader_idx)

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int | None = None
    ) -> None:
        """End an iteration of a test."""
        self._emitter.emit("after_test_iter", outputs=_evaluated(outputs))

    def _begin(self, events: EvaluationEvents, trainer: Any) -> None:
        if trainer.sanity_checking:
            return
        self._loader, self._has_several_loaders = 0, False
        self._metrics = dict(trainer.callback_metrics)
        self._emitter.emit(events.before)
        self._emitter.emit(events.before_epoch)

    def _begin_iteration(
        self, events: EvaluationEvents, trainer: Any, batch: Any, batch_idx: int, dataloader_idx: int | None
    ) -> None:
        if trainer.sanity_checking:
            return
        if dataloader_idx is not None:  # which it is if there is one loader, or all are drawn from at once
            self._has_several_loaders = True
            while self._loader < dataloader_idx:
                self._end_epoch(events, trainer)
                self._loader += 1
                self._emitter.emit(events.before_epoch)
        self._emitter.emit(events.before_iter, batch_idx=batch_idx, data_batch=batch)

    def _end(self, events: EvaluationEvents, trainer: Any, batches: list[Any]) -> None:
        self._end_epoch(events, trainer)
        if self._has_several_loaders:  # those at the end may have no batch
            for _ in range(self._loader + 1, len(batches)):
                self._emitter.emit(events.before_epoch)
                self._emitter.emit(events.after_epoch, metrics={})
        self._emitter.emit(events.after)

    def _end_epoch(self, events: EvaluationEvents, trainer: Any) -> None:
        before, self._metrics = self._metrics, dict(trainer.callback_metrics)
        self._emitter.emit(events.after_epoch, metrics=_new_metrics(self._metrics, before, self._loader))

    # -- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included."""
        return self.runner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state.

        Only to fit: `test` with the best checkpoint must not forget what the training has published.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.

        Source: RESUME-01, RESUME-02.
        """
        trainer = self.runner.trainer
        if trainer is not None and trainer.state.fn != "fit":
            return
        self.runner.load_state_dict(state_dict)
        self._has_state = True


def attach(trainer: Any, *, optimizer_names: Iterable[str] = (), **options: Unpack[RunOptions]) -> RuntimeInfoCallback:
    """Make a trainer that was built already publish through this protocol.

    The callback becomes its first one; another one of this class is taken out. Its `fit`, `validate`, `test` and
    `predict` are wrapped: Lightning turns a KeyboardInterrupt into SystemExit(1), and after one that came before
    the training it ignores every further Ctrl-C. Here the KeyboardInterrupt comes out as it was, and Ctrl-C goes on to
    work. `detach` takes all of it back.

    Args:
        trainer: A Lightning trainer.
        optimizer_names: As for `RuntimeInfoCallback`.
        options: The run options, as for `RuntimeInfoCallback`.

    Returns:
        The callback.

    Raises:
        RunnerError: If it is not a trainer: it lacks one of these methods, or the callbacks.
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: LIFE-01, FAIL-01.
    """
    lacking = [name for name in _ENTRIES if not callable(getattr(trainer, name, None))]
    if lacking or not isinstance(getattr(trainer, "callbacks", None), list):
        missing = f"{lacking[0]}()" if lacking else "list of callbacks"
        raise RunnerError(f"{type(trainer).__name__} has no {missing}, which Lightning's Trainer has: pass a Trainer")
    check_target(getattr(trainer, "fit_loop", None), object, "a Trainer", members=_PRIVATE)
    callback = RuntimeInfoCallback(optimizer_names=optimizer_names, **options)
    detach(trainer)
    callback.attach_to(trainer)
    return callback


def detach(trainer: Any) -> None:
    """Take back what `attach` has done to a trainer; do nothing if it is not attached.

    The callbacks that `attach` has taken out come back to their places. A run that is under way ends for the hooks.

    Args:
        trainer: The trainer.
    """
    adapters = [method.adapter for name in _ENTRIES for method in wrapped_methods(trainer, name)]
    for callback in (*adapters, *trainer.callbacks):
        # A wrapper of other code may hide those of a callback; an unpickled callback does not know its trainer.
        if isinstance(callback, RuntimeInfoCallback) and (callback in adapters or callback.is_attached_to(trainer)):
            remove_wrappers(trainer, _ENTRIES, callback)
            callback.detach_from(trainer)


def _new_metrics(metrics: Mapping[str, Any], before: Mapping[str, Any], loader: int) -> dict[str, Any]:
    """Return what is new in ``trainer.callback_metrics``, without the suffix that Lightning adds for a loader.

    It mixes the metrics of the training and of earlier validations with those of this one. But each time that
    Lightning computes a metric it makes a new tensor: the same object as before is an old value.

    Example:
        >>> old, new = [0.5], [0.5]
        >>> metrics = {"acc": new, "train_loss": old, "f1/dataloader_idx_1": new}
        >>> _new_metrics(metrics, {"acc": old, "train_loss": old}, loader=1)
        {'acc': [0.5], 'f1': [0.5]}

    Source: SCALAR-06 to SCALAR-09.
    """
    new = [name for name, value in metrics.items() if name not in before or before[name] is not value]
    return {name.removesuffix(f"/dataloader_idx_{loader}"): metrics[name] for name in new}


def _outputs(outputs: Any, divisor: int) -> dict[str, Any] | None:
    """Return what a training step has returned: without a graph, and the loss as it was before it was divided."""
    # Once an iteration, and nearly always a dict: a look at an abstract class takes longer than all of this.
    kind: type[Any] = outputs.__class__
    if kind is not dict and not issubclass(kind, Mapping):
        outputs = {"loss": outputs}
    values: dict[str, Any] = {}
    for name, value in outputs.items():
        values[name] = detached(value)
    if "loss" in values:
        if values["loss"] is None:  # this step was to be skipped
            del values["loss"]
        elif divisor != 1:
            values["loss"] = values["loss"] * divisor
    return values or None


def _evaluated(outputs: Any) -> Any:
    if isinstance(outputs, Mapping):
        return {name: detached(value) for name, value in cast("Mapping[str, Any]", outputs).items()}
    return detached(outputs)
