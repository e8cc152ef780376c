"""The adapter for PyTorch-Ignite: a trainer, and the evaluators that belong to it.

    from runtimeinfo_adapters.ignite import attach

    attach(trainer, optimizer=optimizer, evaluators={"val": evaluator})
    trainer.run(loader, max_epochs=3)

All engines of Ignite are alike, so you say which is which; an engine that is not named is not listened to. An evaluator
can run anywhere: in a handler of the trainer, in its step, or on its own.

The values come from `engine.state`: its `output` after an iteration (a mapping as it is, a scalar as ``loss``, a list
with a mapping for each sample by what all samples agree on, anything else by an `output_transform`), and of its
`metrics` those that this validation has computed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeGuard, TypeVar, Unpack, cast

from runtimeinfo import LoopError, MessageHub, RunnerError, RuntimeInfoHook, SkippedOutputWarning
from runtimeinfo._scopes import ignore_generators
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    Emitter,
    LearningRates,
    TrainDataLoader,
    describe,
    detached,
    is_scalar,
    length_of,
    lies_on_device,
    training_state,
    with_dataset,
)
from runtimeinfo_adapters._adapter import (
    FrameworkRunner,
    ResumeWarning,
    RunOptions,
    Target,
    check_target,
    remove_wrappers,
    wrap_method,
    wrapped_methods,
)
from runtimeinfo_adapters._framework import load_framework
from runtimeinfo_adapters._noted_metrics import NotedMetrics

__all__ = ["IgniteRunner", "RuntimeInfoCallback", "attach", "detach"]

_ignite = load_framework("ignite")

if TYPE_CHECKING:
    from ignite.engine import DeterministicEngine, Engine, Events
else:
    DeterministicEngine, Engine, Events = (
        _ignite.engine.DeterministicEngine,
        _ignite.engine.Engine,
        _ignite.engine.Events,
    )

Role = Literal["val", "test"]
Evaluators = Mapping[Role, "Engine | Iterable[Engine]"]
OutputTransform = Callable[[Any], Any]
_Method = TypeVar("_Method", bound=Callable[..., None])

# The handlers by event: Ignite has no public way to come first, and its way to come last inspects signatures, each of
# which takes longer than an iteration. The process function: what stands around it is inside the iteration for certain.
# The run that `interrupt` suspended, and what tells with which batch an epoch begins.
_PRIVATE = ("_event_handlers", "_process_function", "_internal_run_generator", "_dataloader_iter", "_init_iter")


# The generators that an engine runs in. `Engine.interrupt` suspends them, where no handler is at work.
_GENERATORS = ("_internal_run_as_gen", "_run_once_on_dataset_as_gen", "_maybe_terminate_or_interrupt")
ignore_generators(*(getattr(Engine, name) for name in _GENERATORS if hasattr(Engine, name)))


class _Emitter(Emitter):
    """Does not count an epoch that is only paused."""

    is_pausing = False  # `Engine.interrupt` suspends the run, and the next `run` continues in the same epoch
    is_starting = False  # the handlers of STARTED run, which may load the trainer and the callback
    were_loaded = False  # the counters
    loaded_batches = 0  # of the epoch to continue in, for data whose length Ignite does not know
    # Epochs and iterations that the counters have ahead of the trainer's, if only the callback was loaded.
    ahead: tuple[int, int] = (0, 0)

    def count(self, event: str) -> None:
        if event == "after_train_iter":
            self.iter += 1
        elif not self.is_pausing:
            self.epoch += 1


class IgniteRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with a trainer of Ignite.

    The counters and the totals follow the trainer's state, also where a handler changes it. The totals are read again
    as each epoch begins, and when the length of an epoch turns out.

    Args:
        optimizer: One optimizer, several by name, or None.
        options: The run options. If left out, the seed is the one in the trainer's state, which a `DeterministicEngine`
            has.

    Raises:
        LoopError: If the optimizer is something else.

    Source: META-01 to META-07, COUNT-01 to COUNT-10.
    """

    framework_name: str = "ignite"
    framework_version: str = str(_ignite.__version__)

    def __init__(self, *, optimizer: Any = None, **options: Unpack[RunOptions]) -> None:
        self.optim_wrapper: LearningRates = LearningRates(optimizer)
        self.max_epochs: int | None = None
        self.max_iters: int | None = None
        self._trainer = Target()
        super().__init__(**options)

    def _make_emitter(self, hooks: Iterable[object]) -> Emitter:
        return _Emitter(self, hooks)

    @property
    def trainer(self) -> Any:
        """The engine that trains, once it is known."""
        return self._trainer()

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The data that the trainer runs over; data without a dataset are their own dataset."""
        trainer = self.trainer
        return with_dataset(None if trainer is None else trainer.state.dataloader)

    def connect(self, trainer: Engine) -> None:
        """Go over to a trainer."""
        self._trainer = Target(trainer)
        self.read_seed()

    def read_seed(self) -> None:
        """Take the seed from the trainer's state, unless the options have one."""
        trainer = self.trainer
        if trainer is not None:
            self.identify(seed=trainer.state.seed)

    def read_totals(self) -> None:
        """Take from the trainer how long this epoch and the training are going to be, as far as that is known."""
        state, emitter = self.trainer.state, cast("_Emitter", self.emitter)
        # `Engine.set_data` does not look how long the data are.
        length = length_of(state.dataloader) if state.epoch_length is None else state.epoch_length
        if state.epoch_length is not None and state.epoch_length > emitter.iter - emitter.epoch_start:
            emitter.is_longer_than_told = False  # Ignite ends an epoch by this length; a handler has changed it
        emitter.epoch_length = math.inf if length is None or emitter.is_longer_than_told else length
        epochs, iterations = emitter.ahead
        if state.max_iters is not None:  # max_epochs can be there as well, worked out from it
            self.max_epochs, self.max_iters = None, state.max_iters + iterations
        else:
            self.max_epochs = None if state.max_epochs is None else state.max_epochs + epochs
            self.max_iters = self.total_iters(self.max_epochs, length)

    def publish_totals(self) -> None:
        """Read the totals, and publish them if they have changed.

        Source: COUNT-07, COUNT-08.
        """
        self.read_totals()
        super().publish_totals()

    def publish_counters(self) -> None:
        """Publish the counters, after the trainer's state has changed outside of its own counting.

        Source: COUNT-05, COUNT-06.
        """
        self.message_hub.update_info_dict({"epoch": self.epoch, "iter": self.iter})


