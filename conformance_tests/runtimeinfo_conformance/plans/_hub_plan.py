"""A plan for a hub: operations, said in data, and the model that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from runtimeinfo_conformance.plans._short_repr import ShortRepr

HubOpName = Literal[
    "update_info",
    "update_info_dict",
    "pop_info",
    "update_scalar",
    "update_scalars",
    "refuse_scalar",
    "flip_resumed",
    "reload",
    "load_damaged",
]

# A key that begins with "here" is published with resumed=False.
INFO_KEYS = ("epoch", "loop_stage", "val/matrix", "here/path")
SCALAR_KEYS = ("train/loss", "val/κ", "here/time")

INFO_VALUES = (0, 7, -1.5, "train", None, True, [1, 2], {"classes": ["cat"], "n": 2}, (1, "a"))


def is_resumed(key: str) -> bool:
    """Tell whether the kit publishes a key as resumable."""
    return not key.startswith("here")


@dataclass(frozen=True, repr=False)
class HubOp(ShortRepr):
    """One operation.

    Attributes:
        name: Which one.
        key: On which key.
        value: The info, or the kind of the scalar.
        turn: Which value of that kind; or which field of a state is lost, or which key's flag is changed.
        count: The scalar's count.
    """

    name: HubOpName
    key: str = "epoch"
    value: Any = None
    turn: int = 0
    count: int = 1


@dataclass(frozen=True, repr=False)
class HubPlan(ShortRepr):
    """Operations, one after the other."""

    ops: tuple[HubOp, ...] = ()


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
