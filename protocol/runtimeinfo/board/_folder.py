"""The folder for the boards of this user, and opening a board without trusting it.

Another user might have put anything under the name of a board, so that owner, mode, kind and size are checked on the
open descriptor, before a byte of the content is used. Windows has no owners and modes of this kind: there the folder
for temporary files is the user's alone.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtimeinfo._errors import BoardError
from runtimeinfo.board.layout import CELL, IS_SIZE, IS_VERSION, MAGIC, SIZE, VERSION

FOLDER_VARIABLE = "RUNTIMEINFO_FOLDER"
"""The environment variable that names another folder for boards."""

HAS_OWNERS = hasattr(os, "geteuid")
"""Whether files have owners, and modes that keep other users out. Not on Windows."""

_NAME = re.compile(r"([1-9][0-9]{0,18})-(0|[1-9][0-9]{0,8})\.board", re.ASCII)
_UNFINISHED = ".new"

_MEMORY = Path("/dev/shm")  # noqa: S108  # the folder made in it is closed to other users
_FOLDER_NAME = re.compile(r"runtimeinfo-(0|[1-9][0-9]{0,9})", re.ASCII)


# The folder in force, by what FOLDER_VARIABLE says: where that is a relative path, or the default cannot be used.
_in_force: dict[str, Path] = {}


def board_folder() -> Path:
    """Return the folder for the boards of this user, whether it exists or not.

    The environment variable ``RUNTIMEINFO_FOLDER`` names it. The default is a folder in memory (``/dev/shm``) that
    belongs to this user, or in the folder for temporary files where there is no such memory. If another user has put
    something under that name, it is a folder in ``XDG_RUNTIME_DIR``; see also `make_private_folder`.

    Example:
        >>> board_folder().name.startswith("runtimeinfo")
        True

    Source: SHARE-05.
    """
    chosen = os.environ.get(FOLDER_VARIABLE, "")
    in_force = _in_force.get(chosen)
    if in_force is not None:
        return in_force
    if not chosen:
        return _default_folder()
    folder = Path(chosen)
    if not folder.is_absolute():
        with suppress(OSError):  # the working directory is gone
            # From now on the same, wherever this process goes.
            folder = _in_force[chosen] = Path.cwd() / folder
    return folder


def use_folder(folder: Path) -> None:
    """Make a folder the one in force in this process, as long as ``RUNTIMEINFO_FOLDER`` does not change.

    Args:
        folder: The folder, which exists.
    """
    _in_force[os.environ.get(FOLDER_VARIABLE, "")] = folder


def make_private_folder() -> Path | None:
    """Make a temporary folder for boards, and put it in force in this process and in those that it forks.

    It is removed when this process ends. Workers that are spawned are told of it, and no other process finds it.

    Returns:
        The folder; None where the user has named one in ``RUNTIMEINFO_FOLDER``.

    Raises:
        OSError: If it cannot be made.

    Source: SHARE-05.
    """
    if os.environ.get(FOLDER_VARIABLE):
        return None
    folder = Path(tempfile.mkdtemp(prefix="runtimeinfo-"))
    # An exit handler that runs after those of the boards in it, which are made later.
    weakref.finalize(make_private_folder, _remove_private_folder, folder, os.getpid())
    use_folder(folder)
    return folder


def _remove_private_folder(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a forked child
        shutil.rmtree(folder, ignore_errors=True)


def _default_folder() -> Path:
    parent = _MEMORY
    if not os.access(_MEMORY, os.W_OK):
        with suppress(OSError):  # there is no folder for temporary files: to make one for boards fails, with the reason
            parent = Path(tempfile.gettempdir())
    folder = parent / (f"runtimeinfo-{os.geteuid()}" if HAS_OWNERS else "runtimeinfo")
    other = Path(os.environ.get("XDG_RUNTIME_DIR", ""), "runtimeinfo")
    return other if other.is_absolute() and _is_taken(folder) and not _is_taken(other) else folder


def _is_taken(folder: Path) -> bool:
    try:
        return _fault_of_folder(folder.lstat()) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True


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


def board_files(folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Return the files in a folder with the name of a board, or nothing if the folder does not exist.

    Args:
        folder: The folder; that of this user if left out.

    Raises:
        BoardError: If the folder belongs to another user, or is open to others.

    Source: SHARE-05.
    """
    return [path for path in _files(board_folder() if folder is None else Path(folder)) if pid_in(path)]


def all_board_files() -> list[Path]:
    """Return the files of boards, also of boards that are being made, or were when their process died.

    Raises:
        BoardError: As `board_files`.

    Source: SHARE-05.
    """
    return [path for path in _files(board_folder()) if pid_in(finished_name(path))]


def unfinished_name(path: Path) -> Path:
    """Return the name that a board has until it is complete: another process sees a whole board, or none."""
    return path.with_name(f"{path.name}{_UNFINISHED}")


def finished_name(path: Path) -> Path:
    """Return the name of a board, of the one that it has, or had until it was complete."""
    return path.with_name(path.name.removesuffix(_UNFINISHED))


def _files(folder: Path) -> list[Path]:
    try:
        fault = _fault_of_folder(folder.lstat())
        paths = [] if fault is not None else sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _folder_error(folder, error) from error
    if fault is not None:
        raise _untrusted_error(folder, fault)
    return paths


def _folder_error(folder: Path, error: OSError) -> BoardError:
    return BoardError(
        f"the folder for boards cannot be read: {error}. Name another one in {FOLDER_VARIABLE}", path=folder
    )


