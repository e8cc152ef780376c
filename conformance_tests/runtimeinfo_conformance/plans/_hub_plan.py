"""Plans for hubs: operations as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from runtimeinfo_conformance.plans._short_repr import ShortRepr

HubOpName = Literal[
    "update_info",
    "update_info_dict",
    "update_object",
    "pop_info",
    "update_scalar",
    "update_scalars",
    "pop_scalar",
    "drop_latest",
    "refuse_scalar",
    "refuse_entry",
    "flip_resumed",
    "reload",
    "save",
    "load",
    "load_damaged",
    "load_broken",
    "load_elsewhere",
    "keep_history",
    "write_data",
    "copy",
    "publish_in_threads",
    "pop_and_flip",
]

ArgumentStyle = Literal["usual", "by_place", "by_name"]
"""The way to pass arguments: the usual mix with defaults omitted, or all by position, or all by name."""

# A key that begins with "here" is published with resumed=False.
INFO_KEYS = ("epoch", "loop_stage", "val/matrix", "here/path")
SCALAR_KEYS = ("train/loss", "val/κ", "here/time")

LIKE_KEYS = ("Epoch", "epoch ", "val_matrix", "val.matrix", "Train/Loss", "train_loss", "val/k")
"""Keys that a hub may confuse with one of the others if it changes keys."""

INFO_VALUES: tuple[Any, ...] = (
    0,
    7,
    -1.5,
    "train",
    None,
    True,
    [1, 2],
    {"classes": ["cat"], "n": 2},
    (1, "a"),
    0.1,
    2**53 + 1,
    1,
    1.0,
    -0.0,
    "",
)


def is_resumed(key: str) -> bool:
    """Return whether the kit publishes a key as resumable."""
    return not key.startswith("here")


@dataclass(frozen=True, repr=False)
class HubOp(ShortRepr):
    """One operation.

    Attributes:
        name: The name of the operation.
        key: The key that it operates on.
        value: The info, or the kind of the scalar or object.
        turn: The index of the value of that kind, of the field that a state loses, of the key whose flag is changed, or
            of the slot for a saved state.
        count: The scalar's count.
        times: The number of updates.
    """

    name: HubOpName
    key: str = "epoch"
    value: Any = None
    turn: int = 0
    count: int = 1
    times: int = 1


@dataclass(frozen=True, repr=False)
class HubPlan(ShortRepr):
    """A sequence of operations on a hub.

    Attributes:
        ops: The operations.
        compare_every: The number of operations between comparisons, each of which reads the whole hub. A read may
            refresh the hub's caches.
        arguments: The style in which arguments are passed to the hub and its histories.
    """

    ops: tuple[HubOp, ...] = ()
    compare_every: int = 1
    arguments: ArgumentStyle = "usual"
