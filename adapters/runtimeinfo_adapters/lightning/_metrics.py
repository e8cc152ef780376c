"""The metrics of one validation, out of a dictionary that holds those of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class NewMetrics:
    """Finds in ``trainer.callback_metrics`` what has come since the last look.

    It mixes the metrics of the training and of earlier validations with those of this one. But each time that
    Lightning computes a metric it makes a new tensor: what is the same object as before is old.

    Example:
        >>> old, new = [0.5], [0.5]
        >>> metrics = NewMetrics()
        >>> metrics.look({"acc": old, "train_loss": old})
        >>> metrics.take({"acc": new, "train_loss": old, "f1/dataloader_idx_1": new}, loader=1)
        {'acc': [0.5], 'f1': [0.5]}

    Source: SCALAR-06 to SCALAR-09.
    """

    def __init__(self) -> None:
        self._before: dict[str, Any] = {}

    def look(self, metrics: Mapping[str, Any]) -> None:
        """Note what there is."""
        self._before = dict(metrics)  # which keeps it alive: no new object gets the identity of an old one

    def take(self, metrics: Mapping[str, Any], loader: int) -> dict[str, Any]:
        """Return what is new, without the suffix that Lightning adds for a loader, and note it."""
        before, absent = self._before, object()
        new = {name: value for name, value in metrics.items() if before.get(name, absent) is not value}
        self.look(metrics)
        return {name.removesuffix(f"/dataloader_idx_{loader}"): value for name, value in new.items()}
