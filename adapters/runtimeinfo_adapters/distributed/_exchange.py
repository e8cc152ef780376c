"""Exchange what the ranks contribute, so that no rank waits for another in vain, whatever each of them has.

`exchange` depends only on the contribution of a rank and on a function that gathers bytes, so that it runs without
any other process in tests. Each rank gathers as often as the others, and each time as many bytes:

- The first time, a header and `capacity` rows. The capacity is the same on all ranks: it begins with a constant, and
  after that depends only on the headers gathered before, which all ranks have seen.
- Whether there is a second time, and with how many bytes, depends only on the headers, which all ranks have seen.
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
from runtimeinfo_adapters.distributed._aggregate import EMPTY, Aggregate, ReducedScalar

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.float64]

ROW_BYTES = len(Aggregate._fields) * 8
_LEAST, _GREATEST = (Aggregate._fields.index(name) for name in ("least", "greatest"))

_FORMAT = 1
_FIELDS = 6
HEADER_BYTES = _FIELDS * 8


class Header(NamedTuple):
    """The beginning of what a rank sends, of a fixed length.

    Attributes:
        format: The version of this format. It is the first field in every version.
        is_tolerant: Whether the rank accepts that ranks lack keys.
        keys: The number of its keys; -1 if it could not read its hub.
        body_bytes: The length of its `Contribution.body`.
        digest: The digest of its keys.
    """

    format: int
    is_tolerant: bool
    keys: int
    body_bytes: int
    digest: tuple[int, int]


@dataclass(frozen=True)
class Contribution:
    """The contribution of one rank to a reduction.

    Attributes:
        keys: Its scalars, sorted, because the order in which they were published might differ between ranks.
        rows: The aggregate of each, of shape ``(len(keys), 5)``.
        is_tolerant: Whether the rank accepts that ranks lack keys.
        problem: Why the rank cannot contribute; None if it can.
    """

    keys: tuple[str, ...]
    rows: Rows
    is_tolerant: bool = False
    problem: str | None = None

    @classmethod
    def of(cls, keys: Sequence[str], aggregates: Sequence[Aggregate], *, is_tolerant: bool) -> Contribution:
        """Return the contribution with an aggregate for each key."""
        return cls(
            tuple(keys), np.array(aggregates, np.float64).reshape(len(keys), len(Aggregate._fields)), is_tolerant
        )

    @classmethod
    def of_problem(cls, problem: str) -> Contribution:
        """Return the contribution of a rank that could not read its hub."""
        return cls((), np.empty((0, len(Aggregate._fields))), problem=problem)

    def packed(self, capacity: int) -> Bytes:
        """Return the header, then the rows if there are at most `capacity`: the same number of bytes on each rank."""
        text, digest = _encode_names(self.keys, self.problem)
        keys = len(self.keys) if self.problem is None else -1
        header = (_FORMAT, self.is_tolerant, keys, self.rows.nbytes + len(text), *digest)
        packed = np.zeros(HEADER_BYTES + capacity * ROW_BYTES, np.uint8)
        packed[:HEADER_BYTES] = np.array(header, "<i8").view(np.uint8)
        if len(self.keys) <= capacity:
            packed[HEADER_BYTES : HEADER_BYTES + self.rows.nbytes] = self.row_bytes()
        return packed

    def row_bytes(self) -> Bytes:
        """Return the rows only: the same number of bytes on each rank that has as many keys."""
        return np.ascontiguousarray(self.rows, "<f8").view(np.uint8).reshape(-1)

    def body(self, size: int) -> Bytes:
        """Return the rows and the names, padded to a size: they are sent if the headers differ."""
        text, _ = _encode_names(self.keys, self.problem)
        body = np.zeros(size, np.uint8)
        body[: self.rows.nbytes] = self.row_bytes()
        body[self.rows.nbytes : self.rows.nbytes + len(text)] = np.frombuffer(text, np.uint8)
        return body


def parse_headers(packed: Bytes) -> list[Header]:
    """Parse the header of each rank from what all of them have `packed`."""
    fields = packed[:, :HEADER_BYTES].view("<i8")
    return [
        Header(form, bool(tolerant), keys, size, (one, other))
        for form, tolerant, keys, size, one, other in fields.tolist()
    ]


def parse_rows(sent: Bytes, keys: int) -> npt.NDArray[np.float64]:
    """Parse the rows of each rank, of shape ``(ranks, keys, 5)``."""
    part = sent[:, : keys * ROW_BYTES].view("<f8")  # not copied: with a thousand ranks it is long
    return part.reshape(len(sent), keys, len(Aggregate._fields))


def parse_bodies(sent: Bytes, headers: Sequence[Header]) -> Iterator[Contribution]:
    """Parse the `Contribution.body` of each rank."""
    for row, header in zip(sent, headers, strict=True):
        count = max(header.keys, 0)
        text: Any = json.loads(row[count * ROW_BYTES : header.body_bytes].tobytes())
        rows = parse_rows(row[None], count)[0]
        yield Contribution(tuple(text["keys"]), rows, header.is_tolerant, text["problem"])


@lru_cache(maxsize=16)  # the keys are usually the same at each call
def _encode_names(keys: tuple[str, ...], problem: str | None) -> tuple[bytes, tuple[int, int]]:
    """Return the names as JSON, and its digest as two numbers of 64 bits."""
    text = json.dumps({"keys": keys, "problem": problem}).encode("ascii")
    digest = np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), "<i8")
    return text, (int(digest[0]), int(digest[1]))


FIRST_CAPACITY = 16
"""The number of scalars in the first exchange of a group. Few loops have more, and these are 640 bytes."""

_MAX_NAMES = 5


class Members(Protocol):
    """The process group that exchanges, as errors name it."""

    @property
    def name(self) -> str:
        """The name that PyTorch has for it."""
        ...

    @property
    def ranks(self) -> tuple[int, ...]:
        """Its members, in their order, as ranks of the whole run."""
        ...

    @property
    def timeout(self) -> float | None:
        """The seconds for which a member waits; None if that is unknown."""
        ...


@dataclass
class Agreement:
    """The state that the members of a group share, as the result of all exchanges so far.

    Attributes:
        capacity: The number of scalars for which the next exchange has room.
        is_broken: Whether an exchange did not finish here, so that the members might have different states.
    """

    capacity: int = FIRST_CAPACITY
    is_broken: bool = False


class Exchanged(NamedTuple):
    """The contributions of all ranks.

    Attributes:
        keys: The scalars of all ranks, sorted.
        rows: The aggregate of each of them on each rank, of shape ``(ranks, keys, 5)``.
    """

    keys: tuple[str, ...]
    rows: Rows


def exchange(mine: Contribution, members: Members, agreement: Agreement, gather: Callable[[Bytes], Bytes]) -> Exchanged:
    """Exchange the contributions of all ranks.

    Args:
        mine: What this rank contributes.
        members: The group of the ranks.
        agreement: The state of the group, of which each rank has a copy.
        gather: Returns the bytes that each rank has given to it, a row for each.

    Returns:
        The same on each rank.

    Raises:
        DistributedError: On each rank, if one of them has a problem; on this rank, if an exchange has failed before.
        KeysDifferError: On each rank, if they have different keys, and one of them does not accept it.

    Source: DIST-04 to DIST-07.
    """
    if agreement.is_broken:
        raise DistributedError(
            f"process group {members.name!r} has failed before, so that its ranks might no longer agree: make a new "
            "one of the ranks that are left, or end the run",
            requirement="DIST-07",
            **_error_fields(members),
        )
    # Reset only at the end: an interrupt in between breaks the group as well.
    agreement.is_broken = True
    capacity = agreement.capacity
    packed = gather(mine.packed(capacity))
    headers = parse_headers(packed)
    _check_formats(headers, members)
    most = max(header.keys for header in headers)
    agreement.capacity = max(capacity, 1 << max(most - 1, 0).bit_length())
    if most >= 0 and all(header.digest == headers[0].digest for header in headers):
        rows = parse_rows(packed[:, HEADER_BYTES:] if most <= capacity else gather(mine.row_bytes()), most)
        agreement.is_broken = False
        return Exchanged(mine.keys, rows)
    contributions = list(parse_bodies(gather(mine.body(max(header.body_bytes for header in headers))), headers))
    agreement.is_broken = False
    _check_problems(contributions, members)
    keys = tuple(sorted({key for each in contributions for key in each.keys}))
    _check_keys(keys, contributions, members)
    return Exchanged(keys, np.stack([_align(each, keys) for each in contributions]))


def combine(exchanged: Exchanged) -> dict[str, ReducedScalar]:
    """Combine the aggregates of all ranks for each scalar that has a new value on one of them.

    Sums are sums of 64-bit floats in the order of the ranks, so that each rank gets the same bits.

    Source: DIST-01 to DIST-03.
    """
    rows = exchanged.rows
    with np.errstate(invalid="ignore", over="ignore"):
        # A list for each field, and not one for each scalar: a thousand of those would start the garbage collector.
        totals, weights, _, _, updates = rows.sum(axis=0).T.tolist()
        lowest = rows[..., _LEAST].min(axis=0).tolist()
        highest = rows[..., _GREATEST].max(axis=0).tolist()
    columns = zip(exchanged.keys, totals, weights, lowest, highest, updates, strict=True)
    return {
        key: ReducedScalar(total, int(weight) if weight.is_integer() else weight, least, greatest, int(count))
        for key, total, weight, least, greatest, count in columns
        if count
    }


def _align(contribution: Contribution, keys: Sequence[str]) -> Rows:
    own = dict(zip(contribution.keys, contribution.rows, strict=True))
    return np.array([own.get(key, EMPTY) for key in keys], np.float64).reshape(len(keys), len(EMPTY))


def _check_formats(headers: Sequence[Header], members: Members) -> None:
    if len({header.format for header in headers}) > 1:
        raise DistributedError(
            "the ranks run different versions of runtimeinfo, which cannot exchange scalars: install the same version",
            **_error_fields(members),
        )


def _check_problems(contributions: Sequence[Contribution], members: Members) -> None:
    problems = {
        rank: each.problem for rank, each in zip(members.ranks, contributions, strict=True) if each.problem is not None
    }
    if problems:
        raise DistributedError(
            "nothing is reduced, because not every rank could read its scalars: "
            f"{_abbreviated([f'rank {rank} raised {problem}' for rank, problem in problems.items()], '; ')}. "
            "Fix that; no value is lost, the next call reduces them all",
            at_fault=tuple(problems),
            requirement="DIST-06",
            **_error_fields(members),
        )


def _check_keys(keys: Sequence[str], contributions: Sequence[Contribution], members: Members) -> None:
    if all(each.is_tolerant for each in contributions):
        return
    missing: dict[int, tuple[str, ...]] = {}
    for rank, each in zip(members.ranks, contributions, strict=True):
        lacking = tuple(sorted(set(keys).difference(each.keys)))
        if lacking:
            missing[rank] = lacking
    if missing:
        lacks = [f"rank {rank} lacks {_abbreviated(map(repr, lacking))}" for rank, lacking in missing.items()]
        raise KeysDifferError(
            f"the ranks have different scalars, and nothing is reduced: {_abbreviated(lacks, '; ')}. Publish the same "
            "keys on every rank, or name those to reduce in keys=[...], or pass missing='empty' on every rank, and a "
            "rank without a key adds nothing to it",
            missing=missing,
            requirement="DIST-05",
            **_error_fields(members),
        )


class _ErrorFields(TypedDict):
    group: str
    ranks: tuple[int, ...]
    timeout: float | None


def _error_fields(members: Members) -> _ErrorFields:
    return {"group": members.name, "ranks": members.ranks, "timeout": members.timeout}


def _abbreviated(texts: Iterable[str], separator: str = ", ") -> str:
    """Join the first few: there might be a thousand ranks, with a thousand keys each."""
    every = list(texts)
    rest = len(every) - _MAX_NAMES
    return separator.join(every[:_MAX_NAMES]) + (f"{separator}and {rest:,} more" if rest > 0 else "")
