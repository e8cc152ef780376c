"""The grammar of a run, as one table. It alone decides which event may come when.

    run    := before_run (train | val | test)* after_run
    train  := before_train (epoch | val | test)* after_train
    epoch  := before_train_epoch (iter | val | test)* after_train_epoch
    iter   := before_train_iter (val | test)* after_train_iter
    val    := before_val (before_val_epoch (before_val_iter after_val_iter)* after_val_epoch)+ after_val
    test   := the same with test

What the table cannot show:

- `on_exception` may come wherever a scope is open. The next event then closes the innermost scope, and closes
  go on as far out as the exception does: all the way if it is not handled. Such a close needs no
  `at_least_one`. The first event that opens a scope ends the abnormal end.
- The checkpoint events stand outside of the grammar: they may come anywhere, and move nothing.
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import NamedTuple


class Scope(NamedTuple):
    """A row of the table.

    Attributes:
        inside: The scopes which may directly contain this one; None stands for no scope at all.
        at_least_one: A scope that must have occurred inside before this one may close, or None.
        stage: The value of ``loop_stage`` inside, or None if this scope does not change it.
    """

    inside: tuple[str | None, ...]
    at_least_one: str | None = None
    stage: str | None = None


_ANYWHERE_IN_A_RUN = ("run", "train", "train_epoch", "train_iter")

GRAMMAR = MappingProxyType(
    {
        "run": Scope(inside=(None,)),
        "train": Scope(inside=("run",), stage="train"),
        "train_epoch": Scope(inside=("train",)),
        "train_iter": Scope(inside=("train_epoch",)),
        "val": Scope(inside=_ANYWHERE_IN_A_RUN, at_least_one="val_epoch", stage="val"),
        "val_epoch": Scope(inside=("val",)),
        "val_iter": Scope(inside=("val_epoch",)),
        "test": Scope(inside=_ANYWHERE_IN_A_RUN, at_least_one="test_epoch", stage="test"),
        "test_epoch": Scope(inside=("test",)),
        "test_iter": Scope(inside=("test_epoch",)),
    }
)
"""The table: a scope ``x`` opens with the event ``before_x`` and closes with ``after_x``."""

OPENS = MappingProxyType({f"before_{scope}": scope for scope in GRAMMAR})
"""The scope that an event opens."""

CLOSES = MappingProxyType({f"after_{scope}": scope for scope in GRAMMAR})
"""The scope that an event closes."""

ABORT = "on_exception"
"""The event of an abnormal end."""

FREE_EVENTS = frozenset({"before_save_checkpoint", "after_load_checkpoint"})
"""The events outside of the grammar."""

EVENTS = (*OPENS, *CLOSES, *sorted(FREE_EVENTS), ABORT)
"""Every event: mmengine's 22, and `on_exception`."""


def _arguments(event: str) -> tuple[str, ...]:
    if event.endswith("_iter"):
        return ("batch_idx", "data_batch") if event.startswith("before") else ("batch_idx", "data_batch", "outputs")
    if event in {"after_val_epoch", "after_test_epoch"}:
        return ("metrics",)
    if event.endswith("_checkpoint"):
        return ("checkpoint",)
    return ("exception",) if event == "on_exception" else ()


HOOK_POINTS = MappingProxyType({event: _arguments(event) for event in EVENTS})
"""Every hook point, and the keyword arguments that it is called with, after the runner."""


def missing_between(outer: str | None, inner: str) -> tuple[str, ...] | None:
    """Return the scopes to open, outermost first, so that `inner` may open within `outer`.

    None means that `outer` cannot contain `inner`, however deep. Where there are several ways, the shortest.

    Example:
        >>> missing_between("run", "train_iter")
        ('train', 'train_epoch')
        >>> missing_between("train_iter", "val")
        ()
        >>> missing_between("val", "train") is None
        True

    Source: LIFE-01.
    """
    return _MISSING[outer, inner]


def _search_missing(outer: str | None, inner: str) -> tuple[str, ...] | None:
    queue: deque[tuple[str, tuple[str, ...]]] = deque([(inner, ())])
    while queue:
        scope, path = queue.popleft()
        for parent in GRAMMAR[scope].inside:
            if parent == outer:
                return path
            if parent is not None and parent not in path:
                queue.append((parent, (parent, *path)))
    return None


# Computed once: the normaliser asks for each event that opens a scope.
_MISSING = {(outer, inner): _search_missing(outer, inner) for outer in (None, *GRAMMAR) for inner in GRAMMAR}
