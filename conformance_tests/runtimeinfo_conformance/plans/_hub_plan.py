"""A plan for a hub: operations, said in data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

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

INFO_VALUES: tuple[Any, ...] = (0, 7, -1.5, "train", None, True, [1, 2], {"classes": ["cat"], "n": 2}, (1, "a"))


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
