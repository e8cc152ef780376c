"""The folder for the boards of this user, and opening a board without trusting it.

Another user might have put anything under the name of a board, so that owner, mode, kind and size are checked on the
open descriptor, before a byte of the content is used.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from runtimeinfo._errors import BoardError
from runtimeinfo.board.layout import CELL, IS_SIZE, IS_VERSION, MAGIC, SIZE, VERSION

FOLDER_VARIABLE = "RUNTIMEINFO_FOLDER"
"""The environment variable that names another folder for boards."""

_NAME = re.compile(r"([1-9][0-9]{0,18})-(0|[1-9][0-9]{0,8})\.board", re.ASCII)


def board_folder() -> Path:
    """Return the folder for the boards of this user, whether it exists or not.

    The environment variable ``RUNTIMEINFO_FOLDER`` names it. The default is a folder in memory (``/dev/shm``) that
    belongs to this user, or in the folder for temporary files where there is no such memory.

    Example:
        >>> board_folder().name.startswith("runtimeinfo")
        True

    Source: SHARE-05.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    memory = Path("/dev/shm")  # noqa: S108  # the folder made in it is closed to other users
    parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    return parent / f"runtimeinfo-{os.geteuid()}"


def make_board_folder() -> Path:
    """Return the folder for boards, and make it if it is missing.

    Raises:
        BoardError: If it cannot be made, or if other users might put something there.

    Source: SHARE-05.
    """
    folder = board_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise BoardError(
            f"the folder for boards cannot be made: {error}. Name another one in {FOLDER_VARIABLE}", path=folder
        ) from error
    fault = _fault_of_folder(found)
    if fault is not None:
        raise BoardError(
            f"{folder} {fault}: remove it, or name another folder in {FOLDER_VARIABLE}",
            path=folder,
            requirement="SHARE-05",
        )
    return folder


def board_files() -> list[Path]:
    """Return the files in the folder of this user that have the name of a board; empty if there is no such folder.

    Raises:
        BoardError: If the folder belongs to another user, or is open to others.

    Source: SHARE-05.
    """
    folder = board_folder()
    try:
        fault = _fault_of_folder(folder.lstat())
        paths = [] if fault is not None else sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BoardError(
            f"the folder for boards cannot be read: {error}. Name another one in {FOLDER_VARIABLE}", path=folder
        ) from error
    if fault is not None:
        raise BoardError(
            f"{folder} {fault}: what is in it is not read. Name another folder in {FOLDER_VARIABLE}",
            path=folder,
            requirement="SHARE-05",
        )
    return [path for path in paths if pid_in(path)]


def board_name(pid: int, number: int) -> str:
    """Return the file name of a process's board.

    Example:
        >>> board_name(4711, 0)
        '4711-0.board'
    """
    return f"{pid}-{number}.board"


def pid_in(path: Path) -> int:
    """Return the process id in the file name of a board, or 0 if this is not the name of a board.

    Example:
        >>> pid_in(Path("4711-0.board")), pid_in(Path("notes.txt"))
        (4711, 0)
    """
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def open_unfollowed(path: str | os.PathLike[str]) -> int:
    """Open a file for reading, without following a link or waiting for a pipe, and return the descriptor.

    Raises:
        OSError: If the file cannot be opened.

    Source: SHARE-05.
    """
    # O_NONBLOCK: opening a named pipe would otherwise wait for a writer.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextmanager
def open_board(path: Path) -> Generator[int]:
    """Open a board for reading, check that it is one, and close it at the end of the scope.

    Raises:
        BoardError: If it does not exist, is a link, is not a plain file, belongs to another user, is open to others,
            has another size or version, or is not a board.

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
    """Check that an open file is a board which can be trusted.

    Raises:
        BoardError: As `open_board`.

    Source: SHARE-05, SHARE-06.
    """
    fault = _fault_of_file(os.fstat(descriptor))
    if fault is not None:
        raise BoardError(
            f"{path} is not a board to be trusted: it {fault}. Remove it", path=path, requirement="SHARE-05"
        )
    fault = _fault_of_head(os.pread(descriptor, (IS_SIZE + 1) * CELL, 0))
    if fault is not None:
        raise BoardError(f"{path} cannot be read: it {fault}", path=path, requirement="SHARE-06")


def _fault_of_folder(found: os.stat_result) -> str | None:
    if not stat.S_ISDIR(found.st_mode):  # a link to a folder counts as a link: lstat does not follow it
        return "is not a folder"
    return _fault_of_owner(found)


def _fault_of_file(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    fault = _fault_of_owner(found)
    if fault is not None:
        return fault
    if found.st_size != SIZE:
        return f"has {found.st_size:,} bytes, where a board has {SIZE:,}"
    return None


def _fault_of_head(head: bytes) -> str | None:
    cells = [int.from_bytes(head[at : at + CELL], sys.byteorder) for at in range(0, len(head), CELL)]
    if head[:CELL] != MAGIC:
        return "does not begin like a board. Remove it"
    if cells[IS_VERSION] != VERSION:
        return f"has version {cells[IS_VERSION]}, and this runtimeinfo reads version {VERSION}: update the older side"
    if cells[IS_SIZE] != SIZE:
        return f"says that it has {cells[IS_SIZE]:,} bytes, where a board has {SIZE:,}"
    return None


def _fault_of_owner(found: os.stat_result) -> str | None:
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})"
    return None
