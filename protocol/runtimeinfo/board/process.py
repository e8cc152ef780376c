"""Identity of processes: the id alone does not identify one, because the system reuses it.

The header of a board names its writer by id, namespace and start; see `runtimeinfo.board.layout`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from runtimeinfo.board import layout

__all__ = ["is_alive", "is_elsewhere", "is_writer_alive", "pid_namespace", "started"]


# More than the line has: 52 numbers, and a name of at most 64 bytes.
_STAT_SIZE = 2048

# When this process began. A run is looked at many times a second, often by the process that makes it, and to ask the
# system takes a tenth of a millisecond.
_own_start: dict[int, int] = {}

if hasattr(os, "register_at_fork"):  # a later process can have the id of one that this one descends from
    os.register_at_fork(after_in_child=_own_start.clear)


def started(pid: int) -> int:
    """Return when a process began, in the system's unit; 0 if it does not exist, or the system does not tell."""
    if pid != os.getpid():
        return _start_of(pid)
    if not _own_start.get(pid):
        _own_start[pid] = _start_of(pid)
    return _own_start[pid]


def _start_of(pid: int) -> int:
    try:
        # Not by pathlib, which takes three times as long: a reader of many boards asks for each process.
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            stat = os.read(descriptor, _STAT_SIZE)
        finally:
            os.close(descriptor)
        # The name, in brackets, can contain blanks and brackets. The fields after it begin with number 3.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0


def is_alive(pid: int, since: int) -> bool:
    """Tell whether the process that began then still exists; one that waits to be reaped does not.

    Where the system does not tell (Windows), the process counts as alive.

    Args:
        pid: The id of the process.
        since: What `started` has returned for it; 0 if that is unknown.
    """
    if pid <= 0:
        return False
    if since:
        return started(pid) == since
    if not hasattr(os, "geteuid"):  # Windows, where signal 0 is Ctrl-C and not a question
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@cache
def pid_namespace() -> int:
    """Return a number that tells this container's process ids from another's, or 0 without namespaces."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def is_elsewhere(cells: Sequence[int]) -> bool:
    """Tell whether the writer of a board is in another container, so that this one cannot tell whether it lives.

    Args:
        cells: The header of the board, as integers.
    """
    return cells[layout.PID_NAMESPACE] != pid_namespace()


def is_writer_alive(cells: Sequence[int]) -> bool:
    """Tell whether the writer of a board lives, as a process of this container.

    Args:
        cells: The header of the board, as integers.
    """
    return not is_elsewhere(cells) and is_alive(cells[layout.PID], cells[layout.STARTED])
