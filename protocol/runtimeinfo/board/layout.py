"""The binary layout of a board: a file of fixed size, in cells of 8 bytes.

    bytes              what
    0 ... 1,023        header: one cell each, by the names below
    1,024 ... 17,407   128 entries of 128 bytes: scalars' latest values, and infos that are numbers
    17,408 ... 63,487  all other infos that are small enough, as JSON
    63,488 ... 65,535  the identity of the run, as JSON: see `runtimeinfo.board.BoardIdentity`

A cell is written and read as a whole, so that one value is never torn. Several values belong together if
`SEQUENCE` is even, and the same before and after they were read: the writer makes it odd, writes, and makes it
even again. `ITER` alone can be written without that: beside the other values it is right before and after. Whatever
does not fit in is counted or named, so that a reader can tell it from what was never published.

The layout is part of the spec: a change of it is a new `VERSION`.
"""

from __future__ import annotations

from types import MappingProxyType

__all__ = [
    "ABSENT",
    "BOOL",
    "CELL",
    "CLAIMS",
    "CLOSED",
    "COUNT",
    "CREATED_NS",
    "CURRENT",
    "ELSEWHERE",
    "ENTRIES",
    "ENTRY_CELLS",
    "ENTRY_SIZE",
    "EPOCH",
    "FIRST_CLAIM",
    "FLOAT",
    "FREE",
    "GENERATION",
    "HEADER_CELLS",
    "HEADER_SIZE",
    "HIGHEST_INT",
    "HUB",
    "IDENTITY_CAPACITY",
    "IDENTITY_LENGTH",
    "IDENTITY_OFFSET",
    "IDENTITY_SEQUENCE",
    "INFO",
    "INFO_CAPACITY",
    "INFO_LENGTH",
    "INFO_OFFSET",
    "INFO_SEQUENCE",
    "INT",
    "IS_CURRENT",
    "IS_ENTERED",
    "IS_SIZE",
    "IS_VERSION",
    "ITER",
    "KIND",
    "LOOP_STAGE",
    "LOWEST_INT",
    "MAGIC",
    "MAX_CLAIMS",
    "MAX_ENTRIES",
    "MAX_EPOCHS",
    "MAX_INFO",
    "MAX_ITERS",
    "MAX_NAME",
    "NAME",
    "NAME_LENGTH",
    "NONE",
    "OTHER_RUN",
    "PID",
    "PID_NAMESPACE",
    "RUN",
    "SCALAR",
    "SEQUENCE",
    "SIZE",
    "SLOTS",
    "SPACE",
    "STAGES",
    "STARTED",
    "UNSHARED_NUMBERS",
    "UPDATED_NS",
    "UPDATES",
    "VALUE",
    "VERSION",
    "entry_cell",
]

MAGIC = b"RTINFO\r\n"
"""The first cell. As in PNG, it shows a transfer that changed line ends."""

VERSION = 3
"""The version of this layout. Cells are in the machine's byte order: in another one, this is another number.

In version 3 the identity has taken 2 KiB of the JSON. Version 2 has none; a reader of one version refuses the other."""

CELL = 8
"""The size of a cell in bytes."""
SIZE = 64 * 1024
"""The size of a board in bytes."""

# -- the header, by cells

IS_VERSION = 1
"""The cell of `VERSION`."""
IS_SIZE = 2
"""The cell of `SIZE`."""
SEQUENCE = 3
"""Odd while the writer is at work, even otherwise. It covers the header and the entries."""
PID = 4
"""The id of the writing process."""
PID_NAMESPACE = 5
"""Containers that share the folder can have the same process ids; 0 where the system has no namespaces."""
STARTED = 6
"""When the writing process began, in the system's unit: it tells a process from a later one with the same id."""
CURRENT = 7
"""`IS_CURRENT` while the hub is the one that its process entered last, `IS_ENTERED` while it is another one that the
process has entered, and 0 otherwise."""
CLOSED = 8
"""1 once the writer has ended sharing."""
CREATED_NS = 9
"""Nanoseconds since 1970 of the beginning."""
UPDATED_NS = 10
"""Nanoseconds since 1970 of the last write."""
EPOCH = 11
"""The slot of the info ``epoch``; see `SLOTS`."""
ITER = 12
"""The slot of the info ``iter``."""
MAX_EPOCHS = 13
"""The slot of the info ``max_epochs``."""
MAX_ITERS = 14
"""The slot of the info ``max_iters``."""
LOOP_STAGE = 15
"""The slot of the info ``loop_stage``: an index of `STAGES`."""
ENTRIES = 16
"""The number of entries in use, from the first one on."""
UNSHARED_NUMBERS = 17
"""The number of scalars and numbers that found no place: they are too many, or their names too long."""
INFO_SEQUENCE = 18
"""As `SEQUENCE`, for the JSON alone, which seldom changes."""
INFO_LENGTH = 19
"""The length of the JSON in bytes."""
HUB = 20
"""The number of the hub in its process: it tells a hub from a later one on a board of the same name."""
RUN = 21
"""The number of the last run of the hub among those of its process, from 1 on."""
OTHER_RUN = 22
"""The number of the last run of another hub; 0 if there was none."""
GENERATION = 23
"""Changes with `OTHER_RUN`, and when a run of the process claims workers."""
CLAIMS = 24
"""The number of workers that the run has claimed: those that were started before it, and now work for it."""
IDENTITY_SEQUENCE = 25
"""As `SEQUENCE`, for the identity alone, which hardly ever changes."""
IDENTITY_LENGTH = 26
"""The length of the identity in bytes."""
FIRST_CLAIM = 27
"""The process id of the first of the claimed workers; the others follow."""

