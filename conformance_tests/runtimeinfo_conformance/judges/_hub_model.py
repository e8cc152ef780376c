"""The model that a hub is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtimeinfo_conformance.plans import is_resumed


@dataclass
class HubModel:
    """What a hub has to hold: two dictionaries, and nothing clever."""

    infos: dict[str, Any] = field(default_factory=dict[str, Any])
    scalars: dict[str, list[tuple[float, int]]] = field(default_factory=dict[str, list[tuple[float, int]]])

    def append(self, key: str, value: float, count: int) -> None:
        """Append to a scalar."""
        self.scalars.setdefault(key, []).append((value, count))

    def without_unresumed(self) -> HubModel:
        """Return what a reload brings back."""
        return HubModel(
            {key: value for key, value in self.infos.items() if is_resumed(key)},
            {key: list(values) for key, values in self.scalars.items() if is_resumed(key)},
        )

    def window(self, key: str, size: int | None) -> tuple[Any, Any]:
        """Return the last values of a scalar, and their counts."""
        entries = self.scalars[key] if size is None else self.scalars[key][-size:]
        return np.array([value for value, _ in entries], float), np.array([count for _, count in entries])
