"""The way of an event: out of a framework's callback, through the table of the lifecycle, to the hooks."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, cast

from runtimeinfo._dispatcher import Dispatcher
from runtimeinfo._errors import RunnerError
from runtimeinfo._hook import Event
from runtimeinfo._runtime_info_hook import RuntimeInfoHook
from runtimeinfo._scalar import describe
from runtimeinfo.spec._grammar import ABORT, CLOSES, GRAMMAR, HOOK_POINTS, OPENS
from runtimeinfo.spec._lifecycle import Lifecycle, Origin

_logger = logging.getLogger("runtimeinfo")

# The events that open an iteration, and those that close one, each with its scope.
_BEGINS = {event: scope for event, scope in OPENS.items() if "batch_idx" in HOOK_POINTS[event]}
_ENDS = {event: scope for event, scope in CLOSES.items() if "batch_idx" in HOOK_POINTS[event]}
# The scope whose iterations an event begins to number.
_NUMBERED = {f"before_{outside}": scope for scope in _BEGINS.values() for outside in GRAMMAR[scope].inside}
# The argument of an event that must be a mapping, and the requirement that it is for.
_MAPPINGS = {
    "after_train_iter": ("outputs", "SCALAR-04"),
    "after_val_epoch": ("metrics", "SCALAR-06"),
    "after_test_epoch": ("metrics", "SCALAR-09"),
}


class EvaluationEvents(NamedTuple):
    """The events of a validation or a test, in their order."""

    before: Event
    before_epoch: Event
    before_iter: Event
    after_iter: Event
    after_epoch: Event
    after: Event


EVALUATION_EVENTS: Mapping[Literal["val", "test"], EvaluationEvents] = {
    "val": EvaluationEvents(
        "before_val", "before_val_epoch", "before_val_iter", "after_val_iter", "after_val_epoch", "after_val"
    ),
    "test": EvaluationEvents(
        "before_test", "before_test_epoch", "before_test_iter", "after_test_iter", "after_test_epoch", "after_test"
    ),
}
"""The events of a validation and of a test, for an adapter that treats both alike."""


class _Batch:
    """The batch of the iteration that is open, or the number of the last one."""

    __slots__ = ("data", "idx")

    def __init__(self) -> None:
        self.idx: int = -1
        self.data: Any = None

    def __reduce__(self) -> tuple[type[_Batch], tuple[()]]:
        return _Batch, ()  # a copy is outside of any iteration


class Emitter:
    """Takes a framework's events, makes a legal stream of them, calls the hooks, and counts.

    Which scopes are open, the stage, the counters and the number of the batch are kept here, and nowhere else.

    Args:
        runner: What the hooks get as their runner.
        hooks: The hooks; a `RuntimeInfoHook` runs before all others of its priority, and is added if none is given.

    Attributes:
        dispatcher: What calls the hooks.
        lifecycle: Where the run is.
        epoch: Completed epochs. An adapter sets it where a training is resumed.
        iter: Completed iterations. An adapter sets it where a training is resumed.
        resumed_at: The batch of the next epoch with which a training that is resumed inside it begins, otherwise 0. An
            adapter sets it before ``before_train``; the end of an epoch sets it to 0.
        epoch_start: The iteration with which the open epoch began, or the next one begins.
        epoch_length: Batches of the open epoch as far as they are known, otherwise infinity. An adapter sets it when it
            knows the loader.
        is_longer_than_told: Whether an epoch of this training had more batches than its loader had said.

    Raises:
        HookError: If one of the hooks cannot be registered.

    Example:
        >>> class Print:
        ...     def before_train_iter(self, runner, batch_idx, data_batch=None):
        ...         print(batch_idx, data_batch)
        >>> from types import SimpleNamespace
        >>> emitter = Emitter(SimpleNamespace(), [Print()])
        >>> emitter.dispatcher.hooks[0].priority, emitter.epoch, emitter.iter
        ('VERY_HIGH', 0, 0)

    Source: LIFE-01, LIFE-05, COUNT-01 to COUNT-04, FAIL-02 to FAIL-05.
    """

    def __init__(self, runner: object, hooks: Iterable[object] = ()) -> None:
        given = tuple(hooks)
        own = tuple(hook for hook in given if isinstance(hook, RuntimeInfoHook)) or (RuntimeInfoHook(),)
        others = tuple(hook for hook in given if not isinstance(hook, RuntimeInfoHook))
        self.dispatcher: Dispatcher = Dispatcher((*own, *others))
        self.lifecycle: Lifecycle = Lifecycle()
        self.epoch: int = 0
        self.iter: int = 0
        self.resumed_at: int = 0
        self.epoch_start: int = 0
        self.epoch_length: float = math.inf
        self.is_longer_than_told: bool = False
        self._runner = runner
        batches = {scope: _Batch() for scope in _BEGINS.values()}
        self._train_batch = batches["train_iter"]
        self._begins = {event: batches[scope] for event, scope in _BEGINS.items()}
        self._ends = {event: batches[scope] for event, scope in _ENDS.items()}
        self._announced: BaseException | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run: the one that is under way goes on with the original. It has the counters.
        return {**vars(self), "lifecycle": Lifecycle(), "_announced": None}

    @property
    def stage(self) -> str | None:
        """The stage of the innermost scope that has one, or None."""
        return self.lifecycle.position.stage

    def is_open(self, scope: str) -> bool:
        """Tell whether a scope is open."""
        return scope in self.lifecycle.position.open_scopes

    def emit(
        self,
        event: Event,
        *,
        batch_idx: int | None = None,
        data_batch: Any = None,
        outputs: Any = None,
        metrics: Mapping[str, Any] | None = None,
        checkpoint: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Publish an event of the framework, after the events that the framework left out.

        Args:
            event: The event.
            batch_idx: The number of the batch in its epoch, from 0; if left out, the next one.
            data_batch: The batch. The event that closes the iteration gets it from the one that opened it.
            outputs: What the iteration has returned.
            metrics: The metrics of a validation or a test.
            checkpoint: The checkpoint.
            exception: The exception, for ``on_exception``.

        Raises:
            RunnerError: If outputs or metrics are not a mapping; nothing has moved.
            LifecycleError: If there is no such event.

        Source: LIFE-01.
        """
        begun = self._begins.get(event)
        ended = None if begun is not None else self._ends.get(event)
        if begun is None and ended is None:
            self._emit_outside(event, metrics=metrics, checkpoint=checkpoint, exception=exception)
            return
        if outputs is not None and ended is self._train_batch and type(outputs) is not dict:
            # Before anything moves: a hook must not miss an event because its arguments are wrong.
            _check_mapping(event, outputs)
        after = self.lifecycle.position.after.get(event)
        if after is None:  # which is rare
            after = self._make_legal(event)
            if after is None:
                return
        self.lifecycle.position = after
        self._announced = None
        runner = self._runner
        methods = self.dispatcher.methods[event]
        if begun is not None:
            idx = begun.idx = begun.idx + 1 if batch_idx is None else batch_idx
            begun.data = data_batch
            if idx >= self.epoch_length and begun is self._train_batch:
                self._note_longer_epoch()
            for method in methods:
                method(runner, batch_idx=idx, data_batch=data_batch)
        elif ended is not None:
            idx, data_batch, ended.data = ended.idx, ended.data, None  # do not keep the data alive
            for method in methods:
                method(runner, batch_idx=idx, data_batch=data_batch, outputs=outputs)
            if ended is self._train_batch:
                self.count(event)

    def count(self, event: str) -> None:
        """Count the normal end of an iteration or an epoch, after every hook has heard of it.

        Override it where a framework closes what it has not completed.

        Source: COUNT-01 to COUNT-04, FAIL-04.
        """
        if event == "after_train_iter":
            self.iter += 1
        elif event == "after_train_epoch":
            self.epoch += 1

    def abort(self, exception: BaseException, keep: int = 0) -> None:
        """End abnormally all scopes but the outermost `keep`, because an exception leaves them.

        The exception that is under way has the right of way: what a hook raises meanwhile is logged with its
        traceback, and every other hook hears of every close all the same. Only another interrupt comes out, once
        they have. Nothing is counted.

        Source: FAIL-01 to FAIL-05.
        """
        steps = self.lifecycle.abort(keep, announce=not self._was_announced(exception))
        if steps:  # an exception that ends no scope yet is announced by the abort that does
            self._announced = exception
        interrupts: list[BaseException] = []
        for event, _ in steps:
            for error in self.dispatcher.dispatch_to_all(event, self._runner, **self._arguments(event, exception)):
                if isinstance(error, Exception):
                    message = "a hook failed at %s, while the run was ending with %r"
                    _logger.error(message, event, exception, exc_info=error)
                else:
                    interrupts.append(error)  # raised below: a second Ctrl-C leaves no scope open either
        if not self.lifecycle.open_scopes:
            self._announced = None  # do not keep the traceback's frames alive
        if interrupts:
            raise interrupts[0]

    def _was_announced(self, exception: BaseException) -> bool:
        """Tell whether an exception was announced, be it before Python made a RuntimeError of it (PEP 479)."""
        announced = self._announced
        if announced is exception:
            return True
        return isinstance(announced, StopIteration) and exception.__cause__ is announced

    def forget_handled(self) -> None:
        """Let go of an announced exception that was handled.

        Its traceback holds the frames that it left, with all iterators in their variables.
        """
        if self._announced is not None and sys.exception() is None:
            self._announced = None

    def scope(self, scope: str) -> ScopeGuard:
        """Frame a scope: it opens and closes with the ``with`` block, however that is left.

        Source: LIFE-05, FAIL-01 to FAIL-03.
        """
        return ScopeGuard(self, scope)

    def guard(self) -> ScopeGuard:
        """Frame a call of the framework: an exception that leaves it closes the scopes opened inside.

        Source: FAIL-01 to FAIL-03.
        """
        return ScopeGuard(self, None)

    def _emit_outside(self, event: Event, **given: Any) -> None:
        """Publish an event that is not of an iteration."""
        named = {name: value for name, value in given.items() if name in HOOK_POINTS.get(event, ())}
        if event in _MAPPINGS and named["metrics"] is not None:
            _check_mapping(event, named["metrics"])
        if event == ABORT:
            self.abort(given["exception"])
            return
        after = self.lifecycle.position.after.get(event) or self._make_legal(event)
        if after is None:
            return
        self.lifecycle.position = after
        self._announced = None
        if event in _NUMBERED:
            self._begins[f"before_{_NUMBERED[event]}"].idx = -1
        if event == "before_train":
            self.is_longer_than_told = False
            self.epoch_start = self.iter - self.resumed_at
        elif event == "before_train_epoch":
            self.epoch_start = self.iter - self.resumed_at
            self._train_batch.idx = self.resumed_at - 1
        self.dispatcher.dispatch(event, self._runner, **named)
        if event == "after_train_epoch":
            self.count(event)
            self._end_epoch()

    def _end_epoch(self) -> None:
        self.resumed_at = 0
        self.epoch_start = self.iter
        self.epoch_length = math.inf

    def _note_longer_epoch(self) -> None:
        """Withdraw the total: the loader has more batches than it said."""
        self.epoch_length = math.inf
        self.is_longer_than_told = True
        publish_totals = getattr(self._runner, "publish_totals", None)
        if publish_totals is not None:
            publish_totals()

    def _make_legal(self, event: str) -> Any:
        """Publish the events that the framework left out, and return the next position, or None if nothing is open."""
        lifecycle = self.lifecycle
        steps = lifecycle.plan(event)
        for step, origin in steps:
            if step not in lifecycle.position.after:
                lifecycle.advance(step)  # raises: a hook has emitted events of its own meanwhile
            if origin is not Origin.RAW:
                self.emit(cast("Event", step))
        return lifecycle.position.after[event] if steps else None

    def _arguments(self, event: str, exception: BaseException) -> dict[str, Any]:
        """Return the arguments of an event of an abnormal end: the open iteration's, without results."""
        arguments: dict[str, Any] = dict.fromkeys(HOOK_POINTS[event])
        if event == ABORT:
            arguments["exception"] = exception
        elif event in self._ends:
            batch = self._ends[event]
            arguments["batch_idx"], arguments["data_batch"], batch.data = batch.idx, batch.data, None
        return arguments