HEADER_CELLS = 128
"""The length of the header in cells."""
HEADER_SIZE = HEADER_CELLS * CELL
"""The length of the header in bytes."""

MAX_CLAIMS = HEADER_CELLS - FIRST_CLAIM
"""The greatest number of workers that a run can claim."""

SLOTS = MappingProxyType(
    {"epoch": EPOCH, "iter": ITER, "max_epochs": MAX_EPOCHS, "max_iters": MAX_ITERS, "loop_stage": LOOP_STAGE}
)
"""The infos that have their own cell."""

IS_CURRENT = 1
"""In `CURRENT`: the hub was entered last."""
IS_ENTERED = 2
"""In `CURRENT`: the hub is in use, and another one was entered since."""

STAGES = ("train", "val", "test")
"""The stages by the number in `LOOP_STAGE`."""

# What a slot holds if it is not a number.
ABSENT = -(2**63)
"""The info is not published."""
NONE = ABSENT + 1
"""The info is None."""
ELSEWHERE = ABSENT + 2
"""The info is among the entries or in the JSON, for example a fraction."""

LOWEST_INT = ELSEWHERE + 1
"""The lowest number in a slot."""
HIGHEST_INT = 2**63 - 1
"""The highest number in a slot."""

# -- an entry, by cells from its first one

VALUE = 0
"""The value, as a float or an integer: `KIND` tells which."""
KIND = 1
"""`FREE`, `FLOAT`, `INT` or `BOOL`."""
UPDATES = 2
"""The number of values that the scalar has had."""
COUNT = 3
"""The number of samples that the latest value is the sum of, as a float."""
SPACE = 4
"""`SCALAR` or `INFO`: a scalar and an info can have the same key."""
NAME_LENGTH = 5
"""The length of the name in bytes of UTF-8."""
NAME = 6
"""The first cell of the name."""

ENTRY_CELLS = 16
"""The length of an entry in cells."""
ENTRY_SIZE = ENTRY_CELLS * CELL
"""The length of an entry in bytes."""
MAX_ENTRIES = 128
"""The greatest number of entries."""
MAX_NAME = ENTRY_SIZE - NAME * CELL
"""The greatest length of a name in bytes."""

FREE = 0
"""Removed. The entry keeps its space and its name forever."""
FLOAT = 1
"""The value is a 64-bit float."""
INT = 2
"""The value is a 64-bit integer."""
BOOL = 3
"""The value is 0 or 1."""

SCALAR = 0
"""The entry is the latest value of a scalar."""
INFO = 1
"""The entry is an info."""

# -- the JSON

INFO_OFFSET = HEADER_SIZE + MAX_ENTRIES * ENTRY_SIZE
"""The first byte of the JSON: ``[infos, keys]``. An info is ``[key, value]``; the keys are those of infos that have no
place. A third member, ``true``, says that other infos have no place either."""
IDENTITY_CAPACITY = 2 * 1024
"""The greatest length of the identity in bytes."""
IDENTITY_OFFSET = SIZE - IDENTITY_CAPACITY
"""The first byte of the identity: a JSON object with the fields of `runtimeinfo.board.BoardIdentity` as members."""
INFO_CAPACITY = IDENTITY_OFFSET - INFO_OFFSET
"""The greatest length of the JSON in bytes."""

MAX_INFO = 16 * 1024
"""The greatest length of one info in bytes."""


def entry_cell(index: int) -> int:
    """Return the first cell of an entry."""
    return HEADER_CELLS + index * ENTRY_CELLS
