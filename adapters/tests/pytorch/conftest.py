from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from runtimeinfo.spec import ABORT, CLOSES, HOOK_POINTS, OPENS, Lifecycle
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop

SHORT = {"train_epoch": "epoch", "val_epoch": "epoch", "test_epoch": "epoch"} | dict.fromkeys(
    ("train_iter", "val_iter", "test_iter"), "iter"
)


@dataclass
class Note:
    """One event, and what could be seen at it."""

    event: str
    arguments: dict[str, Any]
    epoch: int
    iter: int
    hub_stage: str | None
    hub_epoch: int | None
    hub_iter: int | None
    raising: BaseException | None
    is_stopped: bool


class Recorder:
    """A hook that notes every event."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.hub: Any = None

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        self.hub = hub = runner.message_hub
        stage, epoch, completed = (hub.get_info(key) for key in ("loop_stage", "epoch", "iter"))
        raising, is_stopped = sys.exception(), runner.stopped_by is not None
        self.notes.append(
            Note(event, arguments, runner.epoch, runner.iter, stage, epoch, completed, raising, is_stopped)
        )

    def of(self, event: str) -> list[Note]:
        return [note for note in self.notes if note.event == event]

    def arguments(self, event: str, name: str) -> list[Any]:
        return [note.arguments[name] for note in self.of(event)]

    @property
    def story(self) -> str:
        """The events, as in ``run(train(epoch(iter()iter())))``; ``!`` is on_exception."""
        words = []
        for note in self.notes:
            if note.event in OPENS:
                scope = OPENS[note.event]
                words.append(f"{SHORT.get(scope, scope)}(")
            elif note.event in CLOSES:
                words.append(")")
            elif note.event == ABORT:
                words.append("!")
        return "".join(words)

    def judge(self) -> None:
        """Check all that holds for every stream."""
        strict = Lifecycle()
        trained, published, batch_idx = False, False, {}
        completed, epochs = (self.notes[0].iter, self.notes[0].epoch) if self.notes else (0, 0)
        before = announced = None
        for note in self.notes:
            strict.advance(note.event)
            assert note.hub_stage == strict.stage, note
            trained = trained or note.event == "before_train"
            published = published or trained or note.event in {"before_val", "before_test", "after_run"}
            if published:
                assert (note.hub_epoch, note.hub_iter) == (note.epoch, note.iter), note
            if strict.open_scopes == ("run", note.event.removeprefix("before_")):  # a state may have been loaded
                assert (note.iter, note.epoch) >= (completed, epochs), note
                completed, epochs = note.iter, note.epoch
            if note.event == ABORT:  # a hook may have failed at the very event that was going to count
                completed -= before == "after_train_iter" and note.iter < completed
                epochs -= before == "after_train_epoch" and note.epoch < epochs
            if before == "after_train_epoch" and note.is_stopped:  # it has batches left, and does not count
                epochs -= note.epoch < epochs
            before = note.event
            assert (note.iter, note.epoch) == (completed, epochs), note
            announced = note.arguments.get("exception", announced)
            # Once an exception is handled, the scopes outside of it close normally.
            if not (strict.aborting and note.raising is announced):
                completed += note.event == "after_train_iter"
                epochs += note.event == "after_train_epoch"
            else:
                assert not note.arguments.get("outputs"), note
                assert not note.arguments.get("metrics"), note
            scope = note.event.partition("_")[2]
            if note.event in {"before_train_epoch", "before_val_epoch", "before_test_epoch"}:
                batch_idx[scope.replace("epoch", "iter")] = None
            elif scope.endswith("_iter"):
                last, index = batch_idx[scope], note.arguments["batch_idx"]
                if note.event in CLOSES:
                    assert index == last, note
                elif last is not None:
                    assert index == last + 1, note
                batch_idx[scope] = index
        assert strict.open_scopes == ()
        if self.hub is not None:
            assert self.hub.get_info("loop_stage") is None


def _noting(event: str) -> Callable[..., None]:
    def method(self: Recorder, runner: Any, **arguments: Any) -> None:
        self.note(event, runner, arguments)

    return method


for _event in HOOK_POINTS:
    setattr(Recorder, _event, _noting(_event))


class Boom(Exception):  # noqa: N818
    """The user's own."""


class RaiseAt:
    """A hook that raises at the n-th occurrence of an event."""

    priority = "LOW"

    def __init__(self, event: str, error: BaseException, occurrence: int = 1) -> None:
        self.left = occurrence
        self.error = error

        def raise_it(runner: Any, **arguments: Any) -> None:
            self.left -= 1
            if self.left == 0:
                raise self.error

        setattr(self, event, raise_it)


def make_optimizer(lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr)


class Bench:
    """Makes loops with a recorder each; every stream is judged when the test is over."""

    Boom = Boom
    RaiseAt = RaiseAt
    optimizer = staticmethod(make_optimizer)

    def __init__(self) -> None:
        self.recorders: list[Recorder] = []

    def __call__(self, batches: Any = 2, *, optimizer: Any = ..., hooks: tuple[object, ...] = (), **more: Any) -> Any:
        recorder = Recorder()
        self.recorders.append(recorder)
        loader = list("abcdefghij"[:batches]) if isinstance(batches, int) else batches
        optimizer = make_optimizer() if optimizer is ... else optimizer
        loop: Loop[Any] = Loop(optimizer, loader, hooks=(recorder, *hooks), **more)
        loop.told = recorder  # type: ignore[attr-defined]
        return loop


@pytest.fixture
def make() -> Iterator[Bench]:
    """Make a loop over a number of batches, or a loader; ``loop.told`` has what the hooks were told."""
    bench = Bench()
    yield bench
    for recorder in bench.recorders:
        recorder.judge()


@pytest.fixture
def hub() -> MessageHub:
    return MessageHub("tests")
