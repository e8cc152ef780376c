"""Whose a file or a folder is."""

from __future__ import annotations

import os
import stat


def fault_of_owner(found: os.stat_result) -> str | None:
    """Say why a file or a folder is not this user's alone; None if it is.

    Source: SHARE-05.
    """
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})"
    return None
