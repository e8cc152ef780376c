"""Make the file of a board, and remove those that were left behind."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from time import time_ns
from typing import NamedTuple

from runtimeinfo import BoardError
from runtimeinfo._user_warning import warn_user
from runtimeinfo.board import (
    FOLDER_VARIABLE,
    BoardIdentity,
    UnsharedWarning,
    board_name,
    layout,
    make_board_folder,
    pid_in,
)
from runtimeinfo.board._folder import (
    HAS_OWNERS,
    all_board_files,
    finished_name,
    make_private_folder,
    open_unfollowed,
    read_at,
    unfinished_name,
)
from runtimeinfo.board.process import is_alive, is_elsewhere, is_writer_alive, pid_namespace, started

_MAX_BOARDS = 10_000


class BoardFile(NamedTuple):
    """The file of a board, which this process has made.

    Attributes:
        path: Its name.
        mapped: Its content.
        inode: Device and number of the file: another one might have the name later.
    """

    path: Path
    mapped: mmap.mmap
    inode: tuple[int, int]


def make_board_file(identity: BoardIdentity) -> BoardFile:
    """Make the file of a board, without any value in it but its identity, and map it.

    Where the folder for boards cannot be used, and the user has not named it, a private one is made, with a warning.

    Args:
        identity: The identity of the run.

    Raises:
        BoardError: If the file cannot be made.

    Source: SHARE-05.
    """
    try:
        return _make_board_file_in(make_board_folder(), identity)
    except BoardError as error:
        try:
            private = make_private_folder()
        except OSError:
            private = None
        if private is None:
            raise
        made = _make_board_file_in(private, identity)
        warn_user(
            f"`runtimeinfo top` does not find this run: its board is in the private folder {private}, because "
            f"{error.message}. Set {FOLDER_VARIABLE} for both to a folder that is yours",
            UnsharedWarning,
        )
        return made


def remove_stale_boards() -> None:
    """Remove the boards that this user's dead processes have left behind, as far as that is possible.

    Raises:
        BoardError: If the folder for boards cannot be read.

    Source: SHARE-06.
    """
    for path in all_board_files():
        with suppress(OSError):  # it must not keep this run from being shared
            if _is_stale(path):
                path.unlink()


def _is_stale(path: Path) -> bool:
    descriptor = open_unfollowed(path)
    try:
        found = os.fstat(descriptor)
        head = read_at(descriptor, layout.HEADER_SIZE, 0)
    finally:
        os.close(descriptor)
    if not HAS_OWNERS:
        # Windows does not tell which process is alive, but refuses to remove a file that is in use.
        return os.name == "nt"
    if found.st_uid != os.geteuid():
        return False
    if head[: layout.CELL] != layout.MAGIC or len(head) != layout.HEADER_SIZE:
        # Its writer was killed before it was finished. Only the file name tells which process that was.
        return not is_alive(pid_in(finished_name(path)), since=0)
    cells = memoryview(head).cast("q")
    if is_elsewhere(cells):
        return False
    is_left_behind = cells[layout.CLOSED] and cells[layout.PID] == os.getpid()  # it could not be removed then
    return bool(is_left_behind) or not is_writer_alive(cells)


def _make_board_file_in(folder: Path, identity: BoardIdentity) -> BoardFile:
    remove_stale_boards()
    try:
        descriptor, path = _reserve(folder)
        unfinished = unfinished_name(path)
        try:
            try:
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, 0o600)  # independent of the umask
                _write_all(descriptor, _empty_board(identity))
            finally:
                os.close(descriptor)  # Windows does not rename an open file
            unfinished.rename(path)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise
        return _map(path)
    except OSError as error:
        raise BoardError(
            f"no board can be made in {folder}: {error}. Name another folder in {FOLDER_VARIABLE}", path=folder
        ) from error


def _reserve(folder: Path) -> tuple[int, Path]:
    """Open a new file under the unfinished name of a board, and return it with the name that is then free.

    Only the owner of the unfinished name takes the other one, so that no process overwrites the board of another.
    """
    # O_EXCL: never write to an existing file, and never follow a link. No child inherits the descriptor: PEP 446.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    for number in range(_MAX_BOARDS):
        path = folder / board_name(os.getpid(), number)
        if os.path.lexists(path):
            continue
        try:
            descriptor = os.open(unfinished_name(path), flags, 0o600)
        except FileExistsError:
            continue
        if not os.path.lexists(path):
            return descriptor, path
        os.close(descriptor)
        unfinished_name(path).unlink()
    raise BoardError(f"{folder} has {_MAX_BOARDS:,} boards of this process: unshare some hubs", path=folder)


def _write_all(descriptor: int, content: bytes) -> None:
    """Write all of the file now, which fails if there is no room. A hole would end the process at its first write.

    By writing, which works on every system: macOS has no `os.posix_fallocate`.
    """
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _map(path: Path) -> BoardFile:
    """Map a new board; remove it if that fails."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        try:
            found = os.fstat(descriptor)
            return BoardFile(path, mmap.mmap(descriptor, layout.SIZE), (found.st_dev, found.st_ino))
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _empty_board(identity: BoardIdentity) -> bytes:
    """Return the content of a board without any value in it but its identity."""
    content = bytearray(layout.SIZE)
    content[: layout.CELL] = layout.MAGIC
    cells = memoryview(content).cast("q")
    cells[layout.IS_VERSION] = layout.VERSION
    cells[layout.IS_SIZE] = layout.SIZE
    cells[layout.PID] = os.getpid()
    cells[layout.PID_NAMESPACE] = pid_namespace()
    cells[layout.STARTED] = started(os.getpid())
    cells[layout.CREATED_NS] = cells[layout.UPDATED_NS] = time_ns()
    for slot in layout.SLOTS.values():
        cells[slot] = layout.ABSENT
    raw = identity.to_json()
    cells[layout.IDENTITY_LENGTH] = len(raw)
    cells.release()
    content[layout.IDENTITY_OFFSET : layout.IDENTITY_OFFSET + len(raw)] = raw
    return bytes(content)
