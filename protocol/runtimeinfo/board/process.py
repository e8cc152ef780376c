"""Process identity: an id alone is reused one day."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from runtimeinfo.board import layout


def started(pid: int) -> int:
    """Return when a process began, in the system's own unit; 0 if it is not there, or the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        # The name, in brackets, may hold blanks and brackets itself. What follows begins with field 3.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0


def is_alive(pid: int, since: int) -> bool:
    """Tell whether the process that began then is still there; one that waits to be reaped is not."""
    if pid <= 0:
        return False
    if since:
        return started(pid) == since
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@cache
def pid_namespace() -> int:
    """Return what tells this process's ids from another container's; 0 where there is no such thing."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def is_elsewhere(cells: Sequence[int]) -> bool:
    """Tell whether the writer is in another container, of which nobody knows here whether it lives.

    Args:
        cells: The header, as integers.
    """
    return cells[layout.PID_NAMESPACE] != pid_namespace()


def is_writer_alive(cells: Sequence[int]) -> bool:
    """Tell whether the writer lives, as a process of this container.

    Args:
        cells: The header, as integers.
    """
    return not is_elsewhere(cells) and is_alive(cells[layout.PID], cells[layout.STARTED])
