"""What one rank sends to the others: of what form it is, and what comes out of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from runtimeinfo_adapters.distributed._marks import Share

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
