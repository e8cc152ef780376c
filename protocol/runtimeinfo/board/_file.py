"""Opening a file that somebody else may have put there."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from runtimeinfo._errors import BoardError
from runtimeinfo.board._owner import fault_of_owner
from runtimeinfo.board.layout import CELL, IS_SIZE, IS_VERSION, MAGIC, SIZE, VERSION


def open_unfollowed(path: str | os.PathLike[str]) -> int:
    """Open a file to read it, and return the descriptor; no link is followed, and no pipe waited for.

    Raises:
        OSError: If it cannot be opened.

    Source: SHARE-05.
    """
    # O_NONBLOCK: a named pipe would make us wait for a writer.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextmanager
def opened(path: Path) -> Generator[int]:
    """Open a board to read it, once it is known to be one.

    Raises:
        BoardError: If it is not there, is a link, not a plain file, somebody else's, open to others, of another
            size, of another version, or no board at all.

    Source: SHARE-05, SHARE-06.
    """
    try:
        descriptor = open_unfollowed(path)
    except FileNotFoundError:
        raise BoardError(
            f"there is no board {path}: its run has ended, or it was never shared. `runtimeinfo top` "
            "shows those there are",
            path=path,
            requirement="SHARE-06",
        ) from None
    except (OSError, ValueError) as error:  # ELOOP: a link; ValueError: a zero byte in the path
        raise BoardError(
            f"the board {path} cannot be opened: {error}. If no run of yours has made it, remove it",
            path=path,
            requirement="SHARE-05",
        ) from error
    try:
        check_open(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def check_open(descriptor: int, path: Path) -> None:
    """Raise if an open file is no board, or not to be trusted.

    Raises:
        BoardError: As `opened`.

    Source: SHARE-05, SHARE-06.
    """
    fault = _fault_of_file(os.fstat(descriptor))
    if fault is not None:
        raise BoardError(f"{path} is no board to be trusted: it {fault}. Remove it", path=path, requirement="SHARE-05")
    fault = _fault_of_head(os.pread(descriptor, (IS_SIZE + 1) * CELL, 0))
    if fault is not None:
        raise BoardError(f"{path} cannot be read: it {fault}", path=path, requirement="SHARE-06")


def _fault_of_file(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file"
    fault = fault_of_owner(found)
    if fault is not None:
        return fault
    if found.st_size != SIZE:
        return f"has {found.st_size:,} bytes, where a board has {SIZE:,}. Remove it"
    return None


def _fault_of_head(head: bytes) -> str | None:
    cells = [int.from_bytes(head[at : at + CELL], sys.byteorder) for at in range(0, len(head), CELL)]
    if head[:CELL] != MAGIC:
        return "does not begin like a board. Remove it"
    if cells[IS_VERSION] != VERSION:
        return f"has version {cells[IS_VERSION]}, and this runtimeinfo reads version {VERSION}: update the older side"
    if cells[IS_SIZE] != SIZE:
        return f"says of itself that it has {cells[IS_SIZE]:,} bytes, where a board has {SIZE:,}. Remove it"
    return None