def _handler(method: _Method) -> _Method:
    """Give a handler the name that Ignite's profilers show."""
    method.__qualname__ = f"{__name__}.{method.__name__}"
    return method


class _Step:
    """Stands in the place of an engine's process function while the engine runs, and frames each iteration.

    After all handlers of ITERATION_STARTED, whenever these were registered: schedulers set the rate of that very
    iteration there, handlers prepare its batch, and the iteration can be terminated before it has begun.

    The engine holds it, and it the process function, so that a copied callback does not copy the model.
    """

    def __init__(self, listener: _Listener, process: Callable[[Any, Any], Any]) -> None:
        self.listener = listener
        self.process = process

    def __call__(self, engine: Any, batch: Any) -> Any:
        listener = self.listener
        if listener.engine is None:
            return self.process(engine, batch)
        try:
            listener.begin_iteration(batch)
            output = self.process(engine, batch)
            if listener.engine is not None:  # otherwise it was detached meanwhile
                listener.end_iteration(output)
        except BaseException as error:
            listener.abort_iteration(error)
            raise
        return output


class _Listener:
    """Listens to one engine: wraps its `run`, and has handlers among its handlers while it runs.

    The handlers do not take the engine: Ignite would keep a weak reference to it beside them, which can neither be
    pickled nor goes over to a copy of the engine.

    Args:
        callback: What it listens for.
        engine: The engine, which is held weakly.

    Source: LIFE-02, LIFE-05, LIFE-15, FAIL-01 to FAIL-06.
    """

    first: ClassVar[tuple[tuple[str, str], ...]]
    """The events whose handler comes before all others, and the name of the handler."""

    last: ClassVar[tuple[tuple[str, str], ...]]
    """The events whose handler comes after all others, and the name of the handler."""

    def __init__(self, callback: RuntimeInfoCallback, engine: Engine) -> None:
        self.callback = callback
        self._runner = callback.runner
        self._emitter = cast("_Emitter", callback.runner.emitter)
        self.refer_to(engine)
        # While it runs, and is listened to. An event that is fired by hand is not one of the run.
        self.engine: Any = None
        self._scopes = ExitStack()  # the hub in force, and the run
        self._is_attached, self._is_running = True, False
        wrap_method(engine, "run", self._run)

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run.
        return {**vars(self), "engine": None, "_scopes": ExitStack(), "_is_running": False}

    def detach(self) -> None:
        """Leave the engine as it was. A wrapper of other code that holds on to the wrapped run finds it passive."""
        self._is_attached = False
        engine = self._target()
        if engine is not None:
            self._leave(engine)
            remove_wrappers(engine, ("run",), self)

    def refer_to(self, engine: Engine) -> None:
        """Take an engine for the one that is meant: an unpickled listener does not know it yet."""
        self._target = Target(engine)

    def listens_to(self, engine: Engine) -> bool:
        """Return whether an engine is the one that is meant."""
        return self._target() is engine

    def begin_iteration(self, batch: Any) -> None:
        """Open an iteration."""
        raise NotImplementedError

    def end_iteration(self, output: Any) -> None:
        """Close an iteration that was completed."""
        raise NotImplementedError

    def abort_iteration(self, error: BaseException) -> None:
        """Close an iteration that an exception has left: the engine may continue, if a handler takes the exception."""
        scopes = self._emitter.lifecycle.open_scopes
        if scopes and scopes[-1].endswith("_iter"):
            self._emitter.abort(error, keep=len(scopes) - 1)

    def _prepare(self) -> None:
        """Prepare for a run."""

    def _reopen(self, engine: Any) -> None:
        """Open what `Engine.interrupt` has closed."""

    def _close(self, engine: Any) -> None:
        """Close what a run that ends normally has left open."""

    def _end(self) -> None:
        """Note that a run has ended, however it did."""

    def _run(self, engine: Engine, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._is_attached:
            return original(*args, **kwargs)
        if self._is_running or self._emitter.is_open("val") or self._emitter.is_open("test"):
            # A run inside itself, or any run inside an evaluation: nothing nests there, and the outer one continues.
            return self._unheard(original, *args, **kwargs)
        self.refer_to(engine)
        self._prepare()
        self._is_running = True
        try:
            with ExitStack() as self._scopes:
                self._enter(engine)
                if _is_paused(engine):  # there is no STARTED
                    self._open()
                    self._reopen(engine)
                state = original(*args, **kwargs)
                self._close(engine)
            return state
        finally:
            self._is_running = False
            self._leave(engine)
            self._end()

    def _open(self) -> None:
        """Open the run, if none is around it. Only in the run does Ignite decide whether it starts or continues."""
        self._scopes.enter_context(self._runner.running())

    def _unheard(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method, and do not listen meanwhile."""
        engine, self.engine = self.engine, None
        try:
            return method(*args, **kwargs)
        finally:
            self.engine = engine if self._is_attached else None

    def _fire_event(self, engine: Any, event_name: Any) -> None:
        """Fire an event by hand: Ignite itself does not call `Engine.fire_event`."""
        self._unheard(cast("type[Engine]", type(engine)).fire_event, engine, event_name)

    def _enter(self, engine: Any) -> None:
        """Put the handlers into their places: others can have been registered since the last run."""
        self._leave(engine)  # a copy that was made during a run has them already
        self.engine = engine
        handlers = engine._event_handlers
        for event, name in self.first:
            handlers[getattr(Events, event)].insert(0, (getattr(self, name), (), {}))
        for event, name in self.last:
            handlers[getattr(Events, event)].append((getattr(self, name), (), {}))
        engine._process_function = _Step(self, engine._process_function)
        cast("dict[str, Any]", vars(engine)).setdefault("fire_event", partial(self._fire_event, engine))

    def _leave(self, engine: Any) -> None:
        """Take the handlers out."""
        self.engine = None
        handlers = engine._event_handlers
        for event in {getattr(Events, event) for event, _ in (*self.first, *self.last)}:
            # In a new list, as Ignite does it: a handler that detaches is called from the old one.
            handlers[event] = [each for each in handlers[event] if _owner(each[0]) is not self]
            if not handlers[event]:
                del handlers[event]
        step = engine._process_function
        if isinstance(step, _Step) and step.listener is self:
            engine._process_function = step.process
        by_hand = cast("dict[str, Any]", vars(engine)).get("fire_event")
        if isinstance(by_hand, partial) and _owner(by_hand.func) is self:
            del engine.fire_event


class _TrainerListener(_Listener):
    """Listens to the engine that trains.

    Source: LIFE-03, LIFE-04, COUNT-01 to COUNT-08, RESUME-01, RESUME-03.
    """

    first = (
        ("STARTED", "started"),
        ("EPOCH_STARTED", "epoch_started"),
        ("GET_BATCH_STARTED", "get_batch_started"),
        ("ITERATION_STARTED", "iteration_started"),
        ("EPOCH_COMPLETED", "epoch_completed"),
        ("COMPLETED", "completed"),
    )
    last = (("STARTED", "after_started"), ("EPOCH_STARTED", "after_epoch_started"))

    def __init__(self, callback: RuntimeInfoCallback, engine: Engine) -> None:
        super().__init__(callback, engine)
        self._batches = 0  # of this epoch, those that were done before it was resumed included
        # The epoch and the iteration whose `iter` was published ahead of it, in Ignite's counting.
        self._announced_epoch = self._announced = 0
        # Whether the run was paused inside an epoch, and the state then; None if it was not paused.
        self._paused: tuple[bool, int, int] | None = None
        self._had_begun = False  # when `Engine.run` was called: it may begin again

    def refer_to(self, engine: Engine) -> None:
        super().refer_to(engine)
        self._runner.connect(engine)

    def begin_iteration(self, batch: Any) -> None:
        state = self.engine.state
        if state.iteration != self._announced or state.epoch != self._announced_epoch:  # a handler has changed it
            self._announce(state.iteration)
        self._emitter.emit("before_train_iter", batch_idx=self._batches, data_batch=batch)

    def end_iteration(self, output: Any) -> None:
        outputs = self.callback.outputs_of(output)
        self._batches += 1
        self._announced = 0
        self._emitter.emit("after_train_iter", outputs=outputs)

    def _prepare(self) -> None:
        self._had_begun = not _is_at_start(self._target().state)

    def _reopen(self, engine: Any) -> None:
        emitter, state = self._emitter, engine.state
        is_in_epoch = self._paused is None or self._paused[0]
        if self._paused != (is_in_epoch, state.epoch, state.iteration):  # it was changed, or we were not attached then
            epochs, iterations = emitter.ahead
            emitter.epoch, emitter.iter = max(state.epoch - is_in_epoch, 0) + epochs, state.iteration + iterations
            self._batches = _batches_done(engine) or 0
        emitter.were_loaded, emitter.resumed_at = False, self._batches if is_in_epoch else 0
        emitter.epoch_start = emitter.iter - emitter.resumed_at
        self._runner.read_totals()
        emitter.emit("before_train")
        if is_in_epoch:
            emitter.emit("before_train_epoch")
            self._runner.claim_workers(engine._dataloader_iter)

    def _close(self, engine: Any) -> None:
        emitter, state = self._emitter, engine.state
        emitter.is_pausing, self._paused = _is_paused(engine), None
        if emitter.is_pausing:
            self._paused = emitter.is_open("train_epoch"), state.epoch, state.iteration

    def _end(self) -> None:
        self._emitter.is_pausing = self._emitter.is_starting = False
        self._emitter.loaded_batches = 0

    @_handler
    def started(self) -> None:
        """Open the training, in a new hub if it begins from its start."""
        engine, emitter = self.engine, self._emitter
        if engine is None:
            return
        if not emitter.is_open("run"):
            if _is_at_start(engine.state):
                if emitter.were_loaded and self._had_begun:
                    emitter.were_loaded = False
                    _warn_of_finished_training()
                if not emitter.were_loaded:
                    self._runner.renew_hub()
            self._open()
        emitter.is_starting, emitter.is_longer_than_told = True, False
        self._start()
        emitter.emit("before_train")

    @_handler
    def after_started(self) -> None:
        """Take what the handlers of STARTED have set: MONAI loads checkpoints there, a `DeterministicEngine` seeds."""
        if self.engine is not None:
            runner, emitter = self._runner, self._emitter
            self._start()
            emitter.were_loaded = emitter.is_starting = False
            runner.publish_counters()
            runner.publish_totals()
            runner.read_seed()
            runner.message_hub.update_info("seed", runner.seed)

    @_handler
    def epoch_started(self) -> None:
        if self.engine is not None:
            emitter = self._emitter
            emitter.emit("after_train_epoch")  # if it is open: a terminated epoch need have no EPOCH_COMPLETED
            self._read_state(1)
            emitter.emit("before_train_epoch")

    @_handler
    def after_epoch_started(self) -> None:
        """Take what the handlers of EPOCH_STARTED have set: other data, another length."""
        if self.engine is not None:
            self._read_state(1)
            self._runner.publish_counters()
            self._runner.publish_totals()
            self._runner.claim_workers(self.engine.state.dataloader)
            if self._batches:
                _warn_of_repeated_data(self.engine)

    @_handler
    def get_batch_started(self) -> None:
        if self.engine is not None:
            self._announce(self.engine.state.iteration + 1)

    @_handler
    def iteration_started(self) -> None:
        if self.engine is not None:
            state = self.engine.state
            if state.iteration != self._announced or state.epoch != self._announced_epoch:
                self._announce(state.iteration)

    @_handler
    def epoch_completed(self) -> None:
        if self.engine is not None:
            self._emitter.emit("after_train_epoch")
            self._runner.publish_totals()  # the length of data without a length is known now

    @_handler
    def completed(self) -> None:
        """Close the training, and an epoch that was terminated: for it there is no EPOCH_COMPLETED."""
        if self.engine is not None:
            self._emitter.emit("after_train")

    def _start(self) -> None:
        """Take the counters with which the training begins."""
        emitter, is_at_start = self._emitter, _is_at_start(self.engine.state)
        if emitter.were_loaded:  # if the trainer was not loaded with the callback, it counts from elsewhere
            emitter.ahead = (emitter.epoch, emitter.iter) if is_at_start else (0, 0)
        elif is_at_start:
            emitter.ahead = (0, 0)
        self._read_state(0)

    def _read_state(self, begun: int) -> None:
        """Take the counters from the trainer's state, which counts what has begun, and the totals."""
        emitter, state = self._emitter, self.engine.state
        epochs, iterations = emitter.ahead
        emitter.epoch, emitter.iter = max(state.epoch - begun, 0) + epochs, state.iteration + iterations
        done = _batches_done(self.engine)
        emitter.resumed_at = self._batches = emitter.loaded_batches if done is None else done
        emitter.epoch_start = emitter.iter - emitter.resumed_at
        self._announced = 0
        self._runner.read_totals()

    def _announce(self, iteration: int) -> None:
        """Publish `iter` of the iteration that is next, or has begun, by the trainer's own count."""
        emitter, epoch = self._emitter, self.engine.state.epoch
        self._announced_epoch, self._announced = epoch, iteration
        epochs, iterations = emitter.ahead
        # Both are 0 where a handler has loaded a state of the beginning.
        epoch = epoch - 1 + epochs if epoch else epochs
        emitter.iter = iteration - 1 + iterations if iteration else iterations
        if epoch == emitter.epoch:
            self._runner.publish_iter()
        else:
            emitter.epoch = epoch
            self._runner.publish_counters()


class _EvaluatorListener(_Listener):
    """Listens to an engine that validates or tests.

    Args:
        callback: What it listens for.
        engine: The engine, which is held weakly.
        roles: What it does: the first while the trainer runs, the last on its own.

    Source: STAGE-02 to STAGE-05, SCALAR-06, SCALAR-09.
    """

    first = (("STARTED", "started"), ("EPOCH_STARTED", "epoch_started"), ("COMPLETED", "completed"))
    last = (("EPOCH_COMPLETED", "epoch_completed"),)

    publishes_metrics = True

    def __init__(self, callback: RuntimeInfoCallback, engine: Engine, roles: tuple[Role, ...]) -> None:
        super().__init__(callback, engine)
        self._roles = roles
        self._events = EVALUATION_EVENTS[roles[0]]
        self._written: set[str] = set()  # the metrics of the epoch
        # During a run: the metrics of the engine's state, and what stands in their place.
        self._metrics: dict[str, Any] = {}
        self._noted: NotedMetrics | None = None

    def begin_iteration(self, batch: Any) -> None:
        self._emitter.emit(self._events.before_iter, data_batch=batch)

    def end_iteration(self, output: Any) -> None:
        self._emitter.emit(self._events.after_iter, outputs=output)

    def _prepare(self) -> None:
        self._runner.read_seed()
        self._events = EVALUATION_EVENTS[self._roles[0 if self._emitter.is_open("run") else -1]]

    def _close(self, engine: Any) -> None:  # noqa: ARG002
        self._emitter.emit(self._events.after)  # a terminated run has no EPOCH_COMPLETED

    def _enter(self, engine: Any) -> None:
        super()._enter(engine)
        self._note_metrics(engine.state)

    def _leave(self, engine: Any) -> None:
        super()._leave(engine)
        self._restore_metrics(engine.state)

    @_handler
    def started(self) -> None:
        if self.engine is not None:
            self._open()
            self._emitter.emit(self._events.before)

    @_handler
    def epoch_started(self) -> None:
        """Open the epoch, and begin to note the metrics."""
        if self.engine is not None:
            self._written.clear()
            if self.engine.state.metrics is not self._noted:  # they were replaced
                self._note_metrics(self.engine.state)
            self._emitter.emit(self._events.before_epoch)
            self._runner.claim_workers(self.engine.state.dataloader)

    @_handler
    def epoch_completed(self) -> None:
        """Close the epoch, with the metrics that were computed in it."""
        if self.engine is not None:
            metrics = self.engine.state.metrics
            names = self._written if metrics is self._noted else metrics
            if not self.publishes_metrics:
                names = frozenset[str]()
            new = {name: detached(value) for name, value in metrics.items() if name in names}
            self._emitter.emit(self._events.after_epoch, metrics=new)

    @_handler
    def completed(self) -> None:
        if self.engine is not None:
            self._emitter.emit(self._events.after)

    def _note_metrics(self, state: Any) -> None:
        self._metrics = state.metrics
        self._noted = state.metrics = NotedMetrics(state.metrics)
        self._noted.written = self._written

    def _restore_metrics(self, state: Any) -> None:
        """Put the dict back that the engine had, with what was written since: other code can hold on to it."""
        noted, self._noted = self._noted, None
        if noted is not None and state.metrics is noted:
            self._metrics.clear()
            self._metrics.update(noted)
            state.metrics = self._metrics
        self._metrics = {}


class RuntimeInfoCallback:
    """Makes a trainer and its evaluators publish through this protocol.

    `Engine.run` of each is wrapped: whatever leaves it closes all scopes. No handler of EXCEPTION_RAISED is
    registered, because one that returns would swallow the exception.

    While an engine runs, the handlers precede the user's, so that those find the values that the event publishes:
    from GET_BATCH_STARTED on, `iter` is that of the iteration. The iteration itself opens and closes around the process
    function, after all handlers of ITERATION_STARTED and before those of ITERATION_COMPLETED; one that is terminated in
    ITERATION_STARTED is not published. The metrics of an evaluator are published after all handlers of its
    EPOCH_COMPLETED, where they are computed. An event that is fired by hand is not published.

    The counters follow the trainer's state: what loads or changes it, also in a handler, is what counts. A run that
    starts from the beginning publishes to a new hub; one that continues after `interrupt`, `terminate`, an exception, a
    loaded state, or with more epochs, to the hub that there is. So does an evaluator that runs on its own.

    It can be saved and loaded by a `Checkpoint`, among its `to_save`. Save the trainer, too. A copy of it alone belongs
    to no engine; a copy of the trainer has its own.

    Args:
        optimizer: One optimizer, several by name, or None.
        output_transform: Makes of `engine.state.output` a mapping from names to values, a list with such a mapping for
            each sample, a scalar (``loss``), or None for nothing.
        options: The run options: `hub` (where to publish; a new `runtimeinfo_adapters.MessageHub` if left out), `hooks`
            (more hooks; `RuntimeInfoHook` runs in any case), `cfg` (the configuration: a mapping, text, or anything
            with `pretty_text`), `seed` (published, not set here; if left out, that of a `DeterministicEngine`) and
            `experiment_name`.

    Attributes:
        runner: What the hooks get as their runner.

    Raises:
        TypeError: If a keyword is not a run option.
        HookError, LoopError: If a hook, or the optimizer, cannot be one.

    Example:
        >>> from ignite.engine import Engine
        >>> from runtimeinfo import current_hub
        >>> trainer = Engine(lambda engine, batch: {"loss": batch / current_hub().get_info("max_iters")})
        >>> callback = RuntimeInfoCallback(experiment_name="doc-ignite").attach(trainer)
        >>> _ = trainer.run([1.0, 2.0], max_epochs=2)
        >>> callback.message_hub.get_scalar("train/loss").data[0].tolist()
        [0.25, 0.5, 0.25, 0.5]

    Source: LIFE-01 to LIFE-09, FAIL-01 to FAIL-06, RESUME-01 to RESUME-03.
    """

    # The listeners of an engine.
    _trainer_listener = _TrainerListener
    _evaluator_listener = _EvaluatorListener

    def __init__(
        self, *, optimizer: Any = None, output_transform: OutputTransform | None = None, **options: Unpack[RunOptions]
    ) -> None:
        self.runner: IgniteRunner = IgniteRunner(optimizer=optimizer, **options)
        self.output_transform: OutputTransform | None = output_transform
        self._listeners: list[_Listener] = []
        self._has_warned = False
        self._of_samples: set[str] = set()  # names in an output that are not of the whole batch

    @property
    def message_hub(self) -> MessageHub:
        """The hub of the present run, or the last one."""
        return self.runner.message_hub

    def attach(self, trainer: Engine, evaluators: Evaluators | None = None) -> Self:
        """Listen to a trainer, and to its evaluators; a callback that listens to one of them is detached from it.

        Args:
            trainer: The engine that trains.
            evaluators: The engines that validate (``"val"``) and test (``"test"``), one or several of a role. One
                that has both validates while the trainer runs, and tests otherwise.

        Returns:
            This callback.

        Raises:
            RunnerError: If it is attached already, or one of these is not an engine, lacks what this adapter relies
                on, or has an unknown role.

        Source: LIFE-01.
        """
        if self._listeners:
            raise RunnerError("this callback is attached already: detach() it first, or make another one")
        roles = _roles_of(trainer, evaluators)
        for engine in (trainer, *roles):  # two would publish everything twice
            detach(engine)
        emitter = cast("_Emitter", self.runner.emitter)
        if self.runner.trainer is not trainer and not emitter.were_loaded:
            self.runner.renew_hub()
            emitter.epoch = emitter.iter = 0
        self._listeners = [
            self._trainer_listener(self, trainer),
            *(self._evaluator_listener(self, engine, roles[engine]) for engine in roles),
        ]
        return self

    def _add_evaluator(self, engine: Engine, *roles: Role) -> None:
        """Listen to one more evaluator, also while the trainer runs."""
        self._listeners.append(self._evaluator_listener(self, engine, roles))

    def _remove_evaluator(self, engine: Engine) -> None:
        """Listen no longer to an evaluator: it is as it was."""
        removed = [each for each in self._listeners if each.listens_to(engine)]
        self._listeners = [each for each in self._listeners if each not in removed]
        for listener in removed:
            listener.detach()

    def detach(self) -> None:
        """Listen no longer: the engines are as they were."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included.

        From ITERATION_STARTED on an iteration counts as done, as it does in the trainer's own state.

        Source: RESUME-01, RESUME-02.
        """
        runner, emitter = self.runner, cast("_Emitter", self.runner.emitter)
        completed, batches = runner.iter, 0
        if emitter.is_open("train"):
            completed = runner.trainer.state.iteration + emitter.ahead[1]
        if emitter.is_open("train_epoch"):
            batches = completed - emitter.epoch_start
        return training_state(runner.message_hub, epoch=runner.epoch, iter=completed, batches=batches)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, at the trainer's next `run`, or in one that has come to its handlers of STARTED.

        If the trainer was loaded, too, the counters are the trainer's.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        emitter = cast("_Emitter", self.runner.emitter)
        if emitter.is_open("train") and not emitter.is_starting:
            raise LoopError("the training has begun already: call load_state_dict() before trainer.run()")
        self.runner.load_state_dict(state_dict)
        emitter.were_loaded, emitter.loaded_batches = True, state_dict.get("batches", 0)
        if emitter.is_starting:  # the hub has what identifies the saved run, and lacks the stage
            for hook in emitter.dispatcher.hooks:
                if isinstance(hook, RuntimeInfoHook):
                    hook.before_train(self.runner)

    def outputs_of(self, output: Any) -> dict[str, Any] | None:
        """Return what to publish of an iteration's output: without its graph, by name. Say once what is left out.

        Of a list with a mapping for each sample, as MONAI makes it by default, that is what all samples agree on: the
        loss of the batch is in each. A name in which samples have differed once is left out from then on.

        Raises:
            RunnerError: If the transform returned what cannot be published.

        Source: SCALAR-04, SCALAR-05.
        """
        transform = self.output_transform
        value = output if transform is None else transform(output)
        if is_scalar(value):
            return {"loss": detached(value)}
        if isinstance(value, Mapping):
            return {name: detached(each) for name, each in cast("Mapping[str, Any]", value).items()}
        if value is None:
            return None
        if _has_mappings(value):
            return self._common_values(value)
        if transform is not None:
            raise RunnerError(
                "output_transform must return a mapping from names to values, a list of such mappings, a scalar, or "
                f"None, but returned {describe(value)}: return {{'loss': loss}}, for example",
                requirement="SCALAR-04",
            )
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"the trainer's output is not published: it is {describe(value)}, and neither a mapping nor a scalar. "
                "Give attach() an output_transform that makes {'loss': loss} of it, for example, or None [SCALAR-05]",
                SkippedOutputWarning,
                stacklevel=2,
            )
        return None

    def _common_values(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the scalars in which all samples agree."""
        known, values = self._of_samples, dict[str, Any]()
        new: list[str] = []
        for name in dict.fromkeys(name for sample in samples for name in sample):
            if name in known:
                continue
            first, *others = (sample.get(name) for sample in samples)
            if is_scalar(first) and all(_is_same(first, other) for other in others):
                values[name] = detached(first)
            else:
                new.append(name)
        if new:
            known.update(new)
            warnings.warn(
                f"{', '.join(map(repr, new))} of the trainer's output: not published, now or later. The output has a "
                "mapping for each sample, and only scalars are published in which all samples agree. Give attach() an "
                "output_transform that makes {'loss': loss} of it, for example [SCALAR-05]",
                SkippedOutputWarning,
                stacklevel=3,
            )
        return values


def attach(
    trainer: Engine,
    *,
    optimizer: Any = None,
    evaluators: Evaluators | None = None,
    output_transform: OutputTransform | None = None,
    **options: Unpack[RunOptions],
) -> RuntimeInfoCallback:
    """Make a trainer that was built already publish through this protocol. `detach` takes all of it back.

    Args:
        trainer: The engine that trains.
        optimizer: As for `RuntimeInfoCallback`.
        evaluators: As for `RuntimeInfoCallback.attach`.
        output_transform: As for `RuntimeInfoCallback`.
        options: The run options, as for `RuntimeInfoCallback`.

    Returns:
        The callback, attached.

    Raises:
        RunnerError: As for `RuntimeInfoCallback.attach`.
        TypeError, HookError, LoopError: As for `RuntimeInfoCallback`.

    Source: LIFE-01, FAIL-01.
    """
    callback = RuntimeInfoCallback(optimizer=optimizer, output_transform=output_transform, **options)
    return callback.attach(trainer, evaluators)


def detach(trainer: Engine) -> None:
    """Take back what `attach` has done to a trainer and its evaluators; do nothing if it is not attached.

    Args:
        trainer: The trainer. Of an evaluator, only what was done to it is taken back.

    Source: LIFE-01.
    """
    for listener in [wrapped.adapter for wrapped in wrapped_methods(trainer, "run")]:
        if isinstance(listener, _Listener):
            listener.refer_to(trainer)
            (listener.callback if isinstance(listener, _TrainerListener) else listener).detach()


def _roles_of(trainer: Engine, evaluators: Evaluators | None) -> dict[Engine, tuple[Role, ...]]:
    """Return the evaluators with the roles of each, 'val' before 'test', once all engines were checked."""
    check_target(trainer, Engine, "an engine of Ignite", _PRIVATE)
    if evaluators is not None and not isinstance(evaluators, Mapping):
        raise RunnerError(
            f"evaluators must map 'val' and 'test' to engines, but is {describe(evaluators)}: pass "
            "{'val': evaluator}, for example"
        )
    given = dict(evaluators or {})
    roles: dict[Engine, tuple[Role, ...]] = {}
    for role in cast("tuple[Role, ...]", ("val", "test")):
        value: Any = given.pop(role, ())
        engines = list(cast("Iterable[Any]", value)) if isinstance(value, Iterable) else [value]
        for engine in engines:
            if not isinstance(engine, Engine) or engine is trainer:
                found = "the trainer itself" if engine is trainer else describe(engine)
                raise RunnerError(
                    f"evaluators[{role!r}] must be an engine other than the trainer, or several, but is {found}: "
                    "pass the engine that evaluates"
                )
            check_target(engine, Engine, "an engine of Ignite", _PRIVATE)
            roles[engine] = (*roles.get(engine, ()), role)
    if given:
        raise RunnerError(
            f"evaluators has the role {next(iter(given))!r}; the roles are 'val' and 'test': give "
            "the engine one of these"
        )
    return roles


def _owner(handler: Any) -> Any:
    """Return the object that a handler is a method of, also while one of Ignite's profilers has wrapped it."""
    while hasattr(handler, "__wrapped__"):
        handler = handler.__wrapped__
    return getattr(handler, "__self__", None)


def _has_mappings(value: object) -> TypeGuard[Sequence[Mapping[str, Any]]]:
    """Return whether a value is a list or tuple of mappings alone."""
    if not isinstance(value, list | tuple):
        return False
    samples = cast("Sequence[Any]", value)
    return bool(samples) and all(isinstance(each, Mapping) for each in samples)


def _is_same(value: Any, other: Any) -> bool:
    """Return whether two values are the same scalar, without waiting for an accelerator; a NaN is the same as a NaN."""
    if value is other:
        return True
    if not is_scalar(other) or lies_on_device(value) or lies_on_device(other):
        return False
    numbers: tuple[float, float] = float(value), float(other)
    return numbers[0] == numbers[1] or all(map(math.isnan, numbers))


def _is_paused(engine: Any) -> bool:
    """Return whether `Engine.interrupt` has suspended a run that the next `Engine.run` continues."""
    generator, state = engine._internal_run_generator, engine.state
    # One that has failed has no frame; without an end, Ignite drops it and begins again.
    is_suspended = generator is not None and generator.gi_frame is not None
    return is_suspended and not (state.max_epochs is None and state.max_iters is None)


def _is_at_start(state: Any) -> bool:
    return not (state.epoch or state.iteration)


def _batches_done(engine: Any) -> int | None:
    """Return how many batches of the epoch that begins are done, by Ignite's own count; None if it does not know."""
    state, start = engine.state, cast("int | None", engine._init_iter)
    if engine._dataloader_iter is not None:  # this is not the run's first epoch, or it was given its data already
        return start or 0
    if start is not None and not isinstance(engine, DeterministicEngine):  # the last run was terminated
        return start
    return state.iteration % state.epoch_length if state.epoch_length else None


def _warn_of_finished_training() -> None:
    warnings.warn(
        "the training that was loaded had come to its end, and Ignite begins a new one, from the first epoch: the "
        "loaded counters and histories are not used. To go on with it, give run() a larger max_epochs or max_iters",
        ResumeWarning,
        stacklevel=2,
    )


def _warn_of_repeated_data(engine: Any) -> None:
    """Warn that an epoch continues with the first batch of its data, where that is certain."""
    from torch.utils.data import DataLoader  # Ignite has loaded it

    loader: Any = engine.state.dataloader
    restarts = isinstance(loader, DataLoader) and not hasattr(cast("Any", loader), "state_dict")
    if restarts and not isinstance(engine, DeterministicEngine):
        warnings.warn(
            f"Ignite goes on inside epoch {engine.state.epoch}, but begins with the first batch of its DataLoader "
            "again: some items come twice in this epoch, others not at all. Save between two epochs, or use a "
            "DeterministicEngine, seeded as in the first process, with a DataLoader that has workers",
            ResumeWarning,
            stacklevel=2,
        )
