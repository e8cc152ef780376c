"""The adapter for Lightning: a callback, and `attach` for a trainer that was built already.

    trainer = Trainer(max_epochs=3)
    attach(trainer, seed=0, experiment_name="digits")
    trainer.fit(model, train_loader, val_loader)

Or, in Lightning's own way, ``Trainer(callbacks=[RuntimeInfoCallback()])``. The difference: from a trainer that was
attached every scope closes even if another callback fails at ``on_exception``.

How Lightning's loops are published:

- Each of `fit`, `validate`, `test` and `predict` is a run. The sanity check is not a validation, and what a search for
  a learning rate or a batch size trains is not a training.
- `epoch` and `iter` are Lightning's ``current_epoch`` and the batches that it has processed, also after a resume.
- Lightning validates before it ends the epoch: that validation stands inside the epoch.
- A batch that is refused by returning -1 from ``on_train_batch_start`` has begun by then. It counts as an
  iteration, without outputs.
- Over several validation loaders Lightning makes one epoch. Here each one has its own, and its metrics lose
  Lightning's ``/dataloader_idx_0``.
- A value that ``self.log`` does not take (a confusion matrix, a text) is a metric too, if it was put into
  ``trainer.callback_metrics`` by the end of the validation.
- The outputs of an iteration are what ``training_step`` returns, and what it gives to ``self.log``: the value of this
  batch on this rank, also with ``on_step=False``. Of a metric object it is what its ``forward`` has returned; one that
  is only updated has no value of a batch. Under the same name, what is returned counts.
- ``iter`` counts up before a batch is moved to its device, and the learning rate is read after every
  ``on_train_batch_start``, that of the module included: a rate that is set there is the one of this iteration.
- A step that takes ``dataloader_iter`` draws its batches itself: ``data_batch`` is None.
- Ctrl-C ends as it does without this callback: Lightning turns the KeyboardInterrupt into SystemExit(1). Hooks hear of
  the KeyboardInterrupt.
"""

# ruff: noqa: ARG002
# The signatures are Lightning's.

from __future__ import annotations

import functools
import importlib
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

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
    Around,
    Displaced,
    FrameworkRunner,
    HubInForce,
    RunOptions,
    Target,
    check_target,
    displace,
    put_back,
    remove_wrappers,
    stop_iteration_of_hook,
    wrap_method,
    wrapped_methods,
)
from runtimeinfo_adapters._copied_callback import copy_callback
from runtimeinfo_adapters._framework import load_framework
from runtimeinfo_adapters._wrong_target import full_name, remedy

__all__ = ["LightningRunner", "RuntimeInfoCallback", "attach", "detach"]


def _load() -> Any:
    """Return `pytorch_lightning` if only that is loaded, otherwise `lightning`, so that a program loads one of them."""
    if "pytorch_lightning" not in sys.modules or "lightning.pytorch" in sys.modules:
        return load_framework("lightning")
    return load_framework("lightning", module="pytorch_lightning", distribution="pytorch-lightning")


_lightning = _load()

if TYPE_CHECKING:
    import torch
    from lightning.pytorch import Callback
else:
    torch = importlib.import_module("torch")
    Callback = _lightning.Callback
_signatures: Any = importlib.import_module(f"{_lightning.__name__}.utilities.signature_utils")

_ENTRIES = ("fit", "validate", "test", "predict")
# Members that Lightning does not document, by the path from a trainer to what has them. The first of a path are those
# that lead to the next ones.
_PRIVATE = {
    "fit_loop": ("epoch_loop", "epoch_progress", "restarting", "setup_data"),
    "fit_loop.epoch_loop": ("_results", "advance", "batch_progress", "restarted_on_train_batch_end", "restarting"),
    "fit_loop.epoch_loop._results": ("update_metrics",),
    "fit_loop.epoch_loop.batch_progress": ("current", "is_last_batch", "total"),
    "fit_loop.epoch_loop.batch_progress.current": ("completed",),
    "fit_loop.epoch_loop.batch_progress.total": ("completed", "processed", "ready", "started"),
    "fit_loop.epoch_progress": ("current",),
    "fit_loop.epoch_progress.current": ("completed", "processed"),
}

# Lightning gives them to each callback: methods of the module, which hold the model and the trainer.
_OF_THE_MODULE = ("log", "log_dict")

# The method in which a value is logged is the first part of the key under which Lightning keeps it.
_TRAINING_STEP = "training_step"

