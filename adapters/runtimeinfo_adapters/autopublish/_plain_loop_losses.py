"""The loss of each step of an inferred training, as far as the backwards let it be known."""

from __future__ import annotations

from typing import Any

from runtimeinfo_adapters.autopublish._plain_loop_run import InferredRun


class Losses:
    """Counts the backwards of each step, and publishes the loss where it is the only one.

    Attributes:
        before: The number of backwards since the last step, and before the next one.
        within: The number of those that a step itself has made, by its closure.
        loss: The loss of the step, if it is the only one: of the first call of the closure, or of the backward.
        is_known: Whether each step had one loss so far. Once it had several, no loss is published any more.
    """

    __slots__ = ("_has_taken", "before", "is_known", "loss", "within")

    def __init__(self) -> None:
        self.before = self.within = 0
        self.loss: Any = None
        self.is_known = True
        self._has_taken = False

    def note_backward_within(self, loss: Any) -> None:
        """Note a backward that a step has called, and its loss, None where it is not known."""
        if not self.within:
            self.loss = loss
        self.within += 1

    def take(self, run: InferredRun | None) -> None:
        """Publish the loss of a step, or withdraw the losses if it has none or several."""
        # One backward before the first step does not tell that there will be one before each: gradients might be added
        # up from there on. The backward of a closure is of its step.
        is_sure = self._has_taken or self.within
        self._has_taken = True
        is_only = self.before == 1 if not self.within else not self.before
        loss = self.loss if is_only else None
        self.before = self.within = 0
        self.loss = None
        if loss is None:
            self.withdraw(run)
        elif is_sure and self.is_known and run is not None:
            run.publish_loss(loss)

    def begin_again(self) -> None:
        """Look from this step on whether each step has one loss."""
        self.is_known, self._has_taken = True, False

    def withdraw(self, run: InferredRun | None) -> None:
        """Publish no loss any more, because a step has several, or because it is not known of which step it is."""
        self.is_known = False
        if run is not None:
            run.withdraw_loss()
