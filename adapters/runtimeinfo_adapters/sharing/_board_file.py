"""The file of a board: made, and removed again."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

from runtimeinfo import BoardError
from runtimeinfo.board import (
    FOLDER_VARIABLE,
    board_files,
    board_name,
    is_elsewhere,
    is_writer_alive,
    layout,
    make_board_folder,
    open_unfollowed,
    pid_in,
)
from runtimeinfo.board.process import is_alive, pid_namespace, started

_MOST_OF_A_PROCESS = 10_000


def make_board_file() -> tuple[Path, mmap.mmap]:
    """Make a board without any value on it, and map it.

    Returns:
        The path, and the board, ready to be written.

    Raises:
        BoardError: If there is no place to make it.

    Source: SHARE-05.
    """
    folder = make_board_folder()
    remove_stale_boards()
    descriptor, path = _create(folder)
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask is
        # All of it now: where memory is short, this fails. A hole would end the process at the first write.
        os.posix_fallocate(descriptor, 0, layout.SIZE)
        mapped = mmap.mmap(descriptor, layout.SIZE)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BoardError(
            f"no board can be made in {folder}: {error}. Name another folder in {FOLDER_VARIABLE}", path=path
        ) from error
    finally:
        os.close(descriptor)
    _write_header(mapped)
    return path, mapped


def remove_stale_boards() -> None:
    """Remove the boards of this user whose processes are gone without having done so themselves.

    Source: SHARE-06.
    """
    for path in board_files():
        if _is_stale(path):
            path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    try:
        descriptor = open_unfollowed(path)
    except OSError:  # gone since, a link, or not ours to read: not ours to remove either
        return False
    try:
        found = os.fstat(descriptor)
        head = os.pread(descriptor, layout.HEADER_SIZE, 0)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    if found.st_uid != os.geteuid():
        return False
    if head[: layout.CELL] != layout.MAGIC or len(head) != layout.HEADER_SIZE:
        # Its writer was killed before it had begun. Nothing but the name says who that was.
        return not is_alive(pid_in(path), since=0)
    cells = memoryview(head).cast("q")
    return not is_elsewhere(cells) and not is_writer_alive(cells)


def _create(folder: Path) -> tuple[int, Path]:
    for number in range(_MOST_OF_A_PROCESS):
        path = folder / board_name(os.getpid(), number)
        try:
            # O_EXCL: nobody else's file is written to, nor is a link followed.
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), path
        except FileExistsError:
            continue
        except OSError as error:
            raise BoardError(
                f"no board can be made in {folder}: {error}. Name another folder in {FOLDER_VARIABLE}", path=path
            ) from error
    raise BoardError(f"{folder} has {_MOST_OF_A_PROCESS:,} boards of this process: unshare some hubs", path=folder)


def _write_header(mapped: mmap.mmap) -> None:
    cells = memoryview(mapped).cast("q")
    cells[layout.IS_VERSION] = layout.VERSION
    cells[layout.IS_SIZE] = layout.SIZE
    cells[layout.PID] = os.getpid()
    cells[layout.PID_NAMESPACE] = pid_namespace()
    cells[layout.STARTED] = started(os.getpid())
    cells[layout.CREATED_NS] = cells[layout.UPDATED_NS] = time.time_ns()
    for slot in layout.SLOTS.values():
        cells[slot] = layout.ABSENT
    mapped[: layout.CELL] = layout.MAGIC  # last: before that it is no board
