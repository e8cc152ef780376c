"""The one way by which adapters turn a framework's events into the protocol's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

from runtimeinfo import RunnerError, RuntimeInfoHook
from runtimeinfo.authoring import Dispatcher, SupportsSharing, describe
from runtimeinfo.spec import ABORT, CLOSES, GRAMMAR, HOOK_POINTS, OPENS, Lifecycle, Origin
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters.sharing import SharingHook

_logger = logging.getLogger("runtimeinfo")

# The scope of each event of an iteration.
_ITERATIONS = {event: scope for event, scope in (OPENS | CLOSES).items() if "batch_idx" in HOOK_POINTS[event]}
# The scope whose iterations an event begins to number.
_NUMBERED = {f"before_{outside}": scope for scope in _ITERATIONS.values() for outside in GRAMMAR[scope].inside}
# The argument of an event that has to be a mapping, and the requirement that it is for.
_MAPPINGS = {
    "after_train_iter": ("outputs", "SCALAR-04"),
    "after_val_epoch": ("metrics", "SCALAR-06"),
    "after_test_epoch": ("metrics", "SCALAR-09"),
}


class Publisher:
    """Takes a framework's events, makes a legal stream of them, and calls the hooks.

    Args:
        runner: What the hooks get as their runner.
        hooks: The hooks; a `RuntimeInfoHook` is added if there is none among them, and a `SharingHook` where the
            runner's hub cannot share itself.
        counters: Counters to keep up, for an adapter that owns them.

    Raises:
        HookError: If one of the hooks cannot be registered.

    Source: LIFE-01, LIFE-05, FAIL-02 to FAIL-05.
    """

    def __init__(self, runner: object, hooks: Iterable[object] = (), counters: Counters | None = None) -> None:
        given = tuple(hooks)
        own = tuple(hook for hook in given if isinstance(hook, RuntimeInfoHook)) or (RuntimeInfoHook(),)
        others = tuple(hook for hook in given if not isinstance(hook, RuntimeInfoHook))
        shares = isinstance(getattr(runner, "message_hub", None), SupportsSharing)
        sharing = () if shares else (SharingHook(),)
        self.dispatcher: Dispatcher = Dispatcher((*own, *sharing, *others))
        self.lifecycle: Lifecycle = Lifecycle()
        self._runner = runner
        self._counters = counters
        # For each kind of iteration: the batch_idx and data_batch of the open one, or of the last one.
        self._batch: dict[str, tuple[int, Any]] = {}
        self._announced: BaseException | None = None

    def emit(self, event: str, **arguments: Any) -> None:
        """Publish an event of the framework, and before it what the framework left out.

        Args:
            event: The event.
            arguments: Its arguments, as in `HOOK_POINTS`. The close of an iteration gets its batch from the open.

        Raises:
            RunnerError: If outputs or metrics are no mapping.

        Source: LIFE-01.
        """
        if event in _MAPPINGS:
            # Before anything moves: a hook shall not miss an event because its arguments are wrong.
            _check_mapping(event, arguments)
        if event == ABORT:
            self.abort(arguments["exception"])
        elif self.lifecycle.try_advance(event):  # which is so nearly always
            self._dispatch(event, arguments)
        else:
            for event_now, origin in self.lifecycle.plan(event):
                self.lifecycle.advance(event_now)
                self._dispatch(event_now, arguments if origin is Origin.RAW else {})

    def _dispatch(self, event: str, arguments: dict[str, Any]) -> None:
        self._announced = None
        self.dispatcher.dispatch(event, self._runner, **self._complete(event, arguments))
        if self._counters is not None:
            self._counters.count(event)

    def abort(self, exception: BaseException, keep: int = 0) -> None:
        """End abnormally all scopes but the outermost `keep`, since an exception leaves them.

        The exception that is under way has the right of way: what a hook raises meanwhile is logged with its
        traceback, and every other hook hears of every close all the same. Only another interrupt comes out, once
        they have. Nothing is counted.

        Source: FAIL-01 to FAIL-05.
        """
        steps = self.lifecycle.abort(keep, announce=self._announced is not exception)
        if steps:  # an exception that ends no scope yet is announced by the abort that does
            self._announced = exception
        interrupts: list[BaseException] = []
        for event, origin in steps:
            given = {"exception": exception} if origin is Origin.RAW else {}
            for error in self.dispatcher.dispatch_to_all(event, self._runner, **self._complete(event, given)):
                if isinstance(error, Exception):
                    message = "a hook failed at %s, while the run was ending with %r"
                    _logger.error(message, event, exception, exc_info=error)
                else:
                    interrupts.append(error)  # raised below: a second Ctrl-C leaves no scope open either
        if not self.lifecycle.open_scopes:
            self._announced = None  # do not keep the traceback's frames alive
        if interrupts:
            raise interrupts[0]

    def forget_handled(self) -> None:
        """Let go of an announced exception that somebody has handled.

        Its traceback holds the frames that it left, with all iterators in their variables.
        """
        if self._announced is not None and sys.exception() is None:
            self._announced = None

    def _complete(self, event: str, given: dict[str, Any]) -> dict[str, Any]:
        """Return all arguments of an event: those given, and what is known of the others."""
        iteration = _ITERATIONS.get(event)
        if iteration is not None:
            return self._with_batch(event, iteration, given)
        if event in _MAPPINGS:
            return {"metrics": given.get("metrics")}
        if event in _NUMBERED:
            self._batch.pop(_NUMBERED[event], None)
        return given

    def _with_batch(self, event: str, scope: str, given: dict[str, Any]) -> dict[str, Any]:
        if event in OPENS:
            last, _ = self._batch.get(scope, (-1, None))
            batch = given.get("batch_idx", last + 1), given.get("data_batch")
            self._batch[scope] = batch
            return {"batch_idx": batch[0], "data_batch": batch[1]}
        batch_idx, data_batch = self._batch[scope]
        self._batch[scope] = (batch_idx, None)  # do not keep the data alive
        return {"batch_idx": batch_idx, "data_batch": data_batch, "outputs": given.get("outputs")}


def _check_mapping(event: str, arguments: dict[str, Any]) -> None:
    argument, requirement = _MAPPINGS[event]
    value = arguments.get(argument)
    if value is not None and not hasattr(value, "items"):
        raise RunnerError(
            f"{event} must be given {argument} as a mapping from names to values, or None, but got {describe(value)}: "
            f"pass {argument}={{'loss': loss}}, say",
            requirement=requirement,
        )
