"""Reduce the scalars of a hub over the ranks of a run."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from runtimeinfo import DistributedError, HubError, InfoReader, ScalarHistory
from runtimeinfo.authoring import describe, shown
from runtimeinfo_adapters._numbers import is_positive_int
from runtimeinfo_adapters.distributed._aggregate import (
    EMPTY,
    Offset,
    Offsets,
    ReducedScalar,
    aggregate_of,
    latest_values,
)
from runtimeinfo_adapters.distributed._exchange import Contribution, combine, exchange
from runtimeinfo_adapters.distributed._group import LoneProcess, TorchGroup, find_group

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Missing = Literal["error", "empty"]


class Reducer:
    """Reduces a hub, and remembers which values it has reduced.

    `reduce` keeps that for each hub and set of ranks, which is usually enough. Keep a reducer to continue over other
    ranks, for example over those that are left after one has died.

    Args:
        hub: A hub, or anything that `current_hub` returns.

    Example:
        >>> from runtimeinfo_adapters import MessageHub
        >>> hub = MessageHub("doc-reducer")
        >>> hub.update_scalar("train/loss", 4.0)
        >>> reducer = Reducer(hub)
        >>> reducer.reduce()["train/loss"].mean
        4.0
        >>> dict(reducer.reduce())  # nothing was published since
        {}
    """

    def __init__(self, hub: InfoReader) -> None:
        self.hub: InfoReader = hub
        self._offsets = Offsets()

    def reduce(
        self,
        group: ProcessGroup | None = None,
        *,
        keys: Collection[str] | None = None,
        window: int | None = None,
        missing: Missing = "error",
    ) -> Mapping[str, ReducedScalar]:
        """Reduce, with the arguments, result and errors of the function `reduce`."""
        return _reduce(self.hub, self._offsets, find_group(group), keys, window, missing)

    def skip(self) -> None:
        """Mark everything in the hub now as reduced, on this rank only, without communication.

        Call this after loading a checkpoint if the history does not count its updates, like mmengine's: such a history
        does not know which of its values came from the checkpoint.
        """
        histories = _histories(self.hub, None)
        self._offsets.advance(self._offsets.pending(histories)[1])


def reduce(
    hub: InfoReader,
    group: ProcessGroup | None = None,
    *,
    keys: Collection[str] | None = None,
    window: int | None = None,
    missing: Missing = "error",
) -> Mapping[str, ReducedScalar]:
    """Reduce what each rank has published since the last call, with one collective for all scalars.

    Every rank of the group must call it, like any collective of PyTorch. If `torch.distributed` is not set up, this
    process is the only rank. No hub is changed and nothing is published: use the result as you like.

    A rank that has published nothing since the last call adds nothing. A scalar without a new value on any rank is not
    in the result. A NaN makes sum, mean, minimum and maximum NaN. Numbers are 64-bit floats, so that integers beyond
    2**53 are rounded. A value on an accelerator is read, which waits for the device.

    If it raises, nothing counts as reduced: the next call reduces the values.

    Args:
        hub: The hub of this rank, or anything that `current_hub` returns.
        group: The ranks; None means all ranks of the run. Each hub and set of ranks has its own last call.
        keys: The scalars to reduce; by default, all of the hub's. One that a rank lacks is empty there.
        window: The number of latest values of each scalar to reduce, instead of those since the last call. The next
            call reduces what it would have reduced without this one.
        missing: What to do if the ranks have different scalars: raise an "error", or treat a missing one as "empty".
            It is empty only if all ranks pass "empty". As long as they differ, that costs a second collective.

    Returns:
        The reduced scalars by their keys, in the order of the keys. They are the same on each rank, to the bit.

    Raises:
        KeysDifferError: On each rank, if they have different scalars. It names the scalars that each rank lacks.
        DistributedError: If a rank has died or did not take part within the timeout of the group; if a rank could not
            read its hub; if this rank is not in the group; or if `torch.distributed` must be set up first.
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
    return _reduce(hub, _offsets_of(hub, ranks), ranks, keys, window, missing)


def _reduce(
    hub: InfoReader,
    offsets: Offsets,
    ranks: LoneProcess | TorchGroup,
    keys: Collection[str] | None,
    window: int | None,
    missing: Missing,
) -> Mapping[str, ReducedScalar]:
    try:
        mine, after = _contribution(hub, offsets, keys, window, missing)
    except Exception as error:
        # Tell the other ranks, so that they do not wait for this one in vain.
        with contextlib.suppress(DistributedError):
            exchange(Contribution.of_problem(f"{type(error).__name__}: {error}"), ranks, ranks.agreement, ranks.gather)
        raise
    scalars = combine(exchange(mine, ranks, ranks.agreement, ranks.gather))
    offsets.advance(after)
    return MappingProxyType(scalars)


def _contribution(
    hub: InfoReader, offsets: Offsets, keys: Collection[str] | None, window: int | None, missing: Missing
) -> tuple[Contribution, dict[str, Offset]]:
    """Return the contribution of this rank, and the offsets to advance to once it is reduced."""
    if missing not in ("error", "empty"):
        raise HubError(f"missing must be 'error' or 'empty', but is {shown(missing)}: leave it out for 'error'")
    if window is not None and not is_positive_int(window):
        raise HubError(
            f"window must be a positive int, or None for all that is new, but is {shown(window)}: give the "
            "number of latest values"
        )
    histories = _histories(hub, keys)
    after: dict[str, Offset] = {}
    if window is None:
        aggregates, after = offsets.pending(histories)
    else:
        aggregates = [
            EMPTY if history is None else aggregate_of(key, *latest_values(history, window))
            for key, history in histories.items()
        ]
    return Contribution.of(list(histories), aggregates, is_tolerant=missing == "empty"), after


def _histories(hub: InfoReader, keys: Collection[str] | None) -> dict[str, ScalarHistory | None]:
    """Return the scalars to reduce, sorted: None for one that this rank lacks."""
    if keys is None:
        published: Mapping[str, ScalarHistory] | None = getattr(hub, "log_scalars", None)
        if published is None:
            raise HubError(f"{describe(hub)} cannot list its scalars: name them in keys=[...]")
        return {key: published[key] for key in sorted(published)}
    if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        raise HubError(f"keys must be a collection of strings, but is {shown(keys)}: pass for example ['train/loss']")
    histories: dict[str, ScalarHistory | None] = {}
    for key in sorted(set(keys)):
        try:
            histories[key] = hub.get_scalar(key)
        except KeyError:
            histories[key] = None
    return histories


_offsets: dict[int, tuple[Callable[[], Any], dict[tuple[int, ...], Offsets]]] = {}
"""The offsets of each hub and set of ranks. The keys are ids, because not every hub can be hashed."""


def _offsets_of(hub: InfoReader, ranks: LoneProcess | TorchGroup) -> Offsets:
    number = id(hub)
    known = _offsets.get(number)
    if known is None or known[0]() is not hub:
        reference: Callable[[], Any]
        try:
            reference = weakref.ref(hub, lambda _: _offsets.pop(number, None))
        except TypeError:  # it has slots, like the reader outside of any run: such a hub is kept
            reference = partial(_itself, hub)
        known = _offsets[number] = (reference, {})
    return known[1].setdefault(ranks.ranks, Offsets())


def _itself(hub: InfoReader) -> InfoReader:
    return hub
