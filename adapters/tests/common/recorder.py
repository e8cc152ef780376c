"""The hook by which tests of every adapter observe a run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runtimeinfo.authoring import on_any_event, resolve_hub
from runtimeinfo.spec import CLOSES, FREE_EVENTS, OPENS, Lifecycle

_SHORT = {"train_epoch": "epoch", "val_epoch": "epoch", "test_epoch": "epoch"} | dict.fromkeys(
    ("train_iter", "val_iter", "test_iter"), "iter"
)


@dataclass(frozen=True, slots=True)
class Note:
    """One event, with the state of the runner and its hub at that moment."""

    event: str
    arguments: dict[str, Any] = field(repr=False)
    epoch: int
    iter: int
    max_iters: int | None
    hub_stage: str | None
    hub_epoch: int | None
    hub_iter: int | None
    raising: BaseException | None
    is_stopped: bool


@on_any_event(by="note")
class Recorder:
    """Record each event, and check at once that it is legal and that the hub agrees with the runner.

    ``raises`` holds exceptions to raise, once each, and ``actions`` functions to call with the runner, both by event.
    Set ``is_hub_current`` to False where an adapter cannot make its hub the current one.
    """

    def __init__(self, priority: str = "LOWEST", **actions: Callable[[Any], object]) -> None:
        self.priority = priority
        self.actions = actions
        self.raises: dict[str, BaseException] = {}
        self.notes: list[Note] = []
        self.lifecycle = Lifecycle()
        self.fault: Exception | None = None
        self.hub: Any = None
        self.is_hub_current = True
        self.thread = threading.get_ident()

    def __deepcopy__(self, _memo: object) -> Recorder:
        """Return an empty recorder: a copied trainer starts its own run."""
        return Recorder(self.priority, **self.actions)

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        self.hub = hub = runner.message_hub
        stage, epoch, completed = (hub.get_info(key) for key in ("loop_stage", "epoch", "iter"))
        counters = runner.epoch, runner.iter, runner.max_iters
        is_stopped = getattr(runner, "stopped_by", None) is not None
        self.notes.append(Note(event, arguments, *counters, stage, epoch, completed, sys.exception(), is_stopped))
        try:
            self.check(event, runner)
        except Exception as error:
            self.fault = self.fault or error  # a test may expect, or a framework may handle, an exception of this class
            raise
        if event in self.raises:
            raise self.raises.pop(event)
        if event in self.actions:
            self.actions[event](runner)

    def check(self, event: str, runner: Any) -> None:
        self.lifecycle.advance(event)
        note = self.notes[-1]
        assert note.hub_stage == self.lifecycle.stage or self.lifecycle.aborting, note
        # At before_run the hub may hold the counters of an earlier run, and at a checkpoint it may lag.
        if event != "before_run" and event not in FREE_EVENTS:
            published = note.hub_epoch, note.hub_iter
            is_unpublished = published == (None, None) and not self.lifecycle.is_open("train")
            assert published == (note.epoch, note.iter) or is_unpublished, note
        assert not self.is_hub_current or resolve_hub() is self.hub, note
        assert threading.get_ident() == self.thread, note

    @property
    def events(self) -> list[str]:
        return [note.event for note in self.notes]

    @property
    def scope_events(self) -> list[str]:
        """The events without those of checkpoints, which may come anywhere."""
        return [event for event in self.events if event not in FREE_EVENTS]

    @property
    def summary(self) -> list[tuple[str, int, int]]:
        """The event, epoch and iter of each note."""
        return [(note.event, note.epoch, note.iter) for note in self.notes]

    def count(self, *events: str) -> list[int]:
        """Return how often each of these events came."""
        return [self.events.count(event) for event in events]

    def of(self, event: str) -> list[Note]:
        return [note for note in self.notes if note.event == event]

    def counters(self, event: str) -> list[tuple[int, int]]:
        """Return (epoch, iter) of the runner at each occurrence of an event."""
        return [(note.epoch, note.iter) for note in self.of(event)]

    def totals(self, event: str) -> list[int | None]:
        """Return the runner's max_iters at each occurrence of an event."""
        return [note.max_iters for note in self.of(event)]

    def given(self, event: str, argument: str) -> list[Any]:
        """Return an argument of an event, for each occurrence."""
        return [note.arguments[argument] for note in self.of(event)]

    @property
    def is_closed(self) -> bool:
        return self.lifecycle.open_scopes == ()

    def judge(self) -> None:
        """Require that no check failed, and that no scope was left open."""
        assert self.fault is None
        assert self.is_closed, self.events

    @property
    def story(self) -> str:
        """The events, as in ``run(train(epoch(iter()iter())))``; ``!`` is on_exception."""
        words = []
        for event in self.events:
            if event in OPENS:
                words.append(f"{_SHORT.get(OPENS[event], OPENS[event])}(")
            elif event in CLOSES:
                words.append(")")
            elif event == "on_exception":
                words.append("!")
        return "".join(words)
