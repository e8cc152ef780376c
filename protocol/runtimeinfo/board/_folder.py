"""Where the boards of this user are."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

from runtimeinfo._errors import BoardError
from runtimeinfo.board._owner import fault_of_owner

FOLDER_VARIABLE = "RUNTIMEINFO_FOLDER"
"""The environment variable that names another folder."""

_NAME = re.compile(r"([1-9][0-9]{0,18})-(0|[1-9][0-9]{0,8})\.board", re.ASCII)


def board_folder() -> Path:
    """Return the folder for the boards of this user, whether it is there or not.

    It is what the environment variable ``RUNTIMEINFO_FOLDER`` says, or else one of this user's own in memory, or
    in the folder for temporary files.

    Example:
        >>> board_folder().name.startswith("runtimeinfo")
        True

    Source: SHARE-05.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    memory = Path("/dev/shm")  # noqa: S108  # a folder of our own in it, that nobody else can write to
    parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    return parent / f"runtimeinfo-{os.geteuid()}"


def make_board_folder() -> Path:
    """Return the folder, made if need be.

    Raises:
        BoardError: If it cannot be made, or others might put something there: then nobody can trust it.

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
    fault = _fault(found)
    if fault is not None:
        raise BoardError(
            f"{folder} {fault}: remove it, or name another folder in {FOLDER_VARIABLE}",
            path=folder,
            requirement="SHARE-05",
        )
    return folder


def board_files() -> list[Path]:
    """Return what has the name of a board in the folder of this user; empty where there is no such folder.

    Raises:
        BoardError: If the folder is somebody else's, or open to others.

    Source: SHARE-05.
    """
    folder = board_folder()
    try:
        fault = _fault(folder.lstat())
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
    """Return the name of a process's board."""
    return f"{pid}-{number}.board"


def pid_in(path: Path) -> int:
    """Return the process id in the name of a board; 0 if it has none.

    Example:
        >>> pid_in(Path("4711-0.board")), pid_in(Path("notes.txt"))
        (4711, 0)
    """
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def _fault(found: os.stat_result) -> str | None:
    if not stat.S_ISDIR(found.st_mode):  # a link to a folder is none either: it was not followed
        return "is no folder"
    return fault_of_owner(found)
