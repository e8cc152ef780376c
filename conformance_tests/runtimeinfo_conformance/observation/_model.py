"""The model of a run: its position in the grammar and its completed work. It also follows illegal events."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from runtimeinfo.spec import CLOSES, START, Lifecycle, Origin, Position


class RunModel:
    """Follow the events of a run, and count its completed iterations and epochs.

    Args:
        epoch: The completed epochs at the start.
        iter: The completed iterations at the start.

    Attributes:
        position: The position in the grammar.
        aborting: Whether the last event belongs to an abnormal end.
        epoch: The completed epochs.
        iter: The completed iterations.

    Example:
        >>> model = RunModel()
        >>> model.advance("before_run"), model.position
        (None, <Position: run>)
        >>> model.advance("before_train_iter").objection
        "it must come directly inside 'train_epoch', but the innermost open scope is 'run'"
        >>> model.position
        <Position: run > train > train_epoch > train_iter>

    Source: LIFE-01, COUNT-01 to COUNT-04, FAIL-04.
    """

    __slots__ = ("aborting", "epoch", "iter", "position")

    def __init__(self, epoch: int = 0, iter: int = 0) -> None:
        self.position: Position = START
        self.aborting: bool = False
        self.epoch: int = epoch
        self.iter: int = iter

    def reset(self) -> None:
        """Return to the position before a run, with no completed iterations and epochs."""
        self.position = START
        self.aborting = False
        self.epoch = self.iter = 0

    def advance(self, event: str) -> Correction | None:
        """Advance by an event.

        Returns:
            None if the event is legal, otherwise the correction that the model applied.
        """
        position = self.position
        if event in position.after:
            self.move(event, position.after[event])
            return None
        correction = correct(position, event)
        self.move(event, correction.after)
        return correction

    def move(self, event: str, after: Position) -> None:
        """Move to the position to which an event leads."""
        # The last close of an abnormal end leads to a position that is not aborting, but belongs to that end.
        self.aborting = after.aborting or (self.aborting and event in CLOSES)
        self.position = after

    def count(self, event: str) -> None:
        """Count a normal end of an iteration or epoch."""
        if event == "after_train_iter":
            self.iter += 1
        elif event == "after_train_epoch":
            self.epoch += 1


class Correction(NamedTuple):
    """The way past an illegal event.

    Attributes:
        objection: The reason why the event is illegal.
        left_open: The open scopes whose close the event skips.
        after: The position to which it leads.
    """

    objection: str | None
    left_open: tuple[str, ...]
    after: Position


@cache  # bounded, because there are finitely many positions and events
def correct(position: Position, event: str) -> Correction:
    """Return the way past an event that is illegal at a position, by inserting the missing events before it.

    Source: LIFE-05.
    """
    lifecycle = Lifecycle()
    lifecycle.position = position
    objection = lifecycle.objection(event)
    missing = {step.event for step in lifecycle.feed(event) if step.origin is Origin.SYNTHESIZED}
    left_open = tuple(scope for scope in position.open_scopes if f"after_{scope}" in missing)
    return Correction(objection, left_open, lifecycle.position)