def _untrusted_error(folder: Path, fault: str) -> BoardError:
    return BoardError(
        f"{folder} {fault}: what is in it is not read. Name another folder in {FOLDER_VARIABLE}",
        path=folder,
        requirement="SHARE-05",
    )


class BoardListing:
    """Lists the boards in a folder again and again, and reads the folder only after it has changed.

    Args:
        folder: The folder.
        owner: The id of the user that it must belong to; this one by default.
    """

    def __init__(self, folder: Path, owner: int | None = None) -> None:
        self.folder = folder
        self.owner = owner
        self._boards: dict[Path, int] = {}
        self._stamp: int | None = None

    def boards(self) -> dict[Path, int]:
        """Return the files that have the name of a board, each with a number: another file of that name has another.

        Raises:
            BoardError: As `board_files`.

        Source: SHARE-05.
        """
        try:
            found = self.folder.lstat()
            fault = _fault_of_folder(found, self.owner)
            stamp = stamp_of(found)
            if fault is None and (stamp is None or stamp != self._stamp):
                self._boards, self._stamp = self._listed(), stamp
        except FileNotFoundError:
            self._boards, self._stamp, fault = {}, None, None
        except OSError as error:
            raise _folder_error(self.folder, error) from error
        if fault is not None:
            raise _untrusted_error(self.folder, fault)
        return self._boards

    def _listed(self) -> dict[Path, int]:
        with os.scandir(self.folder) as entries:
            names = sorted((entry.name, entry.inode()) for entry in entries if _NAME.fullmatch(entry.name))
        return {self.folder / name: number for name, number in names}


def folders_of_others() -> dict[Path, int]:
    """Return the folders for boards that other users have by default, each with its user.

    Only root can look into them. What is in the place of a folder, and whose it is, `BoardListing` checks.
    """
    others: dict[Path, int] = {}
    for parent in {_MEMORY, Path(tempfile.gettempdir())}:
        for path in _entries(parent):
            found = _FOLDER_NAME.fullmatch(path.name)
            if found:
                others[path] = int(found[1])
    for path in _entries(Path("/run/user")):
        if path.name.isdecimal():
            others[path / "runtimeinfo"] = int(path.name)
    return {path: user for path, user in others.items() if user != os.geteuid()}


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return []


# The clock of a file system ticks every few milliseconds: a board made in the tick of the last look does not change
# the folder's time.
_TICK_NS = 100_000_000


def stamp_of(folder: os.stat_result) -> int | None:
    """Return a stamp that changes when a board is made or removed in a folder, or None if it is not reliable now."""
    changed_ns = folder.st_mtime_ns
    return changed_ns if time.time_ns() - changed_ns > _TICK_NS else None


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
    if not hasattr(os, "O_NOFOLLOW"):  # Windows: the time between the look and the opening cannot be closed
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ELOOP, "it is not a plain file", str(path))
    # O_NONBLOCK: opening a named pipe would otherwise wait for a writer. No child inherits the descriptor: PEP 446.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, os.O_RDONLY | flags)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Read a part of an open file.

    Raises:
        OSError: If it cannot be read.
    """
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # Windows
    return os.read(descriptor, length)


@contextmanager
def open_board(path: Path, owner: int | None = None) -> Generator[int]:
    """Open a board for reading, check that it is one, and close it at the end of the scope.

    Args:
        path: The board.
        owner: The id of the user that it must belong to; this one by default.

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
        check_open(descriptor, path, owner)
        yield descriptor
    finally:
        with suppress(OSError):  # it was only read
            os.close(descriptor)


def check_open(descriptor: int, path: Path, owner: int | None = None) -> None:
    """Check that an open file is a board which can be trusted.

    Args:
        descriptor: The file.
        path: The board.
        owner: The id of the user that it must belong to; this one by default.

    Raises:
        BoardError: As `open_board`.

    Source: SHARE-05, SHARE-06.
    """
    try:
        found = os.fstat(descriptor)
    except OSError as error:
        raise unreadable_error(path, error) from error
    fault = _fault_of_file(found, owner)
    if fault is not None:
        raise BoardError(
            f"{path} is not a board to be trusted: it {fault}. Remove it", path=path, requirement="SHARE-05"
        )
    fault = _fault_of_head(read_of_board(descriptor, (IS_SIZE + 1) * CELL, 0, path))
    if fault is not None:
        raise BoardError(f"{path} cannot be read: it {fault}", path=path, requirement="SHARE-06")


def read_of_board(descriptor: int, length: int, offset: int, path: Path) -> bytes:
    """Read a part of an open board.

    Raises:
        BoardError: If it cannot be read.
    """
    try:
        return read_at(descriptor, length, offset)
    except OSError as error:
        raise unreadable_error(path, error) from error


def unreadable_error(path: Path, error: OSError) -> BoardError:
    """Return the error for a board that the system does not let this process read."""
    return BoardError(f"the board {path} cannot be read: {error}. Remove it", path=path, requirement="SHARE-06")


def _fault_of_folder(found: os.stat_result, owner: int | None = None) -> str | None:
    if not stat.S_ISDIR(found.st_mode):  # a link to a folder counts as a link: lstat does not follow it
        return "is not a folder"
    return _fault_of_owner(found, owner)


def _fault_of_file(found: os.stat_result, owner: int | None) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    fault = _fault_of_owner(found, owner)
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


def _fault_of_owner(found: os.stat_result, owner: int | None) -> str | None:
    if not HAS_OWNERS:
        return None
    if found.st_uid != (os.geteuid() if owner is None else owner):
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})"
    return None
