"""Reducing the scalars of a hub over the ranks of a run."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from runtimeinfo import DistributedError, HubError, InfoReader, ScalarHistory
from runtimeinfo.authoring import describe, shown
from runtimeinfo_adapters.distributed._aggregate import NOTHING, Mark, Marks, ReducedScalar, last, share_of
from runtimeinfo_adapters.distributed._exchange import Shares, exchange, reduced
from runtimeinfo_adapters.distributed._group import Alone, TorchGroup, find_group

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Missing = Literal["error", "empty"]


class Reducer:
    """Reduces a hub, and remembers how far it has come.

    `reduce` keeps one for each hub and set of ranks, which is enough for nearly everyone. Keep one yourself to go on
    over other ranks: with those that are left when one has died, say.

    Args:
        hub: A hub, or anything that `current_hub` returns.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-reducer")
        >>> hub.update_scalar("train/loss", 4.0)
        >>> reducer = Reducer(hub)
        >>> reducer.reduce()["train/loss"].mean
        4.0
        >>> dict(reducer.reduce())  # nothing has come since
        {}
    """

    def __init__(self, hub: InfoReader) -> None:
        self.hub: InfoReader = hub
        self._marks = Marks()

    def reduce(
        self,
        group: ProcessGroup | None = None,
        *,
        keys: Collection[str] | None = None,
        window: int | None = None,
        missing: Missing = "error",
    ) -> Mapping[str, ReducedScalar]:
        """Do what the function `reduce` does; arguments, result and errors are the same."""
        return _reduce(self.hub, self._marks, find_group(group), keys, window, missing)

    def skip(self) -> None:
        """Let what is in the hub now count as reduced already. Only this rank does it, and it talks to no other.

        For a history that does not count its updates, as mmengine's, call this after a checkpoint was loaded: such a
        history does not know which of its values came out of there.
        """
        histories = _histories(self.hub, None)
        self._marks.advance(self._marks.pending(histories)[1])


def reduce(
    hub: InfoReader,
    group: ProcessGroup | None = None,
    *,
    keys: Collection[str] | None = None,
    window: int | None = None,
    missing: Missing = "error",
) -> Mapping[str, ReducedScalar]:
    """Bring together what each rank has published since the last call: one collective for all scalars.

    Every rank of the group has to call it, as any collective of PyTorch's. Without `torch.distributed`, this process
    is the only rank. No hub is changed, and nothing is published: do with the result what you like.

    A rank that has published nothing since adds nothing. A scalar that no rank has published is not in the result. A
    value that is NaN makes sum, mean, minimum and maximum NaN. Numbers are 64-bit floats, so that integers beyond 2**53
    are rounded. What waits on an accelerator is read, which waits for the device.

    If it raises, nothing counts as reduced: the values are there at the next call.

    Args:
        hub: The hub of this rank, or anything that `current_hub` returns.
        group: The ranks; None for all of the run. How far it has come is kept for each hub and set of ranks.
        keys: The scalars to reduce; by default all that the hub has. One that a rank lacks is empty there.
        window: How many of the last values of each scalar to take, instead of those since the last call; it changes
            nothing about what the next call takes.
        missing: What to do if the ranks have different scalars: "error", or "empty": who lacks one adds nothing to it.
            Only if all ranks say "empty" is it done; it costs a second collective, as long as they differ.

    Returns:
        What each scalar comes to, by its key, in the order of the keys. The same on each rank, to the bit.

    Raises:
        KeysDifferError: On each rank, if they have different scalars. It names who lacks what.
        DistributedError: If a rank has died or did not come within the timeout of the group; if one could not read its
            hub; if this rank is not in the group; or if `torch.distributed` is not set up, and should be.
        HubError: On the rank whose hub or arguments are at fault.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-reduce")
        >>> hub.update_scalars({"train/loss": 4.0, "train/lr": 0.1})
        >>> {key: scalar.mean for key, scalar in reduce(hub).items()}
        {'train/loss': 4.0, 'train/lr': 0.1}

    Source: DIST-01 to DIST-12.
    """
    ranks = find_group(group)
    return _reduce(hub, _marks_of(hub, ranks), ranks, keys, window, missing)


def _reduce(
    hub: InfoReader,
    marks: Marks,
    ranks: Alone | TorchGroup,
    keys: Collection[str] | None,
    window: int | None,
    missing: Missing,
) -> Mapping[str, ReducedScalar]:
    try:
        mine, after = _shares(hub, marks, keys, window, missing)
    except Exception as error:
        # The others are told, and do not wait for this rank in vain.
        with contextlib.suppress(DistributedError):
            exchange(Shares.of_problem(f"{type(error).__name__}: {error}"), ranks, ranks.agreement, ranks.gather)
        raise
    scalars = reduced(exchange(mine, ranks, ranks.agreement, ranks.gather))
    marks.advance(after)
    return MappingProxyType(scalars)


def _shares(
    hub: InfoReader, marks: Marks, keys: Collection[str] | None, window: int | None, missing: Missing
) -> tuple[Shares, dict[str, Mark]]:
    """Return what this rank adds, and the marks to advance to once it is reduced."""
    if missing not in ("error", "empty"):
        raise HubError(f"missing must be 'error' or 'empty', but is {shown(missing)}: leave it out for 'error'")
    if window is not None and (not isinstance(window, int) or window < 1):
        raise HubError(
            f"window must be a positive int, or None for all that is new, but is {shown(window)}: give the "
            "number of latest values"
        )
    histories = _histories(hub, keys)
    after: dict[str, Mark] = {}
    if window is None:
        shares, after = marks.pending(histories)
    else:
        shares = [
            NOTHING if history is None else share_of(key, *last(history, window)) for key, history in histories.items()
        ]
    return Shares.of(list(histories), shares, is_tolerant=missing == "empty"), after


def _histories(hub: InfoReader, keys: Collection[str] | None) -> dict[str, ScalarHistory | None]:
    """Return the scalars to reduce, sorted: None for one that this rank lacks."""
    if keys is None:
        published: Mapping[str, ScalarHistory] | None = getattr(hub, "log_scalars", None)
        if published is None:
            raise HubError(f"{describe(hub)} cannot list its scalars: name them in keys=[...]")
        return {key: published[key] for key in sorted(published)}
    if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        raise HubError(f"keys must be a collection of strings, but is {shown(keys)}: pass ['train/loss'], say")
    histories: dict[str, ScalarHistory | None] = {}
    for key in sorted(set(keys)):
        try:
            histories[key] = hub.get_scalar(key)
        except KeyError:
            histories[key] = None
    return histories


_marks: dict[int, tuple[Callable[[], Any], dict[tuple[int, ...], Marks]]] = {}
"""How far each hub has been reduced over each set of ranks. By the hub's id, since not every hub can be hashed."""


def _marks_of(hub: InfoReader, ranks: Alone | TorchGroup) -> Marks:
    number = id(hub)
    known = _marks.get(number)
    if known is None or known[0]() is not hub:
        reference: Callable[[], Any]
        try:
            reference = weakref.ref(hub, lambda _: _marks.pop(number, None))
        except TypeError:  # it has slots, and is kept, as the reader is that stands for no run at all
            reference = partial(_itself, hub)
        known = _marks[number] = (reference, {})
    return known[1].setdefault(ranks.ranks, Marks())


def _itself(hub: InfoReader) -> InfoReader:
    return hub
