"""Counters for an adapter whose framework has no honest ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Completed epochs and iterations, for an adapter whose framework has no honest ones.

    Source: COUNT-01 to COUNT-04, FAIL-04.
    """

    epoch: int = 0
    iter: int = 0

    def count(self, event: str) -> None:
        """Count an event of a normal end, after everybody has heard of it."""
        if event == "after_train_iter":
            self.iter += 1
        elif event == "after_train_epoch":
            self.epoch += 1
