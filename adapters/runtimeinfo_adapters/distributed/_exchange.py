"""How the ranks bring their shares together, whatever each of them has, so that none waits for another in vain.

It is a function of what a rank has, and of a way to gather; so it can be run with no process but this one. Each rank
gathers as often as the others, and each time as many bytes:

- The first time these are a head and `capacity` rows. The capacity is the same on all ranks: it begins with a
  constant, and after that depends on nothing but the heads that were gathered before, which all ranks have seen.
- Whether there is a second time, and of how many bytes, depends on the heads alone, which all ranks have seen.
- There is no third time.

See docs/design/reducing-over-ranks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypedDict

import numpy as np

from runtimeinfo import DistributedError, KeysDifferError
from runtimeinfo_adapters.distributed._marks import NOTHING, Share
from runtimeinfo_adapters.distributed._reduced_scalar import ReducedScalar
from runtimeinfo_adapters.distributed._shares import HEAD_BYTES, Bytes, Head, Rows, Shares, bodies_of, heads_of, rows_of

FIRST_CAPACITY = 16
"""How many scalars go along the first time. Few training loops have more, and these are 640 bytes."""

_MOST_NAMES = 5


class Members(Protocol):
    """The group whose ranks these are."""

    @property
    def name(self) -> str:
        """What PyTorch calls it."""
        ...

    @property
    def ranks(self) -> tuple[int, ...]:
        """Its members in their order, as ranks of the whole run."""
        ...

    @property
    def timeout(self) -> float | None:
        """How many seconds a member waits."""
        ...


@dataclass
class Agreement:
    """What the members of a group have come to know together, by all the exchanges there were.

    Attributes:
        capacity: How many scalars go along in the next exchange.
        is_broken: Whether one has not come to its end here: then the members may know different things.
    """

    capacity: int = FIRST_CAPACITY
    is_broken: bool = False


class Exchanged(NamedTuple):
    """What all ranks have.

    Attributes:
        keys: The scalars, sorted.
        rows: The share of each rank in each of them, of shape ``(ranks, keys, 5)``.
    """

    keys: tuple[str, ...]
    rows: Rows


def exchange(mine: Shares, members: Members, agreement: Agreement, gather: Callable[[Bytes], Bytes]) -> Exchanged:
    """Bring the shares of all ranks together.

    Args:
        mine: What this rank adds.
        members: Whose ranks these are.
        agreement: Theirs, of which each rank has a copy.
        gather: Returns what each rank has given to it, a row for each.

    Returns:
        The same on each rank.

    Raises:
        DistributedError: On each rank, if one of them has a problem; here, if an exchange has failed before.
        KeysDifferError: On each rank, if they have different keys, and one of them does not accept it.

    Source: DIST-04 to DIST-07.
    """
    if agreement.is_broken:
        raise DistributedError(
            f"process group {members.name!r} has failed before, so that its ranks may not agree any more: make a new "
            "one of those that are left, or end the run",
            requirement="DIST-07",
            **_who(members),
        )
    # Until the end: an interrupt in the middle breaks it, too.
    agreement.is_broken = True
    capacity = agreement.capacity
    packed = gather(mine.packed(capacity))
    heads = heads_of(packed)
    _check_formats(heads, members)
    most = max(head.keys for head in heads)
    agreement.capacity = max(capacity, 1 << max(most - 1, 0).bit_length())
    if most >= 0 and all(head.digest == heads[0].digest for head in heads):
        rows = rows_of(packed[:, HEAD_BYTES:] if most <= capacity else gather(mine.row_bytes()), most)
        agreement.is_broken = False
        return Exchanged(mine.keys, rows)
    told = list(bodies_of(gather(mine.body(max(head.body_bytes for head in heads))), heads))
    agreement.is_broken = False
    _check_problems(told, members)
    keys = tuple(sorted({key for each in told for key in each.keys}))
    _check_keys(keys, told, members)
    return Exchanged(keys, np.stack([_spread(each, keys) for each in told]))


def reduced(exchanged: Exchanged) -> dict[str, ReducedScalar]:
    """Return what all ranks make together of each scalar, as far as one of them has added something to it.

    Sums are those of 64-bit floats, added in the order of the ranks: the same to the bit wherever it is done.

    Source: DIST-01 to DIST-03.
    """
    rows = exchanged.rows
    with np.errstate(invalid="ignore", over="ignore"):
        added, lowest, highest = rows.sum(axis=0), rows.min(axis=0), rows.max(axis=0)
    scalars: dict[str, ReducedScalar] = {}
    for key, *columns in zip(exchanged.keys, added.tolist(), lowest.tolist(), highest.tolist(), strict=True):
        # Of each, the fields that it means something for.
        total, least, greatest = (Share(*column) for column in columns)
        if total.updates:
            count = int(total.weight) if total.weight.is_integer() else total.weight
            scalars[key] = ReducedScalar(total.total, count, least.least, greatest.greatest, int(total.updates))
    return scalars


def _spread(shares: Shares, keys: Sequence[str]) -> Rows:
    own = dict(zip(shares.keys, shares.rows, strict=True))
    return np.array([own.get(key, NOTHING) for key in keys], np.float64).reshape(len(keys), len(NOTHING))


def _check_formats(heads: Sequence[Head], members: Members) -> None:
    if len({head.format for head in heads}) > 1:
        raise DistributedError(
            "the ranks run different versions of runtimeinfo, which do not understand one another: install the same",
            **_who(members),
        )


def _check_problems(told: Sequence[Shares], members: Members) -> None:
    problems = {rank: each.problem for rank, each in zip(members.ranks, told, strict=True) if each.problem is not None}
    if problems:
        raise DistributedError(
            "nothing is reduced, since not every rank could read its scalars: "
            f"{_some([f'rank {rank} raised {problem}' for rank, problem in problems.items()], '; ')}. "
            "Mend that; no value is lost, they are all there at the next call",
            at_fault=tuple(problems),
            requirement="DIST-06",
            **_who(members),
        )


def _check_keys(keys: Sequence[str], told: Sequence[Shares], members: Members) -> None:
    if all(each.is_tolerant for each in told):
        return
    missing: dict[int, tuple[str, ...]] = {}
    for rank, each in zip(members.ranks, told, strict=True):
        lacking = tuple(sorted(set(keys).difference(each.keys)))
        if lacking:
            missing[rank] = lacking
    if missing:
        lacks = [f"rank {rank} lacks {_some(map(repr, lacking))}" for rank, lacking in missing.items()]
        raise KeysDifferError(
            f"the ranks have different scalars, and nothing is reduced: {_some(lacks, '; ')}. Publish the same keys on "
            "every rank, or name those to reduce in keys=[...], or pass missing='empty' on every rank, and who lacks a "
            "key adds nothing to it",
            missing=missing,
            requirement="DIST-05",
            **_who(members),
        )


class _Who(TypedDict):
    group: str
    ranks: tuple[int, ...]
    timeout: float | None


def _who(members: Members) -> _Who:
    return {"group": members.name, "ranks": members.ranks, "timeout": members.timeout}


def _some(texts: Iterable[str], separator: str = ", ") -> str:
    """Join the first few; there may be a thousand ranks, with a thousand keys each."""
    every = list(texts)
    rest = len(every) - _MOST_NAMES
    return separator.join(every[:_MOST_NAMES]) + (f"{separator}and {rest:,} more" if rest > 0 else "")
