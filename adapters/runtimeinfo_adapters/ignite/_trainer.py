"""The engine that trains."""

from __future__ import annotations

from typing import Any

from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters.ignite._attachment import Attachment
from runtimeinfo_adapters.ignite._runner import IgniteRunner
from runtimeinfo_adapters.ignite._values import OutputTransform, outputs_of


class TrainerCounters(Counters):
    """Counters that a terminated iteration, and an epoch that is only paused, do not raise."""

    was_completed = False  # the iteration that closes: Ignite said so
    is_pausing = False  # `Engine.interrupt` suspends the run, and the next `run` goes on in the same epoch
    were_loaded = False

    def count(self, event: str) -> None:
        """Count an event of a normal end."""
        if event == "after_train_iter":
            if not self.was_completed:
                return
            self.was_completed = False
        elif self.is_pausing:
            return
        super().count(event)


class Trainer(Attachment):
    """The engine that trains.

    Args:
        runner: Its view.
        publisher: Where its events go.
        counters: What it has completed.
        output_transform: What to publish of an output.

    Source: LIFE-03, LIFE-04, COUNT-01 to COUNT-04, RESUME-01, RESUME-03.
    """

    events = (*Attachment.events, "INTERRUPT")

    def __init__(
        self,
        runner: IgniteRunner,
        publisher: Publisher,
        counters: TrainerCounters,
        output_transform: OutputTransform | None,
    ) -> None:
        super().__init__(runner.trainer, runner, publisher)
        self._counters = counters
        self._output_transform = output_transform
        # Epoch and iteration at which the last run ended, in Ignite's counting.
        self._left: tuple[int, int] | None = None
        self._batches = self._batches_to_skip = 0  # of this epoch: done, and done before it was resumed
        self._was_interrupted = False

    def begin(self) -> None:
        """Forget an interruption."""
        self._was_interrupted = False

    def close(self, outside: int) -> None:  # noqa: ARG002
        """Close what is left open; a run that was interrupted only pauses."""
        self._counters.is_pausing = self._was_interrupted
        self.publisher.emit("after_run")

    def end(self) -> None:
        """Note where the trainer stands."""
        self._counters.is_pausing = False
        state = self.engine.state
        self._left = state.epoch, state.iteration

    def started(self, state: Any) -> None:
        """Open the training, with the counters of the trainer unless it goes on where it was left."""
        counters = self._counters
        if counters.were_loaded and state.iteration != counters.iter:
            pass  # the trainer was not loaded with it, and counts from elsewhere
        elif counters.were_loaded or self._left != (state.epoch, state.iteration):
            counters.epoch, counters.iter = state.epoch, state.iteration
            self._batches_to_skip = state.iteration % state.epoch_length if state.epoch_length else 0
        counters.were_loaded = False
        self.runner.note_totals()
        self.publisher.emit("before_train")

    def epoch_started(self, state: Any) -> None:  # noqa: ARG002
        """Open an epoch."""
        self._batches, self._batches_to_skip = self._batches_to_skip, 0
        self.publisher.emit("before_train_epoch")

    def iteration_started(self, state: Any) -> None:
        """Open the iteration, with the batch as the handlers have prepared it."""
        self._counters.was_completed = False
        self.publisher.emit("before_train_iter", batch_idx=self._batches, data_batch=state.batch)

    def iteration_completed(self, state: Any) -> None:
        """Close the iteration, with its outputs."""
        if not self.is_open("train_iter"):  # it was interrupted as it began
            self.iteration_started(state)
        outputs = outputs_of(state.output, self._output_transform)
        self._batches += 1
        self._counters.was_completed = True
        self.publisher.emit("after_train_iter", outputs=outputs)

    def epoch_completed(self, state: Any) -> None:  # noqa: ARG002
        """Close the epoch."""
        if not self.is_open("train_epoch"):  # it was interrupted at its last iteration
            self.publisher.emit("before_train_epoch")
        self.publisher.emit("after_train_epoch")

    def completed(self, state: Any) -> None:  # noqa: ARG002
        """Close the training, and an epoch that was terminated: for it there is no EPOCH_COMPLETED."""
        self.publisher.emit("after_train")

    def interrupt(self, state: Any) -> None:  # noqa: ARG002
        """Note that the run only pauses."""
        self._was_interrupted = True
