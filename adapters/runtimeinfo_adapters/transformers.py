"""The adapter for Transformers: a callback of its Trainer, and wrappers around the methods that no callback hears of.

    from runtimeinfo_adapters.transformers import attach

    trainer = Trainer(model, args, train_dataset=..., eval_dataset=...)
    attach(trainer)
    trainer.train()

Where the Trainer is built out of reach, use the callback alone: ``callbacks=[RuntimeInfoCallback()]``. Then there is no
loss, a validation is seen only when it is over, and an exception does not close a scope.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from runtimeinfo import MessageHub, RunnerError
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    LearningRates,
    TrainDataLoader,
    check_training_state,
    detached,
    is_scalar,
    length_of,
    load_hub,
    training_state,
    with_dataset,
)
from runtimeinfo_adapters._adapter import (
    Displaced,
    FrameworkRunner,
    HubInForce,
    RunOptions,
    Target,
    adapter_around,
    check_target,
    displace,
    put_back,
    remove_wrappers,
    wrap_method,
)
from runtimeinfo_adapters._framework import import_of_extra, load_framework

__all__ = ["RuntimeInfoCallback", "TransformersRunner", "attach", "detach"]

transformers: Any = load_framework("transformers")
torch: Any = import_of_extra("torch", distribution="torch", extra="transformers", used_by="this adapter")

_Module = torch.nn.Module
_TRAINING_STEP = transformers.Trainer.training_step
_Method = Callable[..., Any]
_Stage = Literal["val", "test"]

# Members that Transformers and PyTorch do not document, checked by `attach`: of a Trainer, of a Trainer from its first
# optimizer step on (how many batches that is made for), and of a module.
_PRIVATE = ("callback_handler", "_inner_training_loop")
_PRIVATE_IN_TRAINING = "current_gradient_accumulation_steps"
_PRIVATE_OF_MODULES = ("_forward_hooks",)

# The file that goes into each checkpoint of a Trainer, beside its own, with the fields of a saved Loop. A Trainer keeps
# the state of its callbacks as JSON, rewritten with the whole history each time, and reads it only if an argument says
# so.
_FILE_NAME = "runtimeinfo.pt"

# How fast this machine was is not a metric of the model, and the same training would never publish the same twice.
_SPEEDS = frozenset(
    {
        "runtime",
        "samples_per_second",
        "steps_per_second",
        "tokens_per_second",
        "model_preparation_time",
        "jit_compilation_time",
    }
)

_logger = logging.getLogger("runtimeinfo")


class TransformersRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with what a Trainer tells its callbacks.

    Args:
        options: The run options. Without `cfg`, `seed` or `experiment_name`, the Trainer's arguments have them.

    Attributes:
        batches_done: How many batches of this epoch are completed.

    Raises:
        HookError: If a hook cannot be registered.

    Source: META-04, COUNT-01 to COUNT-10.
    """

    framework_name: str = "transformers"
    framework_version: str = str(transformers.__version__)

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        super().__init__(**options)
        self.max_epochs: int | None = None
        self.max_iters: int | None = None
        self.batches_done: int = 0
        self.optim_wrapper: LearningRates = LearningRates(None)
        self.train_dataloader: TrainDataLoader = with_dataset(None)

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any training: the model and the data are not copied with it.
        return {**vars(self), "optim_wrapper": LearningRates(None), "train_dataloader": with_dataset(None)}

    def begin(self, args: Any, state: Any, loader: Any, optimizer: Any) -> None:
        """Take a training that begins, or goes on, from what the Trainer tells at its beginning."""
        self.optim_wrapper = LearningRates(optimizer)
        self.train_dataloader = with_dataset(loader)
        counters = self.emitter  # the Trainer's own count optimizer steps, and fractions of epochs
        accumulation = args.gradient_accumulation_steps
        length = length_of(loader)
        # Asked for a number of steps, the Trainer makes up one of epochs: sys.maxsize where the data has no length.
        self.max_epochs = state.num_train_epochs if args.max_steps <= 0 else None
        if length is None:
            # At the end of the data, wherever that is, an optimizer step may be made for fewer batches.
            self.max_iters = state.max_steps if accumulation == 1 else None
            counters.epoch, self.batches_done = 0, state.global_step * accumulation
            counters.iter = self.batches_done
        else:
            steps_an_epoch = max(-(-length // accumulation), 1)
            self.max_iters = _batches(state.max_steps, steps_an_epoch, length, accumulation)
            counters.iter = _batches(state.global_step, steps_an_epoch, length, accumulation)
            counters.epoch, steps = divmod(state.global_step, steps_an_epoch)
            self.batches_done = steps * accumulation
        if args.ignore_data_skip:
            self.batches_done = 0

    def end(self) -> None:
        """Let go of the optimizer and the data: the model's memory is free as soon as the Trainer is."""
        self.optim_wrapper = LearningRates(None)
        self.train_dataloader = with_dataset(None)


def _batches(steps: int, steps_an_epoch: int, length: int, accumulation: int) -> int:
    """Return how many batches so many optimizer steps are made for; the last one of an epoch may have fewer."""
    epochs, rest = divmod(steps, steps_an_epoch)
    return epochs * length + rest * accumulation


class _NamedOutputs:
    """Notes what a model returns by name, and None for what holds more than a value: hidden states, and the graph.

    Predictions are left out: even a single one is not a value of the training.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, module: object, inputs: object, returned: object) -> None:  # noqa: ARG002
        if isinstance(returned, (dict, Mapping)):
            for name, value in cast("Mapping[Any, Any]", returned).items():
                if isinstance(name, str) and name != "logits":
                    is_value = is_scalar(value) or isinstance(value, str | complex)
                    self.values[name] = detached(value) if is_value else None

    def __reduce__(self) -> tuple[type[_NamedOutputs], tuple[()]]:
        return _NamedOutputs, ()  # a copy of the model, made by its own forward for example, has nothing to note


if TYPE_CHECKING:  # its types are many, and hardly any of them is needed here
    _Callback = object
else:
    _Callback = transformers.TrainerCallback


class RuntimeInfoCallback(_Callback):
    """Publishes where a Trainer is.

    By itself it hears what any callback does: epochs, iterations and their learning rates, checkpoints, and the
    metrics of a validation, all of whose events come when it is over. It hears of no loss, no validation batch and no
    exception: after one, scopes stay open until this callback hears of the next training. `attach` gives it all of
    these.

    Args:
        options: The run options: `hub` (where to publish; a new `runtimeinfo_adapters.MessageHub` if left out), `hooks`
            (more hooks; `RuntimeInfoHook` runs in any case), `cfg`, `seed` and `experiment_name`, which the
            Trainer's arguments have if left out: all of them, `seed` and `run_name`.

    Attributes:
        runner: What the hooks get as their runner.

    Raises:
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-09, COUNT-01 to COUNT-10.
    """

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        self.runner: TransformersRunner = TransformersRunner(**options)
        self._emitter = self.runner.emitter
        self._trainer = Target()  # the one that it is attached to
        self._displaced: Displaced = []
        self._is_detached = False
        self._is_muted = False  # inside an evaluation that is part of another one
        self._resume_from: Path | None = None
        self._has_own_step = False  # a training_step that need not call compute_loss
        self._computes_loss = True  # this step has called compute_loss
        self._noted = _NamedOutputs()
        self._outputs: dict[str, Any] | None = None  # of the iteration that is open
        self._in_force = HubInForce()  # unless a wrapper sees to that

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run.
        return {**vars(self), "_is_muted": False, "_resume_from": None, "_noted": _NamedOutputs(), "_outputs": None}

    @property
    def message_hub(self) -> MessageHub:
        """Where it publishes."""
        return self.runner.message_hub

    @property
    def is_attached(self) -> bool:
        """Whether it belongs to a Trainer whose methods are wrapped."""
        return self._trainer() is not None

    def _identify(self, args: Any) -> None:
        self.runner.identify(cfg=args.to_dict(), seed=args.seed, experiment_name=args.run_name)

    # -- training, as callbacks hear of it

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open the training."""
        emitter = self._emitter
        if self.is_attached:
            emitter.emit("after_train")  # one that was given up, for smaller batches
        else:
            emitter.emit("after_run")  # one that an exception has left
            self._in_force.enter(self.message_hub)
        self._identify(args)
        saved = None if self._resume_from is None else _read(self._resume_from)
        self.runner.begin(args, state, kwargs.get("train_dataloader"), kwargs.get("optimizer"))
        if not emitter.is_open("run"):
            emitter.emit("before_run")
        if saved is not None:
            emitter.emit("after_load_checkpoint", checkpoint=saved)
            # Not the epoch, nor the batch of the epoch: where the Trainer goes on it reckons from its number of steps.
            # To a checkpoint after the last step of an epoch that is the next epoch.
            load_hub(self.message_hub, saved)
            emitter.iter = saved["iter"]
        emitter.emit("before_train")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the training."""
        self._emitter.emit("after_train")
        if not self.is_attached:
            self._emitter.emit("after_run")
            self._in_force.leave()
            self.runner.end()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open an epoch."""
        self._emitter.emit("before_train_epoch")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the epoch."""
        self._emitter.emit("after_train_epoch")
        self.runner.batches_done = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open an iteration: of several batches to one optimizer step, only the first one is heard of here."""
        if self._trainer() is None:
            self._begin_iteration()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open the last iteration of several to one optimizer step, while the learning rate is still its own."""
        if self._trainer() is None and not self._emitter.is_open("train_iter"):
            self._begin_iteration()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close an iteration."""
        if not self._emitter.is_open("train_iter"):
            if self.is_attached:  # a training step of the user's, outside of any training
                return
            self._begin_iteration()
        outputs, self._outputs = self._outputs, None
        self._emitter.emit("after_train_iter", outputs=outputs)
        self.runner.batches_done += 1

    on_substep_end = on_step_end  # one without an optimizer step

    def _begin_iteration(self, data_batch: Any = None) -> None:
        self._outputs = None
        self._emitter.emit("before_train_iter", batch_idx=self.runner.batches_done, data_batch=data_batch)

    # -- evaluation, as callbacks hear of it

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the epoch of a validation with its metrics; several data sets are several epochs."""
        self._end_evaluation("val", _own_metrics(kwargs.get("metrics") or {}, "eval"), args)

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the epoch of a test with its metrics."""
        self._end_evaluation("test", _own_metrics(metrics or {}, "test"), args)

    def _end_evaluation(self, stage: _Stage, metrics: Mapping[str, Any], args: Any) -> None:
        if self._is_muted:
            return
        emitter, events = self._emitter, EVALUATION_EVENTS[stage]
        if self.is_attached:
            emitter.emit(events.after_epoch, metrics=metrics)
            return
        is_whole_run = not emitter.is_open("run")
        if is_whole_run:
            self._identify(args)
            emitter.emit("before_run")
        emitter.emit(events.before)
        emitter.emit(events.before_epoch)
        emitter.emit(events.after_epoch, metrics=metrics)
        emitter.emit(events.after)
        if is_whole_run:
            emitter.emit("after_run")

    # -- checkpoints

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Put the state beside the Trainer's own in the checkpoint that it has just written.

        One of a hyperparameter search lies elsewhere, and gets none.
        """
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if args.should_save and folder.is_dir():
            runner = self.runner
            checkpoint = training_state(
                runner.message_hub, epoch=runner.epoch, iter=runner.iter, batches=runner.batches_done, outputs={}
            )
            self._emitter.emit("before_save_checkpoint", checkpoint=checkpoint)
            torch.save(checkpoint, folder / _FILE_NAME)

    # -- the methods of a Trainer, which are wrapped

    @contextmanager
    def _running(self, trainer: Any) -> Generator[None]:
        self._trainer = Target(trainer)  # a copy and an unpickled one learn here whose they are
        if not self._emitter.is_open("run"):
            self._identify(trainer.args)
        with self.runner.running():
            yield

    def _around_train(self, trainer: Any, method: _Method, *args: Any, **kwargs: Any) -> Any:
        if self._is_detached:
            return method(*args, **kwargs)
        checkpoint = args[0] if args else kwargs.get("resume_from_checkpoint")
        if checkpoint is True:
            checkpoint = transformers.trainer_utils.get_last_checkpoint(trainer.args.output_dir)
        self._resume_from = Path(checkpoint) if checkpoint else None
        try:
            with self._running(trainer):
                return method(*args, **kwargs)
        finally:
            self.runner.end()

    def _around_attempt(self, _trainer: Any, method: _Method, *args: Any, **kwargs: Any) -> Any:
        """Let the Trainer train: with `auto_find_batch_size` it does so again after it has run out of memory."""
        with self._emitter.guard():
            return method(*args, **kwargs)

    def _around_training_step(
        self, trainer: Any, method: _Method, model: Any, inputs: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if not self._emitter.is_open("train_epoch"):  # called by hand
            return method(model, inputs, *args, **kwargs)
        self._begin_iteration(inputs)
        self._computes_loss = not self._has_own_step
        outputs: dict[str, Any] = {}
        self._noted.values = outputs
        # Around the outermost module, and for this call only: neither a compiled model nor a copy of it has a hook
        # inside. `register_forward_hook`, and the removal, would take 40 times as long.
        hooks: dict[str, Any] = model._forward_hooks if isinstance(model, _Module) else {}
        hooks[__name__] = self._noted
        try:
            loss = method(model, inputs, *args, **kwargs)
        finally:
            hooks.pop(__name__, None)
        # A step that makes no use of compute_loss may call its loss as it likes.
        if self._computes_loss or "loss" not in outputs:
            # Each batch is trained on with its share of the loss of all batches that make one optimizer step,
            # whether they share alike or by their numbers of items.
            batches = trainer.current_gradient_accumulation_steps
            outputs["loss"] = detached(loss) if batches == 1 else detached(loss) * batches
        self._outputs = {name: value for name, value in outputs.items() if value is not None}
        return loss

    def _around_compute_loss(self, _trainer: Any, method: _Method, *args: Any, **kwargs: Any) -> Any:
        self._computes_loss = True
        return method(*args, **kwargs)

    def _around_evaluation(self, stage: _Stage, trainer: Any, method: _Method, *args: Any, **kwargs: Any) -> Any:
        outer = self._evaluation()
        if self._is_detached or outer == stage:  # one of several data sets
            return method(*args, **kwargs)
        if outer is not None:  # as a part of how the outer one is made
            self._is_muted, was_muted = True, self._is_muted
            try:
                return method(*args, **kwargs)
            finally:
                self._is_muted = was_muted
        with self._running(trainer), self._emitter.scope(stage):
            return method(*args, **kwargs)

    def _around_evaluation_loop(self, _trainer: Any, method: _Method, *args: Any, **kwargs: Any) -> Any:
        stage = self._evaluation()
        if stage is not None and not self._is_muted:
            self._emitter.emit(EVALUATION_EVENTS[stage].before_epoch)
        return method(*args, **kwargs)

    def _around_prediction_step(
        self, _trainer: Any, method: _Method, model: Any, inputs: Any, *args: Any, **kwargs: Any
    ) -> Any:
        stage = self._evaluation()
        if stage is None or self._is_muted:
            return method(model, inputs, *args, **kwargs)
        events = EVALUATION_EVENTS[stage]
        self._emitter.emit(events.before_iter, data_batch=inputs)
        outputs = method(model, inputs, *args, **kwargs)
        self._emitter.emit(events.after_iter, outputs=outputs)
        return outputs

    def _evaluation(self) -> _Stage | None:
        stage = self._emitter.stage
        return cast("_Stage", stage) if stage in EVALUATION_EVENTS else None

    def _methods(self) -> dict[str, _Method]:
        """Return what stands around each method of a Trainer."""
        methods: dict[str, _Method] = {
            "train": self._around_train,
            "_inner_training_loop": self._around_attempt,
            "training_step": self._around_training_step,
            "evaluate": partial(self._around_evaluation, "val"),
            "predict": partial(self._around_evaluation, "test"),
            "evaluation_loop": self._around_evaluation_loop,
            "prediction_step": self._around_prediction_step,
        }
        return methods | {"compute_loss": self._around_compute_loss} if self._has_own_step else methods

    def attach_to(self, trainer: Any) -> None:
        """Wrap the methods of a Trainer, and become the first of its callbacks."""
        registered: list[Any] = trainer.callback_handler.callbacks
        self._displaced = displace(registered, lambda each: isinstance(each, RuntimeInfoCallback))
        registered.insert(0, self)
        self._trainer = Target(trainer)
        self._has_own_step = getattr(trainer.training_step, "__func__", None) is not _TRAINING_STEP
        for name, around in self._methods().items():
            wrap_method(trainer, name, around)

    def detach_from(self, trainer: Any) -> None:
        """Make the Trainer as it was."""
        remove_wrappers(trainer, self._methods(), self)
        self._is_detached = True  # a wrapper that is out of sight passes its calls on
        self._trainer = Target()
        is_running = self._emitter.is_open("run")
        put_back(trainer.callback_handler, "callbacks", self, self._displaced, is_running=is_running)
        self._displaced = []


def attach(trainer: Any, **options: Unpack[RunOptions]) -> RuntimeInfoCallback:
    """Make a Trainer that was built already publish through this protocol.

    A `RuntimeInfoCallback` is registered before all other callbacks, so that they find its information in the hub; one
    that the Trainer already has is taken out. The methods of this one trainer that train and evaluate are wrapped:
    `train`, `evaluate`, `predict`, `evaluation_loop`, `prediction_step`, `training_step`, and `compute_loss` where a
    subclass has its own `training_step`.

    Each call of `train` is its own run, which counts from 0 unless it resumes, and appends to the histories of the
    same hub. So is a lone `evaluate`, which validates, and `predict`, which tests.

    Published of an iteration are ``loss``, not divided by the accumulation, and every other scalar that the model
    returns by name.

    A Trainer can be copied and pickled while it is attached: the copy publishes to its own copy of the hub.

    Args:
        trainer: The Trainer, or one of a subclass.
        options: The run options `hub`, `hooks`, `cfg`, `seed` and `experiment_name`, as for `RuntimeInfoCallback`.

    Returns:
        The callback, registered.

    Raises:
        RunnerError: If it is not a Trainer, or of a version that lacks what this adapter relies on.
        HookError: As for `RuntimeInfoCallback`.

    Source: LIFE-01 to LIFE-09, LIFE-15, FAIL-01 to FAIL-06.
    """
    check_target(trainer, transformers.Trainer, "a transformers.Trainer", _PRIVATE)
    check_target(_Module(), _Module, "a module", _PRIVATE_OF_MODULES)
    if not _mentions(cast("type[Any]", type(trainer)), _PRIVATE_IN_TRAINING):
        raise RunnerError(
            f"{type(trainer).__name__} never sets {_PRIVATE_IN_TRAINING}, by which this adapter makes the loss whole: "
            "use a version of the framework that the adapter was tried with"
        )
    callback = RuntimeInfoCallback(**options)
    detach(trainer)
    callback.attach_to(trainer)
    return callback


def detach(trainer: Any) -> None:
    """Make a Trainer as it was before `attach`: its methods and its callbacks. Nothing happens if it is not attached.

    Where another wrapper holds on to a wrapped method, that passes its calls on.

    Args:
        trainer: The Trainer.
    """
    registered: list[Any] = getattr(getattr(trainer, "callback_handler", None), "callbacks", [])
    found = (each for each in registered if isinstance(each, RuntimeInfoCallback) and each.is_attached)
    callback = next(found, None) or adapter_around(trainer, "train")  # an unpickled one knows its Trainer from a run on
    if isinstance(callback, RuntimeInfoCallback):
        callback.detach_from(trainer)


def _mentions(kind: type, name: str) -> bool:
    """Tell whether a method of a class reads or sets an attribute of this name."""
    functions = (member for each in kind.__mro__ for member in vars(each).values() if isinstance(member, FunctionType))
    return any(name in function.__code__.co_names for function in functions)


def _read(folder: Path) -> dict[str, Any] | None:
    """Return the checked state in a checkpoint; None if it was saved without this adapter."""
    path = folder / _FILE_NAME
    if not path.exists():
        _logger.info("%s has no %s: the counters go on, and the histories begin empty", folder, _FILE_NAME)
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    check_training_state(state, ("batches",))
    return state


def _own_metrics(metrics: Mapping[str, Any], usual: str) -> dict[str, Any]:
    """Return the metrics without what a Trainer puts among them, and without the usual prefix.

    Another prefix stays, and so does the name of one of several data sets.

    Example:
        >>> _own_metrics({"eval_b_acc": 0.5, "eval_b_runtime": 1.0, "eval_b_loss": 2.0, "epoch": 1.0}, "eval")
        {'b_acc': 0.5, 'b_loss': 2.0}

    Source: SCALAR-06, SCALAR-09.
    """
    # It has always been timed, under the prefix of this evaluation; a metric may be called so as well.
    timed = [key.removesuffix("_runtime") for key in metrics if key.endswith("_runtime")]
    prefix = min(timed, key=len, default=None)
    if prefix is None:
        return {key.removeprefix(f"{usual}_"): value for key, value in metrics.items()}
    start = f"{prefix}_"
    return {
        key.removeprefix(f"{usual}_"): value
        for key, value in metrics.items()
        if key.startswith(start) and key.removeprefix(start) not in _SPEEDS
    }
