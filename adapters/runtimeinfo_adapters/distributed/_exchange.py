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

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from runtimeinfo import DistributedError, KeysDifferError
from runtimeinfo_adapters.distributed._aggregate import NOTHING, ReducedScalar, Share

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.float64]

ROW_BYTES = len(Share._fields) * 8

_FORMAT = 1
_FIELDS = 6
HEAD_BYTES = _FIELDS * 8


class Head(NamedTuple):
    """What a rank says first, in a fixed number of bytes.

    Attributes:
        format: The version of this form. It stays in the first place in all of them.
        is_tolerant: Whether it accepts that ranks lack keys.
        keys: How many it has; -1 if it could not read its hub.
        body_bytes: How long is what it would say at length: see `Shares.body`.
        digest: Of its keys.
    """

    format: int
    is_tolerant: bool
    keys: int
    body_bytes: int
    digest: tuple[int, int]


@dataclass(frozen=True)
class Shares:
    """What one rank adds.

    Attributes:
        keys: Its scalars, sorted: the order in which a hub has got them may differ between ranks.
        rows: The share of each, of shape ``(len(keys), 5)``.
        is_tolerant: Whether it accepts that ranks lack keys.
        problem: Why it cannot add anything, if it cannot.
    """

    keys: tuple[str, ...]
    rows: Rows
    is_tolerant: bool = False
    problem: str | None = None

    @classmethod
    def of(cls, keys: Sequence[str], shares: Sequence[Share], *, is_tolerant: bool) -> Shares:
        """Make it from a share for each key."""
        return cls(tuple(keys), np.array(shares, np.float64).reshape(len(keys), len(Share._fields)), is_tolerant)

    @classmethod
    def of_problem(cls, problem: str) -> Shares:
        """Make it for a rank that could not read its hub."""
        return cls((), np.empty((0, len(Share._fields))), problem=problem)

    def packed(self, capacity: int) -> Bytes:
        """Return the head, and after it the rows if no more than `capacity`: the same number of bytes on each rank."""
        text, digest = _named(self.keys, self.problem)
        keys = len(self.keys) if self.problem is None else -1
        head = (_FORMAT, self.is_tolerant, keys, self.rows.nbytes + len(text), *digest)
        packed = np.zeros(HEAD_BYTES + capacity * ROW_BYTES, np.uint8)
        packed[:HEAD_BYTES] = np.array(head, "<i8").view(np.uint8)
        if len(self.keys) <= capacity:
            packed[HEAD_BYTES : HEAD_BYTES + self.rows.nbytes] = self.row_bytes()
        return packed

    def row_bytes(self) -> Bytes:
        """Return the rows alone: the same number of bytes on each rank that has as many keys."""
        return np.ascontiguousarray(self.rows, "<f8").view(np.uint8).reshape(-1)

    def body(self, size: int) -> Bytes:
        """Return the rows and the names, filled up to a size: what is told where the heads differ."""
        text, _ = _named(self.keys, self.problem)
        body = np.zeros(size, np.uint8)
        body[: self.rows.nbytes] = self.row_bytes()
        body[self.rows.nbytes : self.rows.nbytes + len(text)] = np.frombuffer(text, np.uint8)
        return body


def heads_of(packed: Bytes) -> list[Head]:
    """Read the head of each rank, from what all of them have `packed`."""
    fields = packed[:, :HEAD_BYTES].view("<i8")
    return [
        Head(form, bool(tolerant), keys, size, (one, other))
        for form, tolerant, keys, size, one, other in fields.tolist()
    ]


def rows_of(sent: Bytes, keys: int) -> npt.NDArray[np.float64]:
    """Read the rows of each rank, of shape ``(ranks, keys, 5)``."""
    part = sent[:, : keys * ROW_BYTES].view("<f8")  # no copy: with a thousand ranks it is long
    return part.reshape(len(sent), keys, len(Share._fields))


def bodies_of(sent: Bytes, heads: Sequence[Head]) -> Iterator[Shares]:
    """Read what each rank has said at length."""
    for row, head in zip(sent, heads, strict=True):
        count = max(head.keys, 0)
        text: Any = json.loads(row[count * ROW_BYTES : head.body_bytes].tobytes())
        rows = rows_of(row[None], count)[0]
        yield Shares(tuple(text["keys"]), rows, head.is_tolerant, text["problem"])


@lru_cache(maxsize=16)  # the keys are the same at each call, mostly
def _named(keys: tuple[str, ...], problem: str | None) -> tuple[bytes, tuple[int, int]]:
    """Return the names as text, and its digest as two numbers of 64 bits."""
    text = json.dumps({"keys": keys, "problem": problem}).encode("ascii")
    digest = np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), "<i8")
    return text, (int(digest[0]), int(digest[1]))


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
