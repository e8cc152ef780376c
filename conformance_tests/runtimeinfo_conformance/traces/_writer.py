"""Writing the lines of a trace into its file, and giving up when that cannot be done."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import BinaryIO

from runtimeinfo_conformance.traces._format import END, encode

# Some 80 KB. A process that is killed loses at most that many events.
_BUFFERED_LINES = 1000


class TraceWarning(UserWarning):
    """A trace cannot be written any more; the run goes on without."""


class TraceWriter:
    """Buffers lines, and appends them to a file.

    The file is open only while it is written to: nothing is left open however a run ends, and a forked process
    holds no copy of an open file.

    Args:
        path: The file. Folders that are missing are made.
        append: Whether to keep what is in it; otherwise it begins anew with the first line.
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path: Path = Path(path).absolute()  # a run may change its working folder
        self._append = append
        self._lines: list[str] = []
        self._process = os.getpid()
        self._has_begun = False
        self._gave_up = False

    @property
    def has_begun(self) -> bool:
        """Whether a line was written."""
        return self._has_begun

    def write(self, line: str) -> None:
        """Add a line. The first one goes to the file at once: whether it can be written is known early."""
        # A forked worker has the hook as well, and is not the run.
        if self._gave_up or os.getpid() != self._process:
            return
        self._lines.append(line)
        if not self._has_begun or len(self._lines) >= _BUFFERED_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what is in the buffer. After the first error there is one warning, and nothing is written any more."""
        if self._gave_up or not self._lines or os.getpid() != self._process:
            return
        text = "".join(self._lines)
        self._lines.clear()
        try:
            if not self._has_begun:
                self._begin()
            with self.path.open("ab") as file:
                file.write(text.encode())
        except OSError as error:
            self._gave_up = True
            # Last of all: where warnings are errors, it raises.
            warnings.warn(
                f"the trace {self.path} ends here, since it cannot be written: {error}. "
                "Give the next run's TraceHook a path that can be written to",
                TraceWarning,
                stacklevel=2,
            )

    def finish(self) -> None:
        """Write what is left, and that this is the end."""
        if self._has_begun:
            self.write(encode({END: True}))
            self.flush()
        self._gave_up = True

    def _begin(self) -> None:
        self._has_begun = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._append:
            self.path.write_bytes(b"")
        elif self.path.exists():
            with self.path.open("r+b") as file:
                # The last line of a process that was killed may be half a line: it shall not become part of ours.
                if file.seek(0, os.SEEK_END) and not _ends_with_newline(file):
                    file.seek(0, os.SEEK_END)
                    file.write(b"\n")


def _ends_with_newline(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
