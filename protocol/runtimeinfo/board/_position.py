"""Where a training is, as a board tells it."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """Where a training is, all of one moment. None where it is not known.

    Attributes:
        loop_stage: ``"train"``, ``"val"``, ``"test"``, or None outside of them.
        epoch: Completed epochs.
        iter: Completed iterations.
        max_epochs: How many epochs there will be.
        max_iters: How many iterations there will be.
    """

    loop_stage: str | None
    epoch: int | None
    iter: int | None
    max_epochs: int | None
    max_iters: int | None
