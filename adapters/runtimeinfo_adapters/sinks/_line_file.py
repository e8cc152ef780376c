"""A file that grows by whole lines."""

from __future__ import annotations

import os
from pathlib import Path


class LineFile:
    """Appends lines to a file, which is open only for that.

    So nothing is left open however a run ends, and a forked process holds no copy of an open file. Each line is
    with the operating system when `append` returns: it outlives a SIGKILL of this process, not a loss of power.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    def open(self) -> bool:
        """Make the file and its folders, if they are not there; return whether it is empty.

        Raises:
            OSError: If it cannot be written to.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            is_empty = file.tell() == 0
        if not is_empty:
            self._end_last_line()
        return is_empty

    def append(self, text: str) -> None:
        """Append text, which ends with a line's end.

        Raises:
            OSError: If it cannot be written.
        """
        with self.path.open("ab") as file:
            file.write(text.encode(errors="backslashreplace"))

    def _end_last_line(self) -> None:
        """End the last line: of a process that was killed it may be half a line, which shall not run into ours."""
        with self.path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