class ScopeGuard:
    """Frame code of a framework or a user: when it is left, however, close in order the scopes that it opened.

    Args:
        emitter: Where the events go.
        scope: The scope that opens and closes with the ``with`` block; None for none.

    Source: LIFE-05, FAIL-01 to FAIL-03.
    """

    __slots__ = ("_emitter", "_outside", "_scope")

    def __init__(self, emitter: Emitter, scope: str | None) -> None:
        self._emitter = emitter
        self._scope = scope
        self._outside = 0

    def __enter__(self) -> Self:
        self._outside = len(self._emitter.lifecycle.open_scopes)
        if self._scope is not None:
            self._emit(f"before_{self._scope}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not closes_generator(error):  # which is a way of returning
            self._emitter.abort(error, keep=self._outside)
        elif self._scope is not None:
            self._emit(f"after_{self._scope}")

    def _emit(self, event: str) -> None:
        try:
            self._emitter.emit(cast("Event", event))
        except BaseException as error:
            self._emitter.abort(error, keep=self._outside)
            raise


# The flags of code that can be suspended: of generators, coroutines and asynchronous generators. `inspect` names them,
# and takes long to import.
_SUSPENDABLE = 0x20 | 0x80 | 0x200


def closes_generator(error: BaseException) -> bool:
    """Tell whether a generator is closed before its end, rather than left by a GeneratorExit that some code has raised.

    Python throws it in where the generator waits, so that nothing was called from there. To close a generator is a way
    of returning; a GeneratorExit of a hook, or of user code, is an exception like any other.

    Args:
        error: The exception that has left the code of the generator.

    Example:
        >>> def wait():
        ...     try:
        ...         yield
        ...     except BaseException as error:
        ...         print(closes_generator(error))
        >>> waiting = wait()
        >>> next(waiting)
        >>> waiting.close()
        True

    Source: FAIL-01, FAIL-02.
    """
    if not isinstance(error, GeneratorExit):
        return False
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is None or bool(traceback.tb_frame.f_code.co_flags & _SUSPENDABLE)


def _check_mapping(event: str, value: Any) -> None:
    if not hasattr(value, "items"):
        argument, requirement = _MAPPINGS[event]
        raise RunnerError(
            f"{event} must be given {argument} as a mapping from names to values, or None, but got {describe(value)}: "
            f"for example {argument}={{'loss': loss}}",
            requirement=requirement,
        )
