"""What a sink writes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

POSITION = ("iter", "epoch", "loop_stage", "time")
"""The names of what each row has, before its scalars."""


@dataclass(frozen=True, slots=True)
class Row:
    """Scalars that were updated, and where the training was.

    Attributes:
        iter: The hub's iter.
        epoch: The hub's epoch.
        loop_stage: The hub's stage.
        time: When the row was made, in seconds since 1970, to the millisecond.
        scalars: The values by the hub's keys. None of them is older than the row before.
    """

    iter: int | None
    epoch: int | None
    loop_stage: str | None
    time: float
    scalars: dict[str, int | float] = field(default_factory=dict[str, int | float])

    def cells(self) -> dict[str, Any]:
        """Return everything by its name; a scalar that is called as the position is ``scalar/<key>``.

        Example:
            >>> Row(7, 1, "train", 0.5, {"train/loss": 0.25, "iter": 3}).cells()
            {'iter': 7, 'epoch': 1, 'loop_stage': 'train', 'time': 0.5, 'train/loss': 0.25, 'scalar/iter': 3}
        """
        cells: dict[str, Any] = {name: getattr(self, name) for name in POSITION}
        for key, value in self.scalars.items():
            cells[f"scalar/{key}" if key in POSITION else key] = value
        return cells
