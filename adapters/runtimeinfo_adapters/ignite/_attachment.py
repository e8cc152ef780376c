"""An engine that is listened to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from ignite.engine import Events

from runtimeinfo import use_hub
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters.ignite._runner import IgniteRunner


class Attachment:
    """An engine that is listened to: its run is wrapped, and it has our handlers.

    A subclass has a method for each event, by its name in lower case, which is given the engine's state.

    Args:
        engine: The engine.
        runner: What publishes through the protocol.
        publisher: Where its events go.

    Source: LIFE-02, LIFE-05, LIFE-15, FAIL-01 to FAIL-06.
    """

    last: frozenset[str] = frozenset({"ITERATION_STARTED"})
    """The events at which ours comes after all other handlers; elsewhere it comes before them."""

    events: tuple[str, ...] = (
        "STARTED",
        "EPOCH_STARTED",
        "ITERATION_STARTED",
        "ITERATION_COMPLETED",
        "EPOCH_COMPLETED",
        "COMPLETED",
    )

    def __init__(self, engine: Any, runner: IgniteRunner, publisher: Publisher) -> None:
        self.engine = engine
        self.runner = runner
        self.publisher = publisher
        self.is_silent = False
        self._is_attached = True
        self._handlers = {event: self._handler(event) for event in self.events}
        self._own: Any = self._attributes.get("run")
        self._run = engine.run
        self._guarded = self._guard(engine.run)
        for event, handler in self._handlers.items():
            engine.add_event_handler(getattr(Events, event), handler)
        engine.run = self._guarded

    def detach(self) -> None:
        """Take the handlers out, and unwrap the run; the second time does nothing."""
        if not self._is_attached:
            return
        self._is_attached = False
        for event, handler in self._handlers.items():
            self.engine.remove_event_handler(handler, getattr(Events, event))
        if self._attributes.get("run") is not self._guarded:
            self.is_silent = True  # somebody has wrapped it again, and holds on to ours
        elif self._own is None:
            del self._attributes["run"]
        else:
            self.engine.run = self._own

    @property
    def _attributes(self) -> dict[str, Any]:
        return cast("dict[str, Any]", vars(self.engine))

    def is_open(self, scope: str) -> bool:
        """Tell whether a scope is open."""
        return self.publisher.lifecycle.is_open(scope)

    def begin(self) -> None:
        """Prepare for a run."""

    def close(self, outside: int) -> None:
        """Close what a run that ends normally has left open."""
        raise NotImplementedError

    def end(self) -> None:
        """Note that a run has ended, however it did."""

    def _guard(self, run: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(run)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.is_silent or self.is_open("val") or self.is_open("test"):
                return self._run_silently(*args, **kwargs)
            self._arrange()
            self.begin()
            outside = len(self.publisher.lifecycle.open_scopes)
            with use_hub(self.runner.message_hub):
                try:
                    if not outside:
                        self.publisher.emit("before_run")
                    state = run(*args, **kwargs)
                    self.close(outside)
                except BaseException as error:
                    self.publisher.abort(error, keep=outside)
                    raise
                finally:
                    self.end()
            return state

        guarded.__dict__["attachment"] = self
        return guarded

    def _run_silently(self, *args: Any, **kwargs: Any) -> Any:
        """Run an evaluator inside another one: nothing nests there, and the outer one goes on."""
        before, self.is_silent = self.is_silent, True
        try:
            return self._run(*args, **kwargs)
        finally:
            self.is_silent = before

    def _handler(self, event: str) -> Callable[[Any], None]:
        method = getattr(self, event.lower())

        def handle(engine: Any) -> None:
            if not self.is_silent:
                method(engine.state)

        return handle

    def _arrange(self) -> None:
        """Put the handlers into their places: some may have been registered since."""
        for event, handler in self._handlers.items():
            kind = getattr(Events, event)
            self.engine.remove_event_handler(handler, kind)
            self.engine.add_event_handler(kind, handler)
            if event not in self.last:
                # Ignite has no public way to come first.
                handlers = self.engine._event_handlers[kind]
                handlers.insert(0, handlers.pop())


def attachment_of(engine: Any) -> Attachment | None:
    """Return how an engine is listened to now, or None if it is not."""
    return cast("Attachment | None", getattr(engine.run, "attachment", None))
