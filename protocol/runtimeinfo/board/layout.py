"""Where what stands on a board: a file of fixed size, in cells of 8 bytes.

    bytes              what
    0 ... 1,023        header: one cell each, by the names below
    1,024 ... 17,407   128 entries of 128 bytes: scalars' latest values, and infos that are numbers
    17,408 ... 65,535  all other infos that are small enough, as JSON

A cell is written and read as a whole, so that one value is never torn. Several values belong together if
`SEQUENCE` is even, and the same before and after they were read: the writer makes it odd, writes, and makes it
even again. `ITER` alone may be written without that: beside the others it is right before and after. Whatever does
not fit in is counted or named, so that a reader can tell it from what nobody published.

The layout is part of the spec: a change of it is a new `VERSION`.
"""

from __future__ import annotations

from types import MappingProxyType

MAGIC = b"RTINFO\r\n"
"""The first cell. As in PNG, a transfer that changes line ends shows."""

VERSION = 1
"""A board that came from a machine of another byte order shows here: cells are in the machine's own."""

CELL = 8
SIZE = 64 * 1024

# -- the header, by cells

IS_VERSION = 1
IS_SIZE = 2
SEQUENCE = 3
"""Odd while the writer is at work, even otherwise. It covers the header and the entries."""
PID = 4
PID_NAMESPACE = 5
"""Two containers may share the folder, and have the same process ids; 0 where the system has no such thing."""
STARTED = 6
"""When the writing process began, in the system's own unit: it tells a process from a later one with its id."""
CURRENT = 7
"""1 while the hub is the one that its process entered last, 0 otherwise."""
CLOSED = 8
"""1 once the writer has gone on purpose."""
CREATED_NS = 9
UPDATED_NS = 10
"""Nanoseconds since 1970 of the last write."""
EPOCH = 11
ITER = 12
MAX_EPOCHS = 13
MAX_ITERS = 14
LOOP_STAGE = 15
ENTRIES = 16
"""How many entries are in use, from the first one on."""
UNSHARED_NUMBERS = 17
"""How many scalars and numbers found no place: too many, or too long a name."""
INFO_SEQUENCE = 18
"""As `SEQUENCE`, for the JSON alone, which seldom changes."""
INFO_LENGTH = 19
"""How many bytes of JSON there are."""

HEADER_CELLS = 128
HEADER_SIZE = HEADER_CELLS * CELL

SLOTS = MappingProxyType(
    {"epoch": EPOCH, "iter": ITER, "max_epochs": MAX_EPOCHS, "max_iters": MAX_ITERS, "loop_stage": LOOP_STAGE}
)
"""The infos that have a cell of their own."""

STAGES = ("train", "val", "test")
"""What a number in `LOOP_STAGE` means."""

# What a slot holds where it is no number.
ABSENT = -(2**63)
NONE = ABSENT + 1
ELSEWHERE = ABSENT + 2
"""The info is among the entries or in the JSON: a fraction, say."""

LOWEST_INT = ELSEWHERE + 1
HIGHEST_INT = 2**63 - 1

# -- an entry, by cells from its first one

VALUE = 0
KIND = 1
UPDATES = 2
"""How many values the scalar has had."""
COUNT = 3
"""How many samples the latest value is the sum of, as a float."""
SPACE = 4
"""Scalars and infos have keys of their own: one of each may have the same. 0 for a scalar, 1 for an info."""
NAME_LENGTH = 5
"""In bytes of UTF-8."""
NAME = 6

ENTRY_CELLS = 16
ENTRY_SIZE = ENTRY_CELLS * CELL
MAX_ENTRIES = 128
MAX_NAME = ENTRY_SIZE - NAME * CELL

FREE = 0
"""Removed. The entry keeps its space and its name for good."""
FLOAT = 1
INT = 2
BOOL = 3

SCALAR = 0
INFO = 1

# -- the JSON

INFO_OFFSET = HEADER_SIZE + MAX_ENTRIES * ENTRY_SIZE
INFO_CAPACITY = SIZE - INFO_OFFSET

MAX_INFO = 16 * 1024
"""How many bytes one info may take."""


def entry_cell(index: int) -> int:
    """Return the first cell of an entry."""
    return HEADER_CELLS + index * ENTRY_CELLS
