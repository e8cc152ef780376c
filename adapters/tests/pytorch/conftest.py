from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from recorder import Recorder

from runtimeinfo.spec import ABORT, CLOSES, Lifecycle
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop


class JudgedRecorder(Recorder):
    """Check the stream once a test is over, because its rules depend on later events."""

    def check(self, event: str, runner: Any) -> None:
        """Check the grammar only. The rest takes the whole stream."""
        self.lifecycle.advance(event)

    def judge(self) -> None:
        """Check the counters, the stages and the batch indices of the stream."""
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
        super().judge()
        if self.hub is not None:
            assert self.hub.get_info("loop_stage") is None


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
        self.recorders: list[JudgedRecorder] = []

    def __call__(self, batches: Any = 2, *, optimizer: Any = ..., hooks: tuple[object, ...] = (), **more: Any) -> Any:
        recorder = JudgedRecorder("NORMAL")
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
