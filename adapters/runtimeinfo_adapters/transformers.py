"""The adapter for Transformers: a callback of its Trainer, and wrappers around the methods that no callback hears of.

    from runtimeinfo_adapters.transformers import attach

    trainer = Trainer(model, args, train_dataset=..., eval_dataset=...)
    attach(trainer)
    trainer.train()

Where the Trainer is built out of reach, use the callback alone: ``callbacks=[RuntimeInfoCallback()]``. Then there is no
loss, a validation is seen only when it is over, and an exception does not close a scope.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast

from runtimeinfo import MessageHub, RunnerError
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    LearningRates,
    SupportsDropLatest,
    SupportsPopScalar,
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
    ResumeWarning,
    RunOptions,
    Target,
    adapter_around,
    check_target,
    displace,
    put_back,
    remove_wrappers,
    wrap_method,
)
from runtimeinfo_adapters._copied_callback import copy_callback
from runtimeinfo_adapters._framework import import_of_extra, load_framework
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub

__all__ = ["RuntimeInfoCallback", "TransformersRunner", "attach", "detach"]

transformers: Any = load_framework("transformers")
torch: Any = import_of_extra("torch", distribution="torch", extra="transformers", used_by="this adapter")

_Module = torch.nn.Module
_TRAINING_STEP = transformers.Trainer.training_step
_Method = Callable[..., Any]
_Stage = Literal["val", "test"]

# Members that Transformers and PyTorch do not document, checked by `attach`: of a Trainer, of a Trainer from its first
# optimizer step on (how many batches that is made for), and of a module.
_PRIVATE = ("callback_handler", "_inner_training_loop", "_save_checkpoint", "_get_output_dir")
_PRIVATE_IN_TRAINING = "current_gradient_accumulation_steps"
_PRIVATE_OF_MODULES = ("_forward_hooks",)

# The file that goes into each checkpoint of a Trainer, next to its own, with the fields of a saved Loop. A Trainer
# keeps the state of its callbacks as JSON, rewritten with the whole history each time, and reads it only if an
# argument says so.
_FILE_NAME = "runtimeinfo.pt"

_WHY_ELSEWHERE = (
    "It reckons the place from its number of optimizer steps, as if each epoch had as many as today: resume with the "
    "same batch size, and data without a length with ignore_data_skip=True if it knows by itself where it was"
)

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

# Nor is how far the training has come, which it adds as well.
_COUNTERS = ("epoch", "num_input_tokens_seen")

_logger = logging.getLogger("runtimeinfo")


class TransformersRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with what a Trainer tells its callbacks.

    Args:
        options: The run options. Without `cfg`, `seed` or `experiment_name`, the Trainer's arguments have them.

    Raises:
        HookError: If a hook cannot be registered.

    Source: META-04, COUNT-01 to COUNT-10.
    """

    framework_name: str = "transformers"
    framework_version: str = str(transformers.__version__)

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        super().__init__(**options)
        self.max_epochs: int | None = None
        self.optim_wrapper: LearningRates = LearningRates(None)
        self.train_dataloader: TrainDataLoader = with_dataset(None)
        self._max_iters: int | None = None
        self._length: int | None = None  # batches of an epoch, as they were when the training began
        self._accumulation = 1
        self._epochs = 0  # how many the Trainer begins at most
        self._is_length_wrong = False

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any training: the model and the data are not copied with it.
        return {**vars(self), "optim_wrapper": LearningRates(None), "train_dataloader": with_dataset(None)}

    @property
    def max_iters(self) -> int | None:
        """Iterations of the whole training, as far as they are known at this epoch's beginning."""
        return None if self._is_length_wrong or self.emitter.is_longer_than_told else self._max_iters

    def begin(self, args: Any, state: Any, loader: Any, optimizer: Any, saved: Mapping[str, Any] | None) -> None:
        """Start or continue a training from the state that the Trainer reports at its start.

        The epoch and the batch are reckoned from the number of optimizer steps, as the Trainer does itself: to a
        checkpoint after the last step of an epoch that is the next epoch. So is the iteration, if there is no saved
        state: that has more to go by where an epoch was cut short.
        """
        self.optim_wrapper = LearningRates(optimizer)
        self.train_dataloader = with_dataset(loader)
        accumulation = self._accumulation = args.gradient_accumulation_steps
        length = self._length = length_of(loader)
        self._is_length_wrong = False
        # Asked for a number of steps, the Trainer makes up one of epochs: sys.maxsize where the data has no length.
        self._epochs = state.num_train_epochs
        self.max_epochs = state.num_train_epochs if args.max_steps <= 0 else None
        counters = self.emitter
        # To data without a length, the Trainer takes all the steps for one epoch.
        steps_an_epoch = max(state.max_steps if length is None else -(-length // accumulation), 1)
        counters.epoch, steps = divmod(state.global_step, steps_an_epoch)
        batches = steps_an_epoch * accumulation if length is None else length
        counters.iter = counters.epoch * batches + steps * accumulation if saved is None else saved["iter"]
        counters.resumed_at = 0 if args.ignore_data_skip else steps * accumulation
        self.take_totals(state)

    def other_place(self, epoch: int, batches: int) -> str | None:
        """Describe where a training continues, if that is not after so many batches of an epoch."""
        counters = self.emitter
        place = (epoch + 1, 0) if batches == self._length else (epoch, batches)
        if not batches or place == (counters.epoch, counters.resumed_at):
            return None
        return (
            f"the checkpoint was saved after {batches} batches of epoch {epoch}, and the Trainer goes on after "
            f"{counters.resumed_at} batches of epoch {counters.epoch}"
        )

    def take_totals(self, state: Any) -> None:
        """Reckon how many batches this epoch has, and the whole training, before the first batch of the epoch."""
        counters = self.emitter
        resumed_at, accumulation = counters.resumed_at, self._accumulation
        epochs = self._epochs - counters.epoch
        # A Trainer that is resumed after its last step, inside an epoch, makes one more.
        steps = max(state.max_steps - state.global_step, 1) + resumed_at // accumulation
        batches: float = math.inf
        if self._length is not None:
            today = length_of(self.train_dataloader)
            # It makes no more steps an epoch than it has reckoned with at the beginning.
            batches = self._length if today is None else min(today, self._length)
            left: int | None = _batches_of(steps, epochs, int(batches), self._length, accumulation)
        else:
            # At the end of the data, wherever that is, an optimizer step may be made for fewer batches.
            left = steps if accumulation == 1 else None
        self._max_iters = None if left is None else counters.iter - resumed_at + left
        counters.epoch_length = batches if left is None else min(batches, left)

    def end_epoch(self, *, is_cut_short: bool) -> None:
        """Withdraw the total if the data has ended before the length that it had said."""
        counters = self.emitter
        done = counters.iter - counters.epoch_start
        # Without a single batch, the Trainer ends the training by itself. A pass of a stream has no certain length.
        ends_early = done == 0 or (not is_cut_short and self._length is not None)
        if ends_early and done < counters.epoch_length:
            self._is_length_wrong = True

    def end(self) -> None:
        """Let go of the optimizer and the data: the model's memory is free as soon as the Trainer is."""
        self.optim_wrapper = LearningRates(None)
        self.train_dataloader = with_dataset(None)


def _batches_of(steps: int, epochs: int, length: int, full_length: int, accumulation: int) -> int:
    """Return how many batches a Trainer takes for so many optimizer steps, in so many epochs at most.

    The last step of an epoch may be made for fewer batches. Where an epoch has become shorter than it was as the
    training began, no step is made for those.

    Example:
        >>> _batches_of(4, 2, 5, 5, accumulation=2), _batches_of(4, 2, 5, 6, accumulation=2)
        (7, 9)
    """
    steps_an_epoch, without_step = -(-length // accumulation), 0
    if length < full_length:
        steps_an_epoch, without_step = divmod(length, accumulation)
    if epochs <= 0 or steps_an_epoch == 0:
        return max(epochs, 0) * length
    whole, more = divmod(steps, steps_an_epoch)
    if whole >= epochs and (steps > epochs * steps_an_epoch or not without_step):
        return epochs * length
    return whole * length + (more * accumulation or -without_step)


class _Held:
    """The contents of a hub at one moment, to which it can be set back. Nothing is read from a device."""

    def __init__(self, hub: MessageHub) -> None:
        self._infos = frozenset(hub.runtime_info)
        self._scalars = frozenset(hub.log_scalars)
        self._contents: Any = copy.copy(hub) if isinstance(hub, ReferenceHub) else copy.deepcopy(hub.state_dict())

    def put_back(self, hub: MessageHub) -> None:
        """Set the hub back."""
        is_whole = isinstance(hub, ReferenceHub)  # which drops other keys, and takes copies
        hub.load_state_dict(self._contents if is_whole else copy.deepcopy(self._contents))
        for key in [key for key in hub.runtime_info if key not in self._infos]:
            hub.pop_info(key)
        histories = hub.log_scalars
        for key in [key for key in histories if key not in self._scalars]:
            if isinstance(hub, SupportsPopScalar):
                hub.pop_scalar(key)
            elif isinstance(histories, MutableMapping):  # mmengine's
                histories.pop(key)


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

    _notes_outputs = True
    """Whether a hook of the model notes what it returns by name: then a traceback has other frames of PyTorch."""

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        self.runner: TransformersRunner = TransformersRunner(**options)
        self._emitter = self.runner.emitter
        self._trainer = Target()  # the one that it is attached to
        self._displaced: Displaced = []
        self._is_detached = False
        self._is_muted = False  # inside an evaluation that is part of a larger one
        self._resume_from: Path | None = None
        self._has_own_step = False  # a training_step that need not call compute_loss
        self._computes_loss = True  # this step has called compute_loss
        self._noted = _NamedOutputs()
        self._outputs: dict[str, Any] | None = None  # of the iteration that is open
        self._is_new_epoch = False  # it has not begun its first iteration
        self._without_step: list[Mapping[str, Any]] = []  # the outputs since the last optimizer step
        self._held: _Held | None = None  # before an attempt that may be given up
        self._batch_size: int | None = None  # of the last attempt
        self._in_force = HubInForce()  # unless a wrapper sees to that

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run.
        outside: dict[str, Any] = {
            "_is_muted": False,
            "_resume_from": None,
            "_outputs": None,
            "_without_step": [],
            "_held": None,
        }
        return {**vars(self), **outside, "_noted": _NamedOutputs()}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        kinds = (transformers.Trainer,)
        return copy_callback(self, self.runner, memo, is_attached=self.is_attached, trainers=kinds)

    @property
    def message_hub(self) -> MessageHub:
        """The hub that it publishes to: each training has its own, unless one was given."""
        return self.runner.message_hub

    @property
    def is_attached(self) -> bool:
        """True if it belongs to a Trainer whose methods are wrapped."""
        return self._trainer() is not None

    def is_attached_to(self, trainer: Any) -> bool:
        """Return whether `attach` has registered this callback with a Trainer."""
        return self._trainer() is trainer

    def _identify(self, args: Any) -> None:
        self.runner.identify(cfg=args.to_dict(), seed=args.seed, experiment_name=args.run_name)

    # -- training, as callbacks hear of it

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open the training."""
        emitter = self._emitter
        if self.is_attached:
            emitter.emit("after_train")  # one that was given up, for smaller batches
        else:
            self._begin_run_alone(args, state)
        if args.auto_find_batch_size:
            if self._held is None:
                self._held = _Held(self.message_hub)
            else:  # the attempt before was given up
                self._held.put_back(self.message_hub)
        self._batch_size = state.train_batch_size
        self._identify(args)
        saved = None if self._resume_from is None else self._read(self._resume_from)
        self._without_step.clear()
        self.runner.begin(args, state, kwargs.get("train_dataloader"), kwargs.get("optimizer"), saved)
        if not emitter.is_open("run"):
            emitter.emit("before_run")
        if saved is not None:
            emitter.emit("after_load_checkpoint", checkpoint=saved)
            load_hub(self.message_hub, saved)
        self._warn_of_resume(args, state, saved)
        emitter.emit("before_train")

    def _read(self, folder: Path) -> dict[str, Any] | None:
        """Return the checked state in a checkpoint; None if it was saved without this adapter."""
        path = folder / _FILE_NAME
        if not path.exists():
            self._say("%s has no %s: the counters go on, and the histories begin empty", folder, _FILE_NAME)
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        check_training_state(state, ("batches",))
        return state

    def _say(self, message: str, *arguments: object) -> None:
        _logger.info(message, *arguments)

    def _begin_run_alone(self, args: Any, state: Any) -> None:
        """Close what an exception has left, and go over to a new hub."""
        is_given_up = (
            args.auto_find_batch_size
            and self._emitter.is_open("train")
            and None not in (state.train_batch_size, self._batch_size)
            and state.train_batch_size < self._batch_size
        )
        self._emitter.emit("after_run")
        if not is_given_up:
            self._held = None
        self._identify(args)
        self.runner.renew_hub()
        self._in_force.enter(self.message_hub)

    def _warn_of_resume(self, args: Any, state: Any, saved: Mapping[str, Any] | None) -> None:
        """Say where the Trainer, which knows its number of optimizer steps only, does not continue where it was."""
        found = None
        if saved is not None:
            found = self.runner.other_place(saved["epoch"], saved["batches"])
        if found is not None and not args.ignore_data_skip:
            warnings.warn(f"{found}: some batches come twice, or never. {_WHY_ELSEWHERE}", ResumeWarning, stacklevel=2)
        elif self.is_attached and self._resume_from is None and state.global_step:
            warnings.warn(
                "the Trainer resumes, and its training loop was not given resume_from_checkpoint, by which this "
                "adapter finds the saved state: the counters go on, and the histories begin empty",
                ResumeWarning,
                stacklevel=2,
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the training."""
        self._emitter.emit("after_train")
        if not self.is_attached:
            self._emitter.emit("after_run")
            self._in_force.leave()
            self._held = None
            self.runner.end()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open an epoch."""
        self.runner.take_totals(state)
        self._is_new_epoch = True
        self._emitter.emit("before_train_epoch")
        # A Trainer keeps its loader for evaluations, with persistent workers, from one training to the next.
        self.runner.claim_workers(kwargs.get("train_dataloader"), kwargs.get("eval_dataloader"))

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the epoch."""
        runner = self.runner
        runner.end_epoch(is_cut_short=control.should_epoch_stop or control.should_training_stop)
        runner.publish_totals()
        self._emitter.emit("after_train_epoch")

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Publish `iter` for the callbacks after this one, and open an iteration if this callback is alone.

        Of several batches to one optimizer step, only the first one is heard of here.
        """
        if self._is_new_epoch:  # data that is told the epoch may have another length since
            self._is_new_epoch = False
            self.runner.take_totals(state)
            self.runner.publish_totals()
        if self._trainer() is None:
            self._begin_iteration()
        else:  # the learning rate is the training step's
            self.runner.publish_iter()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Open the last iteration of several to one optimizer step, while the learning rate is still its own."""
        if self._trainer() is None and not self._emitter.is_open("train_iter"):
            self._begin_iteration()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close an iteration."""
        self._end_iteration()
        self._without_step.clear()

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close an iteration without an optimizer step."""
        self._without_step.append(self._outputs or {})
        self._end_iteration()

    def _begin_iteration(self, data_batch: Any = None) -> None:
        self._outputs = None
        self._emitter.emit("before_train_iter", data_batch=data_batch)

    def _end_iteration(self) -> None:
        if not self._emitter.is_open("train_iter"):
            if self.is_attached:  # a training step of the user's, outside of any training
                return
            self._begin_iteration()
        outputs, self._outputs = self._outputs, None
        self._emitter.emit("after_train_iter", outputs=outputs)

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
        """Put the state next to the Trainer's own in the checkpoint that it has just written.

        Alone, this callback hears only of those in the usual folder: not of one that a hyperparameter search has made,
        nor of one that is written because the process is to end.
        """
        if not self.is_attached:
            self._save(args, Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def _save(self, args: Any, folder: Path) -> None:
        if not (args.should_save and folder.is_dir()):
            return
        # A Trainer that is resumed repeats the batches since the last optimizer step.
        emitter, repeated = self._emitter, self._without_step
        hub, completed = self.message_hub, emitter.iter - len(repeated)
        rates = [f"train/{name}" for name in self.runner.optim_wrapper.get_lr()]
        is_inside = emitter.is_open("train_iter")
        if repeated or is_inside:
            hub = copy.deepcopy(hub)
            taken_back = rates * (len(repeated) + is_inside) + [f"train/{name}" for each in repeated for name in each]
            for key in taken_back:
                _drop_latest(hub, key)
        batches = max(completed - emitter.epoch_start, 0)
        checkpoint = training_state(hub, epoch=emitter.epoch, iter=completed, batches=batches, outputs={})
        emitter.emit("before_save_checkpoint", checkpoint=checkpoint)
        torch.save(checkpoint, folder / _FILE_NAME)

    # -- the methods of a Trainer, which are wrapped

    @contextmanager
    def _running(self, trainer: Any, *, begins: bool = False) -> Generator[None]:
        self._trainer = Target(trainer)  # a copy and an unpickled one learn here whose they are
        if not self._emitter.is_open("run"):
            self._identify(trainer.args)
            if begins:
                self.runner.renew_hub()
        with self.runner.running():
            yield

    def _is_out(self, trainer: Any) -> bool:
        """Return whether it was detached, or taken out of the Trainer's callbacks."""
        return self._is_detached or not any(each is self for each in trainer.callback_handler.callbacks)

    def _around_train(self, trainer: Any, method: _Method, *args: Any, **kwargs: Any) -> Any:
        if self._is_out(trainer):
            return method(*args, **kwargs)
        registered: list[Any] = trainer.callback_handler.callbacks
        if registered[0] is not self:  # others were put before it since: they must find its information in the hub
            registered[:] = [self, *(each for each in registered if each is not self)]
        self._held = None
        try:
            with self._running(trainer, begins=True):
                return method(*args, **kwargs)
        finally:
            self._resume_from = self._held = None
            self.runner.end()

    def _around_attempt(self, _trainer: Any, method: _Method, *args: Any, **kwargs: Any) -> Any:
        """Let the Trainer train: with `auto_find_batch_size` it does so again after it has run out of memory."""
        checkpoint = kwargs.get("resume_from_checkpoint")
        self._resume_from = None if checkpoint is None else Path(checkpoint)
        with self._emitter.guard():
            return method(*args, **kwargs)

    def _around_save_checkpoint(
        self, trainer: Any, method: _Method, model: Any, trial: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Save with the Trainer, also where no callback hears of it: on a signal, see `enable_jit_checkpoint`."""
        saved = method(model, trial, *args, **kwargs)
        if self._emitter.is_open("train"):
            folder = Path(trainer._get_output_dir(trial=trial)) / f"checkpoint-{trainer.state.global_step}"
            self._save(trainer.args, folder)
        return saved

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
        hooks: dict[str, Any] = model._forward_hooks if self._notes_outputs and isinstance(model, _Module) else {}
        hooks[__name__] = self._noted
        try:
            loss = method(model, inputs, *args, **kwargs)
        finally:
            hooks.pop(__name__, None)
        # A step that makes no use of compute_loss may call its loss as it likes.
        if self._computes_loss or (self._notes_outputs and "loss" not in outputs):
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
        if outer == stage or self._is_out(trainer):  # the one: one of several data sets
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
            self.runner.claim_workers(args[0] if args else kwargs.get("dataloader"))
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
            "_save_checkpoint": self._around_save_checkpoint,
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
        self._trainer, self._is_detached = Target(trainer), False
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
    `train`, `evaluate`, `predict`, `evaluation_loop`, `prediction_step`, `training_step`, `compute_loss` where a
    subclass has its own `training_step`, and two private ones: the training loop, and what saves a checkpoint.

    Each call of `train` is its own run, which counts from 0 unless it resumes, and has its own hub: the `message_hub`
    of the callback is the latest one's. It begins empty, or with what the checkpoint has. A hub that you give is
    yours: each run is appended to what it holds. A lone `evaluate`, which validates, and `predict`, which tests,
    publish into the hub that is there. An attempt that a Trainer with `auto_find_batch_size` has given up leaves
    nothing behind.

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
    """Return whether a method of a class reads or sets an attribute of this name."""
    functions = (member for each in kind.__mro__ for member in vars(each).values() if isinstance(member, FunctionType))
    return any(name in function.__code__.co_names for function in functions)


def _drop_latest(hub: MessageHub, key: str) -> None:
    """Take back the latest value of a scalar, if there is one. mmengine's hub has no method for it."""
    histories = hub.log_scalars
    if isinstance(hub, SupportsDropLatest):
        hub.drop_latest(key)
    elif isinstance(histories, MutableMapping) and key in histories:
        history: Any = histories[key]
        values, counts = history.data
        histories[key] = type(history)(values[:-1], counts[:-1], history.max_length)


def _own_metrics(metrics: Mapping[str, Any], usual: str) -> dict[str, Any]:
    """Return the metrics without what a Trainer puts among them, and without the usual prefix.

    Another prefix stays, and so does the name of one of several data sets.

    Example:
        >>> _own_metrics({"eval_b_acc": 0.5, "eval_b_runtime": 1.0, "eval_b_loss": 2.0, "epoch": 1.0}, "eval")
        {'b_acc': 0.5, 'b_loss': 2.0}

    Source: SCALAR-06, SCALAR-09.
    """
    # It has always been timed, under the prefix of this evaluation; a metric may be called so as well.
    timed = [key.removesuffix("runtime") for key in metrics if key.endswith("_runtime")]
    prefix = min(timed, key=len, default=None)
    dropped = {*_COUNTERS, *(f"{prefix}{speed}" for speed in _SPEEDS)}
    return {key.removeprefix(f"{usual}_"): value for key, value in metrics.items() if key not in dropped}
