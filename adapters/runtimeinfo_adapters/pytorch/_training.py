"""The training part of an instrumented loop: what is open of it, and how that closes."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from runtimeinfo import LoopError
from runtimeinfo.authoring import is_scalar, scalar_value
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._publisher import Publisher


class Training:
    """What is open of the training, and how it closes.

    A ``for`` statement that is left by `break` or `return` tells its iterator nothing. It does let go of it, so
    the iterators are held weakly: one that is gone was left. What it had open closes at the next call.

    Source: LIFE-03 to LIFE-05, LIFE-08.
    """

    def __init__(self, publisher: Publisher, counters: Counters) -> None:
        self.publisher: Publisher = publisher
        self.counters: Counters = counters
        self.batches_done: int = 0  # of this epoch
        self.batches_to_skip: int = 0  # of this epoch, since the run that was resumed has had them
        self.evaluation: object = None  # the one that was entered last
        self._pass_is_over = False  # of this epoch
        self._ending: str | None = None  # the scope whose close the hooks are hearing of, not counted yet
        self._outputs: dict[str, Any] = {}
        self._epochs: weakref.ref[object] | None = None
        self._batches: weakref.ref[object] | None = None
        self._batches_own_the_epoch = False

    def is_open(self, scope: str) -> bool:
        """Tell whether a scope is open."""
        return self.publisher.lifecycle.is_open(scope)

    @property
    def open_evaluation(self) -> str | None:
        """The stage of the validation or test that is open, or None."""
        if self.is_open("val"):
            return "val"
        return "test" if self.is_open("test") else None

    def check_running(self, method: str) -> None:
        """Raise unless a run is open, and neither a validation nor a test is."""
        if not self.is_open("run"):
            raise LoopError(f"{method}() belongs inside `with loop.run():`")
        stage = self.open_evaluation
        if stage is not None:
            metrics = f"; its metrics go into `{stage}.metrics(...)` of `with loop.{stage}() as {stage}`"
            raise LoopError(
                f"{method}() cannot be used inside a {stage}: leave `with loop.{stage}()` first"
                f"{metrics if method == 'log' else ''}"
            )

    def settle(self) -> None:
        """Close what was left by `break` or `return` since the last call.

        Not for a hook, which hears of that very close; nor inside an evaluation, which would be closed with it.
        """
        if self._ending is not None or self.open_evaluation is not None:
            return
        self.publisher.forget_handled()
        if self._batches is not None and self._batches() is None:
            self.end_pass()
        if self._epochs is not None and self._epochs() is None:
            self._epochs = None
            self.end()

    def end(self) -> None:
        """Close the training, if it is open."""
        self.end_epoch()
        if self.is_open("train"):
            self.publisher.emit("after_train")
        self._epochs = None

    def forget(self) -> None:
        """Let go of what belonged to a run that is over."""
        self._epochs = self._batches = None
        self._batches_own_the_epoch = self._pass_is_over = False
        self._outputs.clear()
        # Should the same loop run again after an exception, it goes on where it stopped.
        self.batches_to_skip = max(self.batches_to_skip, self.batches_done)

    # -- epochs

    def enter_epochs(self, iterator: object) -> None:
        """Begin the training, with an iterator over its epochs."""
        if self._epochs is not None:
            raise LoopError("epochs() is running already; leave the first for statement before you start another")
        self._epochs = weakref.ref(iterator)
        if not self.is_open("train"):
            self.publisher.emit("before_train")

    def begin_epoch(self) -> None:
        """Open an epoch."""
        self.batches_done = 0
        self._pass_is_over = False
        self.publisher.emit("before_train_epoch")

    def end_epoch(self) -> None:
        """Close the epoch, if one is open."""
        self.end_iteration()
        self._batches = None
        if self.is_open("train_epoch"):
            self._emit_end("train_epoch")
            self.batches_done = self.batches_to_skip = 0

    # -- passes over the loader

    def enter_pass(self, iterator: object) -> None:
        """Begin a pass over the loader."""
        if self._batches is not None:  # somebody holds the last pass still, but this one takes its place
            self.end_pass()
        self._batches_own_the_epoch = not self.is_open("train_epoch")
        if self._batches_own_the_epoch:
            if not self.is_open("train"):
                self.publisher.emit("before_train")
            self.begin_epoch()
        self._batches = weakref.ref(iterator)
        self._pass_is_over = False

    def is_current(self, iterator: object) -> bool:
        """Tell whether an iterator is the one under way, over epochs or over batches."""
        return any(held is not None and held() is iterator for held in (self._epochs, self._batches))

    def end_pass(self) -> None:
        """Close a pass that has come to its end, or was left."""
        self.end_iteration()
        self._batches = None
        self._pass_is_over = True
        if self._batches_own_the_epoch:
            self.end_epoch()

    # -- iterations

    def begin_iteration(self, batch: Any) -> None:
        """Open an iteration."""
        self.publisher.emit("before_train_iter", batch_idx=self.batches_done, data_batch=batch)

    def log(self, values: Mapping[str, Any]) -> None:
        """Add to what the iteration hands out when it closes."""
        self.settle()
        if not self.is_open("train_iter"):
            raise LoopError("log() belongs inside an iteration: inside `for batch in loop.train()`")
        twice = [name for name in values if name in self._outputs]
        if twice:
            raise LoopError(f"{twice[0]!r} was logged already in this iteration: log it once, or under another name")
        self._outputs.update(values)

    def end_iteration(self) -> None:
        """Close the iteration, if one is open."""
        if self.is_open("train_iter"):
            outputs, self._outputs = self._outputs, {}
            self._emit_end("train_iter", outputs=outputs or None)
            self.batches_done += 1

    def _emit_end(self, scope: str, **arguments: Any) -> None:
        self._ending = scope
        try:
            self.publisher.emit(f"after_{scope}", **arguments)
        finally:
            self._ending = None

    # -- state

    def progress(self) -> tuple[int, int, int]:
        """Return the epoch, the iteration, and the batch of the epoch with which a resumed run has to begin.

        An iteration that is open counts as done, since a checkpoint is saved when its step has been made.
        An epoch counts as done once its pass over the loader is over. So does either for a hook that saves
        when it ends.
        """
        self.settle()
        inside = self.is_open("train_iter") or self._ending == "train_iter"
        completed = self.counters.iter + inside
        if self._ending == "train_epoch" or (self._pass_is_over and self.is_open("train_epoch")):
            return self.counters.epoch + 1, completed, 0
        return self.counters.epoch, completed, max(self.batches_done + inside, self.batches_to_skip)

    def unpublished_outputs(self) -> dict[str, int | float]:
        """Return the scalars that the open iteration has handed out: a state that counts it as done has to have them.

        Source: RESUME-02.
        """
        return {name: scalar_value(value) for name, value in self._outputs.items() if is_scalar(value)}
