"""Broken variants of the adapters' reducer, each with a fault that the kit must notice under the right requirement.

Each is a top-level function, because the process of a rank must be able to import it. They cannot serve as canaries,
because they cannot be inserted into another reducer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from runtimeinfo import DistributedError, __version__
from runtimeinfo_conformance._subject import ReduceSubject

if TYPE_CHECKING:
    from runtimeinfo_adapters.distributed import ReducedScalar

Scalars = Mapping[str, Any]


@dataclass(frozen=True)
class ReduceMutant:
    """A reducer with a fault.

    Attributes:
        name: The fault in words.
        requirement: The requirement that it breaks.
        reduce: The reducer.
    """

    name: str
    requirement: str
    reduce: Callable[[Any, Any], Scalars]

    def subject(self) -> ReduceSubject:
        """Return the reducer as a subject."""
        return ReduceSubject(f"reference reducer ({self.name})", __version__, reduce=self.reduce)


# Functions import the reducer locally, because it needs PyTorch. A process that only lists the mutants might not have
# that, unlike a rank's process.


def _reduce(hub: Any, group: Any, **options: Any) -> Mapping[str, ReducedScalar]:
    from runtimeinfo_adapters import distributed

    return distributed.reduce(hub, group, **options)


def _rank(group: Any) -> int:
    import torch.distributed as dist

    return int(dist.get_rank(group))


# -- faults in the result


def _changed(scalar: ReducedScalar, **fields: float) -> Any:
    names = ("sum", "count", "mean", "min", "max")
    return SimpleNamespace(**{name: getattr(scalar, name) for name in names} | fields)


def _unweighted(hub: Any, group: Any) -> Scalars:
    return {key: _changed(each, mean=each.sum / each.updates) for key, each in _reduce(hub, group).items()}


def _counts_updates(hub: Any, group: Any) -> Scalars:
    return {key: _changed(each, count=each.updates) for key, each in _reduce(hub, group).items()}


def _swapped(hub: Any, group: Any) -> Scalars:
    return {key: replace(each, min=each.max, max=each.min) for key, each in _reduce(hub, group).items()}


def _differs_in_a_bit(hub: Any, group: Any) -> Scalars:
    scalars = _reduce(hub, group)
    return {
        key: _changed(each, sum=math.nextafter(each.sum, math.inf)) if _rank(group) == 1 else each
        for key, each in scalars.items()
    }


# -- faults in the exchange between ranks


def _with_rows(hub: Any, group: Any, change: Callable[[Any], None]) -> Scalars:
    """Reduce with a change to the rows exchanged first, of shape ``(ranks, keys, 5)``."""
    from runtimeinfo_adapters.distributed import _reduce as reducing
    from runtimeinfo_adapters.distributed._exchange import HEADER_BYTES, ROW_BYTES
    from runtimeinfo_adapters.distributed._group import find_group

    ranks: Any = find_group(group)
    gather, rounds = ranks.gather, list[int]()

    def changed(sent: Any) -> Any:
        gathered = gather(sent)
        if rounds:
            return gathered
        rounds.append(1)
        gathered = gathered.copy()
        change(gathered[:, HEADER_BYTES:].view("<f8").reshape(len(gathered), -1, ROW_BYTES // 8))
        return gathered

    ranks.gather = changed
    return reducing._reduce(hub, reducing._offsets_of(hub, ranks), ranks, None, None, "error")  # pyright: ignore[reportPrivateUsage]


_EMPTY = (0.0, 0.0, math.inf, -math.inf, 0.0)
"""The row of a scalar without values."""


def _lose_the_last_rank(rows: Any) -> None:
    rows[-1] = _EMPTY


def _lose_nan(rows: Any) -> None:
    rows[np.isnan(rows).any(axis=2)] = _EMPTY


def _count_the_idle(rows: Any) -> None:
    rows[rows[:, :, 4] == 0, 1] += 1


def _extremes_of_the_idle_are_0(rows: Any) -> None:
    rows[rows[:, :, 4] == 0, 2:4] = 0


def _in_single_precision(rows: Any) -> None:
    rows[:] = rows.astype("<f4")


def _sent_in_single_precision(hub: Any, group: Any) -> Scalars:
    return _with_rows(hub, group, _in_single_precision)


def _own_rank_first(hub: Any, group: Any) -> Scalars:
    own = _rank(group)

    def turn(rows: Any) -> None:
        rows[:] = np.roll(rows, -own, axis=0)

    return _with_rows(hub, group, turn)


def _infinity_is_large(hub: Any, group: Any) -> Scalars:
    return {
        key: _changed(each, sum=float(np.nan_to_num(each.sum, nan=math.nan)))
        for key, each in _reduce(hub, group).items()
    }


def _a_block_of_each_rank(hub: Any, group: Any) -> Scalars:
    return {key: _changed(each, count=min(each.count, 3 * 4096)) for key, each in _reduce(hub, group).items()}


_first_keys: MutableMapping[Any, set[str]] = WeakKeyDictionary()


def _keys_of_the_first_call(hub: Any, group: Any) -> Scalars:
    keys = _first_keys.setdefault(hub, set(hub.log_scalars))
    return {key: each for key, each in _reduce(hub, group).items() if key in keys}


def _last_rank_left_out(hub: Any, group: Any) -> Scalars:
    return _with_rows(hub, group, _lose_the_last_rank)


def _nan_left_out(hub: Any, group: Any) -> Scalars:
    return _with_rows(hub, group, _lose_nan)


def _idle_counts_as_one(hub: Any, group: Any) -> Scalars:
    return _with_rows(hub, group, _count_the_idle)


def _idle_has_extremes(hub: Any, group: Any) -> Scalars:
    return _with_rows(hub, group, _extremes_of_the_idle_are_0)


def _own_values_only(hub: Any, group: Any) -> Scalars:
    from runtimeinfo_adapters.distributed import _reduce as reducing
    from runtimeinfo_adapters.distributed._group import LoneProcess, find_group

    offsets = reducing._offsets_of(hub, find_group(group))  # pyright: ignore[reportPrivateUsage]
    return reducing._reduce(hub, offsets, LoneProcess(), None, None, "error")  # pyright: ignore[reportPrivateUsage]


# -- errors


def _missing_is_empty(hub: Any, group: Any) -> Scalars:
    return _reduce(hub, group, missing="empty")


def _differing_are_dropped(hub: Any, group: Any) -> Scalars:
    own = set(hub.log_scalars)
    return {key: each for key, each in _reduce(hub, group, missing="empty").items() if key in own}


def _error_without_names(hub: Any, group: Any) -> Scalars:
    try:
        return _reduce(hub, group)
    except DistributedError as error:
        raise RuntimeError("the ranks do not fit together") from error


def _reads_before_it_joins(hub: Any, group: Any) -> Scalars:
    list(hub.log_scalars)  # raises, and leaves the other ranks waiting
    return _reduce(hub, group)


def _continues_alone(hub: Any, group: Any) -> Scalars:
    try:
        return _reduce(hub, group)
    except DistributedError as error:
        if error.requirement != "DIST-07":
            raise
        return {}


def _error_costs_the_values(hub: Any, group: Any) -> Scalars:
    from runtimeinfo_adapters.distributed import _reduce as reducing
    from runtimeinfo_adapters.distributed._group import find_group

    offsets = reducing._offsets_of(hub, find_group(group))  # pyright: ignore[reportPrivateUsage]
    try:
        return _reduce(hub, group)
    except DistributedError:
        with suppress(OSError):
            offsets.advance(offsets.pending(dict(hub.log_scalars))[1])
        raise


def _all_each_time(hub: Any, group: Any) -> Scalars:
    from runtimeinfo_adapters.distributed import Reducer

    return Reducer(hub).reduce(group)


_reduced_before: MutableMapping[Any, dict[str, Any]] = WeakKeyDictionary()


def _old_sums_once_more(hub: Any, group: Any) -> Scalars:
    before = _reduced_before.setdefault(hub, {})
    scalars = _reduce(hub, group)
    again = {
        key: replace(each, sum=each.sum + before[key].sum)
        for key, each in scalars.items()
        if key in before and each.updates >= before[key].updates
    }
    before.update(scalars)
    return {**scalars, **again}


def _a_zero_for_what_is_idle(hub: Any, group: Any) -> Scalars:
    from runtimeinfo_adapters.distributed import ReducedScalar

    keys = list(hub.log_scalars)
    scalars = _reduce(hub, group)
    return {**dict.fromkeys(keys, ReducedScalar(0.0, 0, 0.0, 0.0, 0)), **scalars}


def _notes_it_in_the_hub(hub: Any, group: Any) -> Scalars:
    scalars = _reduce(hub, group)
    hub.update_info("reduced", len(scalars))
    return scalars


REDUCE_MUTANTS: tuple[ReduceMutant, ...] = (
    ReduceMutant("the mean is not weighted", "DIST-01", _unweighted),
    ReduceMutant("the count is the number of updates", "DIST-02", _counts_updates),
    ReduceMutant("the last rank is left out", "DIST-02", _last_rank_left_out),
    ReduceMutant("each rank gets its own values only", "DIST-02", _own_values_only),
    ReduceMutant("values are sent in single precision", "DIST-02", _sent_in_single_precision),
    ReduceMutant("infinity becomes the largest float", "DIST-02", _infinity_is_large),
    ReduceMutant("4,096 values of each rank are counted", "DIST-02", _a_block_of_each_rank),
    ReduceMutant("a scalar that comes later is left out", "DIST-02", _keys_of_the_first_call),
    ReduceMutant("minimum and maximum are exchanged", "DIST-03", _swapped),
    ReduceMutant("one rank gets a different last bit", "DIST-04", _differs_in_a_bit),
    ReduceMutant("each rank adds its own values first", "DIST-04", _own_rank_first),
    ReduceMutant("a rank without a scalar adds nothing to it by default", "DIST-05", _missing_is_empty),
    ReduceMutant("a scalar that a rank lacks is left out there", "DIST-05", _differing_are_dropped),
    ReduceMutant("the error names no rank", "DIST-05", _error_without_names),
    ReduceMutant("a rank that cannot read its hub leaves the others waiting", "DIST-06", _reads_before_it_joins),
    ReduceMutant("a rank that does not come is skipped", "DIST-07", _continues_alone),
    ReduceMutant("an error costs the values", "DIST-08", _error_costs_the_values),
    ReduceMutant("all values are reduced each time", "DIST-09", _all_each_time),
    ReduceMutant("a sum includes the previous one", "DIST-09", _old_sums_once_more),
    ReduceMutant("NaN is left out", "DIST-10", _nan_left_out),
    ReduceMutant("the result is noted in the hub", "DIST-11", _notes_it_in_the_hub),
    ReduceMutant("a rank without new values counts as one", "DIST-12", _idle_counts_as_one),
    ReduceMutant("the minimum and maximum of nothing are 0", "DIST-12", _idle_has_extremes),
    ReduceMutant("a scalar without new values is 0", "DIST-12", _a_zero_for_what_is_idle),
)
"""The faults, each with the requirement it breaks."""