_VAL = EVALUATION_EVENTS["val"]
_TEST = EVALUATION_EVENTS["test"]


class _Emitter(Emitter):
    """Counts the batches that Lightning has processed: one that its loader did not have is begun, and is none.

    Lightning takes a StopIteration for the end of the data: one of a hook comes out as a RuntimeError.
    """

    def emit(self, event: Any, **given: Any) -> None:
        try:
            super().emit(event, **given)
        except StopIteration as error:
            raise stop_iteration_of_hook() from error

    def count(self, event: str) -> None:
        if event == "after_train_iter":
            runner: Any = self._runner
            self.iter = runner.processed
        else:
            super().count(event)


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
        self._goes_on = False  # with the counters of the trainer's last fit
        self._steps = 0  # of the optimizer, before this epoch
        self._epochs_ahead = 0  # that Lightning's bound counts, and current_epoch does not

    def _make_emitter(self, hooks: Iterable[object]) -> Emitter:
        return _Emitter(self, hooks)

    def __getstate__(self) -> dict[str, Any]:
        # To copy the optimizers would copy the model.
        return {**vars(self), "_optimizers": [], "_rates": LearningRates(None)}

    @property
    def trainer(self) -> Any:
        """The trainer, once it runs."""
        return self._trainer()

    @property
    def processed(self) -> int:
        """The batches that Lightning has trained on, in all fits of the trainer."""
        batches: int = self._trainer.get().fit_loop.epoch_loop.batch_progress.total.processed
        return batches

    def connect(self, trainer: Any, *, trains: bool) -> None:
        """Go over to a trainer for a run: to a new hub, unless the run continues the hub's training.

        Source: LIFE-10.
        """
        _check_private_members(trainer)
        before = self.trainer
        counted = (self.emitter.epoch, self.emitter.iter)
        self._trainer = Target(trainer)
        counters = (trainer.current_epoch, self.processed)
        # Unpickled together with its trainer, a callback does not know it, but has its counters.
        is_other = before is not trainer and not (before is None and counters == counted)
        if is_other or trains:
            self.emitter.epoch, self.emitter.iter = counters
        self._goes_on = trains and any(counters) and not is_other
        if is_other or (trains and not self._goes_on):
            self.renew_hub()
        self.read_metadata()

    def begin_resume(self) -> bool:
        """Go over to a new hub, if a trainer that was to continue loads a checkpoint instead; return whether it did."""
        if not self._goes_on:
            return False
        self._goes_on = False
        self.renew_hub()
        return True

    def take_counters_ahead(self) -> None:
        """Take the counters with which the training will begin, from what Lightning has of a checkpoint by now.

        It is asked before Lightning brings its own up to date.
        """
        loop = self.trainer.fit_loop
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress
        completed = epochs.processed if self.trainer.max_steps == -1 else epochs.completed
        total = batches.total
        was_last = (
            loop.restarting
            and batches.is_last_batch
            and total.ready == total.started == total.processed == total.completed + 1
        )
        self.emitter.epoch, self.emitter.iter = completed + was_last, self.processed

    def take_counters(self) -> None:
        """Take the counters with which a training begins, ends, or begins an epoch."""
        emitter, trainer = self.emitter, self.trainer
        emitter.epoch, emitter.iter = trainer.current_epoch, self.processed

    def begin_training(self) -> None:
        """Take the counters with which a training begins, maybe in the middle of an epoch."""
        self.take_counters()
        emitter, trainer = self.emitter, self.trainer
        loop, epochs = trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_progress.current
        done = loop.batch_progress.current.completed + loop.restarted_on_train_batch_end if loop.restarting else 0
        # Lightning begins with the next epoch, if the last batch of one was the end.
        is_over = loop.restarted_on_train_batch_end and done >= trainer.num_training_batches
        emitter.resumed_at = 0 if is_over else done
        self._epochs_ahead = epochs.processed - epochs.completed
        self.take_steps()

    def begin_epoch(self) -> None:
        """Take what is known of the epoch that begins."""
        self.take_counters()
        self.emitter.epoch_length = self.trainer.num_training_batches
        self.take_steps()

    def take_steps(self) -> None:
        """Take the optimizer steps before this epoch, from which the bound of the iterations is reckoned."""
        trainer, done = self.trainer, self.emitter.resumed_at
        each: int = trainer.accumulate_grad_batches
        in_epoch = done // each if done < trainer.num_training_batches else math.ceil(done / each)
        self._steps = trainer.global_step - in_epoch

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
        batches, bound = self._batches, self.max_epochs
        by_epochs = self.total_iters(None if bound is None else bound - self._epochs_ahead, batches)
        if self.trainer.max_steps < 0:
            return by_epochs
        left = self._iterations_of(max(self.trainer.max_steps - self._steps, 0), batches)
        # Either bound may be the first one to be reached: while one is unknown, so is the first.
        if left is None or (by_epochs is None and bound is not None):
            return None
        by_steps = self.emitter.epoch_start + left
        return by_steps if by_epochs is None else min(by_steps, by_epochs)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader; of several the first one that has a dataset."""
        loaders: Any = self.trainer.train_dataloader
        several = [loaders, *_loaders(loaders)]
        return with_dataset(next((each for each in several if hasattr(each, "dataset")), loaders))

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
        return None if math.isinf(batches) or self.emitter.is_longer_than_told else int(batches)

    def _iterations_of(self, steps: int, batches: int | None) -> int | None:
        """Return how many batches make that many optimizer steps, if that can be known."""
        # By name: the package pytorch_lightning has its own class.
        kinds = [kind.__name__ for callback in self.trainer.callbacks for kind in type(callback).__mro__]
        if not self.trainer.lightning_module.automatic_optimization or "GradientAccumulationScheduler" in kinds:
            return None  # a module that steps by hand may do so at any time
        each: int = self.trainer.accumulate_grad_batches
        if batches is None:
            return steps if each == 1 else None
        if batches == 0:
            return 0
        # Lightning steps with the last batch of an epoch, too.
        epochs, rest = divmod(steps, math.ceil(batches / each))
        return epochs * batches + rest * each


class RuntimeInfoCallback(Callback):
    """Publishes where a Lightning trainer is.

    Put it first among the callbacks: those after it find the hub up to date. While the trainer
    runs, `runtimeinfo.current_hub` answers with its hub. The hub and the counters go into each checkpoint of the
    trainer, and come back with ``fit(ckpt_path=...)``. One callback serves any number of trainers, one after the other:
    unless you give a hub, each training that begins from its start has a new one. A second `fit` of a trainer goes on
    with its counters, and so with its hub; a test after a training publishes into the hub of that training. A copy is
    outside of any run.

    Args:
        optimizer_names: Names of the optimizers, in the order of ``configure_optimizers``. If left out, several
            are named after their class.
        options: The run options: hub, hooks, cfg, seed and experiment_name. The hooks run in this callback's place, by
            their priority among themselves. If left out, the configuration is the hyperparameters that the module and
            the data module have saved with ``save_hyperparameters``, the seed is that of ``seed_everything``, and the
            name is the first logger's.

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
        self._draws_by_itself = False  # the training step: it takes dataloader_iter
        self._logged: dict[str, Any] = {}  # by the training step of the open iteration
        self._hears_batch = False  # that Lightning trains on: a search trains inside of a fit, with other callbacks
        self._attached_to = Target()  # not so for a copy that is made without the trainer
        self._displaced: Displaced = []

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _OF_THE_MODULE}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        is_attached = self._attached_to() is not None
        return copy_callback(self, self.runner, memo, is_attached=is_attached, trainers=_trainers())

    @property
    def message_hub(self) -> MessageHub:
        """The hub of the latest run, or of the next one."""
        return self.runner.message_hub

    # -- the trainer

    def attach_to(self, trainer: Any) -> None:
        """Take the first place among a trainer's callbacks, and wrap its methods: see `attach`."""
        self._attached_to = Target(trainer)
        if trainer.state.status == "running":  # and may be going through the list: nothing in it must move
            trainer.callbacks = list(trainer.callbacks)
        self._displaced = displace(trainer.callbacks, lambda each: isinstance(each, RuntimeInfoCallback))
        trainer.callbacks.insert(0, self)
        for name in _ENTRIES:
            wrap_method(trainer, name, self._guard)

    def detach_from(self, trainer: Any) -> None:
        """Leave a trainer to the callbacks that it had, and end the run that is under way: see `detach`."""
        displaced, self._displaced = self._displaced, []
        self._attached_to = Target()
        put_back(trainer, "callbacks", self, displaced, is_running=self._emitter.is_open("run"))
        self._finish(trainer)

    def is_attached_to(self, trainer: Any) -> bool:
        """Return whether `attach` has put this callback among those of a trainer."""
        return self._attached_to() is trainer

    # -- the run: each call of fit, validate, test or predict

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Begin the run."""
        self.runner.connect(trainer, trains=stage == "fit")
        self._has_trained = False
        self._hub.enter(self.message_hub)
        self._emitter.emit("before_run")
        self._remove_wrappers(trainer)
        for owner, name, around in self._wrappers(trainer, trains=stage == "fit"):
            wrap_method(owner, name, around)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """End the run."""
        if stage == "fit" and not self._has_trained and self._emitter.is_open("run"):
            if trainer.num_training_batches == 0:
                self._publish_empty_training()
            else:  # there was nothing left to do
                self.runner.take_counters()
        self._finish(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the run abnormally. Lightning closes nothing of what it has opened."""
        self._abort(trainer, exception)

    def _finish(self, trainer: Any) -> None:
        try:
            self._emitter.emit("after_run")
        finally:
            self._leave(trainer)

    def _abort(self, trainer: Any, exception: BaseException) -> None:
        if not self._hub.is_in_force:  # the run has not begun, or has ended
            return
        try:
            self._emitter.abort(exception)
        finally:
            self._leave(trainer)

    def _leave(self, trainer: Any) -> None:
        self._hub.leave()
        self._remove_wrappers(trainer)
        self._metrics, self._logged = {}, {}
        self._hears_batch = False
        self.runner.release()
        for name in _OF_THE_MODULE:
            vars(self).pop(name, None)

    def _guard(self, trainer: Any, entry: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call an entry of the trainer, so that no scope stays open."""
        try:
            return entry(*args, **kwargs)
        except BaseException as error:
            # Nothing is open any more, unless this callback has not heard: one before it has failed at this very error.
            self._abort(trainer, error)
            raise

    # -- what no callback hears of: methods that are wrapped for the time of a run

    def _wrappers(self, trainer: Any, *, trains: bool = True) -> Iterable[tuple[Any, str, Around]]:
        loop, strategy = trainer.fit_loop, trainer.strategy
        yield strategy, "process_dataloader", self._claim_loader
        if trains:
            yield loop, "setup_data", self._before_workers
            yield loop.epoch_loop, "advance", self._before_batch
            yield loop.epoch_loop._results, "update_metrics", self._take_logged
            yield strategy, "on_train_batch_start", self._begin_train_iteration
            yield strategy, "teardown", self._end_unheard

    def _remove_wrappers(self, trainer: Any) -> None:
        for owner, name, _ in self._wrappers(trainer):
            remove_wrappers(owner, (name,), self)

    def _is_asleep(self) -> bool:
        """Return whether other callbacks stand in for the trainer's own: a search trains inside of the fit."""
        trainer = self.runner.trainer
        return trainer is None or self not in trainer.callbacks

    def _claim_loader(self, strategy: Any, process: Callable[[Any], Any], loader: Any) -> Any:
        """Take over the workers of a loader, which Lightning is about to iterate over for the first time.

        Source: SCOPE-05.
        """
        self.runner.claim_workers(loader)
        return process(loader)

    def _before_workers(self, loop: Any, setup_data: Callable[[], None]) -> None:
        """Publish the counters before a fit loop makes its first iterator.

        Its workers begin at once, and only then does Lightning announce the training.

        Source: SHARE-02.
        """
        if not self._is_asleep() and not self._emitter.is_open("train"):
            self.runner.take_counters_ahead()
            self.message_hub.update_info_dict({"epoch": self.runner.epoch, "iter": self.runner.iter})
        setup_data()

    def _before_batch(self, loop: Any, advance: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Publish the iteration before anything of its batch is done, so that no handler sees the one before.

        Source: COUNT-01.
        """
        was_heard, emitter = self._hears_batch, self._emitter
        self._hears_batch = self in loop.trainer.callbacks and emitter.is_open("train")
        if self._hears_batch:
            if not emitter.is_open("train_epoch"):  # Lightning does not announce one that it resumes in its middle
                self._begin_epoch()
            self.runner.publish_iter()
        try:
            advance(*args, **kwargs)
        except StopIteration as error:
            # A batch that was refused with -1 ends in this way, too, but counts as processed.
            if self._hears_batch and self.runner.processed == emitter.iter:
                self._give_up("train_iter", error)
            raise
        finally:
            self._hears_batch = was_heard

    def _give_up(self, scope: str, error: StopIteration) -> None:
        """Abort a scope that a StopIteration has left, if it is open: Lightning takes that for the end of the data.

        Source: FAIL-04, SCALAR-02.
        """
        if self._emitter.is_open(scope):
            self._emitter.abort(error, keep=self._emitter.lifecycle.open_scopes.index(scope))

    def _begin_train_iteration(
        self, strategy: Any, original: Callable[..., Any], batch: Any, batch_idx: int, *args: Any, **kwargs: Any
    ) -> Any:
        """Begin an iteration, after every callback and the module have heard of the batch.

        Source: SCALAR-03, LIFE-09.
        """
        result = original(batch, batch_idx, *args, **kwargs)
        if self._hears_batch:
            self._logged = {}
            self._emitter.emit("before_train_iter", data_batch=None if self._draws_by_itself else batch)
        return result

    def _take_logged(
        self, results: Any, update_metrics: Callable[..., None], key: str, value: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Take what a training step gives to ``self.log``.

        Source: SCALAR-04.
        """
        update_metrics(key, value, *args, **kwargs)
        function, _, name = key.partition(".")
        if function == _TRAINING_STEP:
            of_batch = value if isinstance(value, torch.Tensor) else value._forward_cache
            if of_batch is not None:  # of a metric that is only updated
                self._logged[name] = detached(of_batch)

    def _end_unheard(self, strategy: Any, teardown: Callable[[], None]) -> None:
        """End a run of which this callback will hear no more: it is not among the trainer's callbacks any longer."""
        teardown()
        trainer, error = self.runner.trainer, sys.exception()
        if self._is_asleep():
            if trainer.interrupted and error is not None:
                self._abort(trainer, error)
            else:
                self._finish(trainer)

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

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the training, maybe in the middle of an epoch."""
        if not self._emitter.is_open("run"):  # this callback was added in the middle of the fit
            return
        self._has_trained = True
        step = pl_module.training_step
        self._draws_by_itself = _signatures.is_param_in_hook_signature(step, "dataloader_iter", explicit=True)
        self.runner.begin_training()
        self.runner.read_metadata()
        self._emitter.emit("before_train")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the training."""
        if self._emitter.is_open("train"):
            self._give_up("train_epoch", StopIteration())
            self.runner.take_counters()  # Lightning has counted up to its bound
            self._emitter.emit("after_train")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin an epoch."""
        if self._emitter.is_open("train"):
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        if not self._emitter.is_open("train_epoch"):
            self.runner.begin_epoch()
            self._emitter.emit("before_train_epoch")
            trainer = self.runner.trainer
            self.runner.claim_workers(*_loaders(trainer.train_dataloader), *_loaders(trainer.val_dataloaders))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End an epoch."""
        if self._emitter.is_open("train"):
            self._begin_epoch()
            self._emitter.emit("after_train_epoch")
            self.runner.take_steps()
            self.runner.publish_totals()  # it may have been shorter than its loader had said

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End an iteration."""
        if not self._emitter.is_open("train_iter"):
            if batch is not None or not self._emitter.is_open("train"):
                return
            self._emitter.emit("before_train_iter")  # Lightning passes over the start of a batch that is None
        divisor = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        values = _outputs(outputs, divisor)
        if self._logged:
            values, self._logged = {**self._logged, **(values or {})}, {}
        self._emitter.emit("after_train_iter", outputs=values)

    # -- validation and test

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a validation."""
        self._begin(_VAL, trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """End a validation: only by now does Lightning have all its metrics."""
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
        if trainer.sanity_checking or not self._emitter.is_open("run"):
            return
        self._loader, self._has_several_loaders = 0, False
        self._metrics = dict(trainer.callback_metrics)
        self._emitter.emit(events.before)
        self._emitter.emit(events.before_epoch)

    def _begin_iteration(
        self, events: EvaluationEvents, trainer: Any, batch: Any, batch_idx: int, dataloader_idx: int | None
    ) -> None:
        if not self._emitter.is_open(events.before[len("before_") :]):
            return
        if dataloader_idx is not None:  # which it is if there is one loader, or all are drawn from at once
            self._has_several_loaders = True
            while self._loader < dataloader_idx:
                self._end_epoch(events, trainer)
                self._loader += 1
                self._emitter.emit(events.before_epoch)
        self._emitter.emit(events.before_iter, batch_idx=batch_idx, data_batch=batch)

    def _end(self, events: EvaluationEvents, trainer: Any, batches: list[Any]) -> None:
        if not self._emitter.is_open(events.before[len("before_") :]):
            return
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

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Go over to a new hub, if a trainer that has trained takes up a checkpoint: this is another training."""
        if self._takes_up_states(trainer) and self.runner.begin_resume() and self._hub.is_in_force:
            self._hub.enter(self.message_hub)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state.

        Only to fit: `test` with the best checkpoint must not forget what the training has published. Nor must a search
        for a learning rate in the middle of a training, which saves the trainer before it and restores it after it.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.

        Source: RESUME-01, RESUME-02.
        """
        if self._takes_up_states(self.runner.trainer):
            self.runner.load_state_dict(state_dict)

    def _takes_up_states(self, trainer: Any) -> bool:
        return trainer is None or (trainer.state.fn == "fit" and not self._emitter.is_open("train"))


def attach(trainer: Any, *, optimizer_names: Iterable[str] = (), **options: Unpack[RunOptions]) -> RuntimeInfoCallback:
    """Make a trainer that was built already publish through this protocol.

    The callback becomes its first one; any other of this class is removed. Its `fit`, `validate`, `test` and
    `predict` are wrapped, so that every scope closes even if another callback fails at ``on_exception``. What comes out
    of them is what comes out without this: after Ctrl-C, Lightning's SystemExit(1). `detach` takes all of it back.

    Unless you give a hub, each training that begins from its start has a new one, which is ``callback.message_hub``
    from then on; a second fit that continues with the first one's counters keeps it. A hub that you give is yours, and
    every run is appended to what it holds. In the middle of a fit the callback waits for the next call of an entry.

    Args:
        trainer: A Lightning trainer.
        optimizer_names: As for `RuntimeInfoCallback`.
        options: The run options, as for `RuntimeInfoCallback`.

    Returns:
        The callback.

    Raises:
        RunnerError: If it is not a trainer: it lacks one of these methods, the callbacks, or a private member that is
            relied on.
        TypeError: If a keyword is not a run option.
        HookError: If a hook cannot be registered.

    Source: LIFE-01, FAIL-01.
    """
    lacking = [name for name in _ENTRIES if not callable(getattr(trainer, name, None))]
    if lacking or not isinstance(getattr(trainer, "callbacks", None), list):
        missing = f"{lacking[0]}()" if lacking else "list of callbacks"
        raise RunnerError(
            f"{full_name(trainer)} has no {missing}, which Lightning's Trainer has: {remedy(trainer, _trainers())}"
        )
    _check_private_members(trainer)
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


def _trainers() -> tuple[type, ...]:
    """Return the classes of trainers: each of the packages has its own, if it is there."""
    modules: list[Any] = [sys.modules.get(name) for name in ("lightning.pytorch", "pytorch_lightning")]
    return tuple(module.Trainer for module in modules if hasattr(module, "Trainer"))


def _check_private_members(trainer: Any) -> None:
    """Check that a trainer has the private members that this adapter relies on.

    Raises:
        RunnerError: If a member is missing, or a value that is logged comes under another key than expected.
    """
    for path, members in _PRIVATE.items():
        check_target(functools.reduce(getattr, path.split("."), trainer), object, "a Trainer", members=members)
    _check_results(type(trainer.fit_loop.epoch_loop._results))


_checked: set[Any] = set()


def _check_results(kind: Any) -> None:
    """Log a value, to see what becomes of it: there is nothing to look at before a module logs one."""
    if kind in _checked:
        return
    results = kind(training=True)
    expected, found = f"{_TRAINING_STEP}.loss", list[str]()

    def update_metrics(key: str, *_: Any) -> None:
        found.append(key)

    results.update_metrics = update_metrics
    results.log(_TRAINING_STEP, "loss", torch.zeros(()))
    if found != [expected]:
        raise RunnerError(
            f"{type(results).__name__} keeps the 'loss' of a {_TRAINING_STEP} under {found}, not under {expected!r}, "
            "which this adapter relies on: use a version of the framework that the adapter was tried with"
        )
    check_target(results[expected], object, "a Trainer", members=("_forward_cache",))
    _checked.add(kind)


def _loaders(loaders: Any) -> list[Any]:
    """Return each loader of those that Lightning draws from at once, or one after the other."""
    if isinstance(loaders, Mapping):
        loaders = list(cast("Mapping[Any, Any]", loaders).values())
    return cast("list[Any]", loaders) if isinstance(loaders, list | tuple) else [loaders]


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
