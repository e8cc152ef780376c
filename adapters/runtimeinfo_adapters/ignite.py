"""The adapter for PyTorch-Ignite: a trainer, and the evaluators that belong to it.

    from runtimeinfo_adapters.ignite import attach

    attach(trainer, optimizer=optimizer, evaluators={"val": evaluator})
    trainer.run(loader, max_epochs=3)

All engines of Ignite are alike, so you say which is which; an engine that is not named is not listened to. An evaluator
can run anywhere: in a handler of the trainer, in its step, or on its own.

The values come from `engine.state`: its `output` after an iteration (a mapping as it is, a scalar as ``loss``, anything
else by an `output_transform`), and of its `metrics` those that this validation has computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Unpack, cast

from runtimeinfo import LoopError, MessageHub, RunnerError
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    Emitter,
    LearningRates,
    TrainDataLoader,
    describe,
    detached,
    is_scalar,
    length_of,
    training_state,
    with_dataset,
)
from runtimeinfo_adapters._adapter import (
    FrameworkRunner,
    RunOptions,
    Target,
    check_target,
    remove_wrappers,
    wrap_method,
    wrapped_methods,
)
from runtimeinfo_adapters._framework import load_framework

__all__ = ["IgniteRunner", "RuntimeInfoCallback", "attach", "detach"]

_ignite = load_framework("ignite")

if TYPE_CHECKING:
    from ignite.engine import Engine, Events
else:
    Engine, Events = _ignite.engine.Engine, _ignite.engine.Events

Role = Literal["val", "test"]
Evaluators = Mapping[Role, "Engine | Iterable[Engine]"]
OutputTransform = Callable[[Any], Any]

# The handlers by event. Ignite has no public way to come first, and its way to come last inspects signatures, each of
# which takes longer than an iteration.
_PRIVATE = ("_event_handlers",)


class _Emitter(Emitter):
    """Does not count a terminated iteration, nor an epoch that is only paused."""

    was_completed = False  # the iteration that closes: Ignite said so
    is_pausing = False  # `Engine.interrupt` suspends the run, and the next `run` goes on in the same epoch
    were_loaded = False  # the counters

    def count(self, event: str) -> None:
        if event == "after_train_iter":
            if self.was_completed:
                self.was_completed = False
                self.iter += 1
        elif not self.is_pausing:
            self.epoch += 1


class IgniteRunner(FrameworkRunner):
    """Satisfies `runtimeinfo.TrainRunner` with a trainer of Ignite.

    The totals are those at the start of the training: an epoch's length that turns out later was not known then.

    Args:
        optimizer: One optimizer, several by name, or None.
        options: The run options. If left out, the seed is that of the trainer's state, which a `DeterministicEngine`
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
        """Take from the trainer how long the training is going to be, as far as that is known."""
        state = self.trainer.state
        if state.max_iters is not None:  # max_epochs can be there as well, worked out from it
            self.max_epochs, self.max_iters = None, state.max_iters
            return
        # `Engine.set_data` does not look how long the data are.
        length = length_of(state.dataloader) if state.epoch_length is None else state.epoch_length
        self.max_epochs = state.max_epochs
        self.max_iters = None if length is None or self.max_epochs is None else length * self.max_epochs


class _Listener:
    """Listens to one engine: wraps its `run`, and has handlers among its handlers while it runs.

    A subclass has a method for each event, by its name in lower case. The handlers do not take the engine: Ignite would
    keep a weak reference to it beside them, which can neither be pickled nor goes over to a copy of the engine.

    Args:
        callback: What it listens for.
        engine: The engine, which is held weakly.

    Source: LIFE-02, LIFE-05, LIFE-15, FAIL-01 to FAIL-06.
    """

    events: ClassVar[tuple[str, ...]] = (
        "STARTED",
        "EPOCH_STARTED",
        "ITERATION_STARTED",
        "ITERATION_COMPLETED",
        "EPOCH_COMPLETED",
        "COMPLETED",
    )
    last: ClassVar[frozenset[str]] = frozenset({"ITERATION_STARTED"})
    """The events at which the handler comes after all others; elsewhere it comes before them."""

    def __init__(self, callback: RuntimeInfoCallback, engine: Engine) -> None:
        self.callback = callback
        self._runner = callback.runner
        self._emitter = cast("_Emitter", callback.runner.emitter)
        self.refer_to(engine)
        # The engine while it runs, and is listened to. An event that is fired by hand at another time is not one.
        self._engine: Any = None
        self._is_attached = True
        wrap_method(engine, "run", self._run)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_engine": None}  # a copy is outside of any run

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

    def _begin(self) -> None:
        """Prepare for a run."""

    def _close(self) -> None:
        """Close what a run that ends normally has left open."""

    def _end(self, engine: Engine) -> None:
        """Note that a run has ended, however it did."""

    def _run(self, engine: Engine, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        emitter = self._emitter
        if not self._is_attached:
            return original(*args, **kwargs)
        if emitter.is_open("val") or emitter.is_open("test"):
            # An evaluator inside another one: nothing nests there, and the outer one goes on.
            outside, self._engine = self._engine, None
            try:
                return original(*args, **kwargs)
            finally:
                self._engine = outside
        self.refer_to(engine)
        try:
            self._begin()
            with self._runner.running():
                self._enter(engine)
                state = original(*args, **kwargs)
                self._close()
            return state
        finally:
            self._leave(engine)
            self._end(engine)

    def _enter(self, engine: Any) -> None:
        """Put the handlers into their places: others can have been registered since the last run."""
        self._leave(engine)  # a copy that was made during a run has them already
        self._engine = engine
        for name in self.events:
            registered = engine._event_handlers[getattr(Events, name)]
            place = len(registered) if name in self.last else 0
            registered.insert(place, (getattr(self, name.lower()), (), {}))

    def _leave(self, engine: Any) -> None:
        """Take the handlers out."""
        self._engine = None
        handlers = engine._event_handlers
        for name in self.events:
            event, own = getattr(Events, name), getattr(self, name.lower())
            # In a new list, as Ignite does it: a handler that detaches is called from the old one.
            handlers[event] = [each for each in handlers[event] if each[0] != own]
            if not handlers[event]:
                del handlers[event]


class _TrainerListener(_Listener):
    """Listens to the engine that trains.

    Source: LIFE-03, LIFE-04, COUNT-01 to COUNT-04, RESUME-01, RESUME-03.
    """

    events = (*_Listener.events, "INTERRUPT")

    def __init__(self, callback: RuntimeInfoCallback, engine: Engine) -> None:
        super().__init__(callback, engine)
        # Epoch and iteration at which the last run ended, in Ignite's counting.
        self._left: tuple[int, int] | None = None
        self._batches = self._batches_to_skip = 0  # of this epoch: done, and done before it was resumed
        self._is_in_iteration = False
        self._was_interrupted = False

    def refer_to(self, engine: Engine) -> None:
        super().refer_to(engine)
        self._runner.connect(engine)

    def _begin(self) -> None:
        self._is_in_iteration = self._was_interrupted = False

    def _close(self) -> None:
        self._emitter.is_pausing = self._was_interrupted

    def _end(self, engine: Any) -> None:
        self._emitter.is_pausing = False
        self._left = engine.state.epoch, engine.state.iteration

    def started(self) -> None:
        """Open the training, with the counters of the trainer unless it goes on where it was left."""
        if self._engine is None:
            return
        state, emitter = self._engine.state, self._emitter
        if emitter.were_loaded and state.iteration != emitter.iter:
            pass  # the trainer was not loaded with it, and counts from elsewhere
        elif emitter.were_loaded or self._left != (state.epoch, state.iteration):
            emitter.epoch, emitter.iter = state.epoch, state.iteration
            self._batches_to_skip = state.iteration % state.epoch_length if state.epoch_length else 0
        emitter.were_loaded = False
        self._runner.read_seed()
        self._runner.read_totals()
        emitter.emit("before_train")

    def epoch_started(self) -> None:
        if self._engine is not None:
            self._batches, self._batches_to_skip = self._batches_to_skip, 0
            self._emitter.emit("before_train_epoch")

    def iteration_started(self) -> None:
        engine = self._engine
        if engine is not None:
            emitter = self._emitter
            emitter.was_completed = False
            self._is_in_iteration = True
            emitter.emit("before_train_iter", batch_idx=self._batches, data_batch=engine.state.batch)

    def iteration_completed(self) -> None:
        engine = self._engine
        if engine is not None:
            if not self._is_in_iteration:  # it was interrupted as it began
                self.iteration_started()
            outputs = _outputs(engine.state.output, self.callback.output_transform)
            self._batches += 1
            self._is_in_iteration = False
            emitter = self._emitter
            emitter.was_completed = True
            emitter.emit("after_train_iter", outputs=outputs)

    def epoch_completed(self) -> None:
        if self._engine is not None:
            if not self._emitter.is_open("train_epoch"):  # it was interrupted at its last iteration
                self._emitter.emit("before_train_epoch")
            self._emitter.emit("after_train_epoch")

    def completed(self) -> None:
        """Close the training, and an epoch that was terminated: for it there is no EPOCH_COMPLETED."""
        if self._engine is not None:
            self._emitter.emit("after_train")

    def interrupt(self) -> None:
        """Note that the run only pauses."""
        self._was_interrupted = True


class _EvaluatorListener(_Listener):
    """Listens to an engine that validates or tests.

    Args:
        callback: What it listens for.
        engine: The engine, which is held weakly.
        roles: What it does: the first while the trainer runs, the last on its own.

    Source: STAGE-02 to STAGE-05, SCALAR-06, SCALAR-09.
    """

    last = frozenset({"ITERATION_STARTED", "EPOCH_COMPLETED"})

    def __init__(self, callback: RuntimeInfoCallback, engine: Engine, roles: tuple[Role, ...]) -> None:
        super().__init__(callback, engine)
        self._roles = roles
        self._events = EVALUATION_EVENTS[roles[0]]
        self._written: set[str] = set()  # the metrics of the epoch
        # During a run: the metrics of the engine's state, and what stands in their place.
        self._metrics: dict[str, Any] = {}
        self._noted: _NotedMetrics | None = None

    def _begin(self) -> None:
        self._runner.read_seed()
        self._events = EVALUATION_EVENTS[self._roles[0 if self._emitter.is_open("run") else -1]]

    def _close(self) -> None:
        self._emitter.emit(self._events.after)  # a terminated run has no EPOCH_COMPLETED

    def _enter(self, engine: Any) -> None:
        super()._enter(engine)
        self._note_metrics(engine.state)

    def _leave(self, engine: Any) -> None:
        super()._leave(engine)
        self._restore_metrics(engine.state)

    def started(self) -> None:
        if self._engine is not None:
            self._emitter.emit(self._events.before)

    def epoch_started(self) -> None:
        """Open the epoch, and begin to note the metrics."""
        if self._engine is not None:
            self._written.clear()
            if self._engine.state.metrics is not self._noted:  # they were replaced
                self._note_metrics(self._engine.state)
            self._emitter.emit(self._events.before_epoch)

    def iteration_started(self) -> None:
        if self._engine is not None:
            self._emitter.emit(self._events.before_iter, data_batch=self._engine.state.batch)

    def iteration_completed(self) -> None:
        if self._engine is not None:
            self._emitter.emit(self._events.after_iter, outputs=self._engine.state.output)

    def epoch_completed(self) -> None:
        """Close the epoch, with the metrics that were computed in it."""
        if self._engine is not None:
            metrics = self._engine.state.metrics
            names = self._written if metrics is self._noted else metrics
            new = {name: detached(value) for name, value in metrics.items() if name in names}
            self._emitter.emit(self._events.after_epoch, metrics=new)

    def completed(self) -> None:
        if self._engine is not None:
            self._emitter.emit(self._events.after)

    def _note_metrics(self, state: Any) -> None:
        self._metrics = state.metrics
        self._noted = state.metrics = _NotedMetrics(state.metrics)
        self._noted.written = self._written

    def _restore_metrics(self, state: Any) -> None:
        """Put the dict back that the engine had, with what was written since: other code can hold on to it."""
        noted, self._noted = self._noted, None
        if noted is not None and state.metrics is noted:
            self._metrics.clear()
            self._metrics.update(noted)
            state.metrics = self._metrics
        self._metrics = {}


class _NotedMetrics(dict[str, Any]):
    """The metrics of an engine's state, with the names of those that were written: the others are of an earlier run.

    To compare with the values before would not do: a metric can well come out the same.
    """

    written: set[str]

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        made = super().__new__(cls)
        made.written = set()  # here: a copy is filled before its attributes are set
        return made

    def __setitem__(self, name: str, value: Any) -> None:
        self.written.add(name)
        super().__setitem__(name, value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]


class RuntimeInfoCallback:
    """Makes a trainer and its evaluators publish through this protocol.

    `Engine.run` of each is wrapped: whatever leaves it closes all scopes. No handler of EXCEPTION_RAISED is
    registered, because one that returns would swallow the exception.

    While an engine runs, the handlers stand before those of the user, so that these find what the event publishes. Two
    come after them: ITERATION_STARTED, where Ignite's schedulers set the rate of that very iteration and handlers
    prepare its batch; and EPOCH_COMPLETED of an evaluator, where its metrics are computed. An event that is fired
    outside of a run is not published.

    It can be saved and loaded by a `Checkpoint`, among its `to_save`. Save the trainer, too. A copy of it alone belongs
    to no engine; a copy of the trainer has its own.

    Args:
        optimizer: One optimizer, several by name, or None.
        output_transform: Makes of `engine.state.output` a mapping from names to values, a scalar (``loss``), or
            None for nothing.
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

    def __init__(
        self, *, optimizer: Any = None, output_transform: OutputTransform | None = None, **options: Unpack[RunOptions]
    ) -> None:
        self.runner: IgniteRunner = IgniteRunner(optimizer=optimizer, **options)
        self.output_transform: OutputTransform | None = output_transform
        self._listeners: list[_Listener] = []

    @property
    def message_hub(self) -> MessageHub:
        """The hub."""
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
        self._listeners = [
            _TrainerListener(self, trainer),
            *(_EvaluatorListener(self, engine, roles[engine]) for engine in roles),
        ]
        return self

    def detach(self) -> None:
        """Listen no longer: the engines are as they were."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included.

        Inside an iteration this iteration counts as done, as it does in the trainer's own state.

        Source: RESUME-01, RESUME-02.
        """
        runner = self.runner
        return training_state(
            runner.message_hub, epoch=runner.epoch, iter=runner.iter + runner.emitter.is_open("train_iter")
        )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, at the trainer's next `run`.

        If the trainer was loaded from the same checkpoint, the epoch is the one that it goes on in.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        emitter = cast("_Emitter", self.runner.emitter)
        if emitter.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before trainer.run()")
        self.runner.load_state_dict(state_dict)
        emitter.were_loaded = True


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


def _outputs(output: Any, transform: OutputTransform | None) -> dict[str, Any] | None:
    """Return what to publish of an iteration's output: without its graph, by name.

    Raises:
        RunnerError: If the transform returned what cannot be published.

    Source: SCALAR-04.
    """
    value = output if transform is None else transform(output)
    if is_scalar(value):
        return {"loss": detached(value)}
    if isinstance(value, Mapping):
        return {name: detached(each) for name, each in cast("Mapping[str, Any]", value).items()}
    if transform is not None and value is not None:
        raise RunnerError(
            "output_transform must return a mapping from names to values, a scalar, or None, "
            f"but returned {describe(value)}: return {{'loss': loss}}, for example",
            requirement="SCALAR-04",
        )
    return None
