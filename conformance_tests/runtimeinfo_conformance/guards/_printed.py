"""What a subject prints."""

from __future__ import annotations

import codecs
import io
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any

from runtimeinfo_conformance.guards._replacement import Replacement

_MOST_CHARACTERS = 4_000

# A character of UTF-8 has up to four bytes.
_MOST_BYTES = 4 * _MOST_CHARACTERS

_STDOUT = Replacement(sys, "stdout")
_STDERR = Replacement(sys, "stderr")


class Printed:
    """Keeps the last 4,000 characters that are written to sys.stdout and sys.stderr, in their order.

    What goes around these two is not seen: a subprocess, C code, a forked child. A stream that somebody keeps, as
    a logging handler does, takes what is written after the end, too, and forgets it.
    """

    def __init__(self) -> None:
        # Pieces, without a lock: appending is atomic, and a lock could be held by another thread when the process
        # forks. None of them is empty, so that the last 4,000 of them are enough.
        self._pieces: deque[str] | None = deque(maxlen=_MOST_CHARACTERS)
        self._text = ""

    def begin(self) -> None:
        """Stand in for both streams."""
        self._out = PrintedStream(self, "<stdout>", sys.stdout)
        self._err = PrintedStream(self, "<stderr>", sys.stderr)
        _STDOUT.push(self._out)
        _STDERR.push(self._err)

    def end(self) -> None:
        """Put the streams back, and keep what there is."""
        _STDERR.remove(self._err)
        _STDOUT.remove(self._out)
        self._text, self._pieces = self.text, None

    def add(self, text: str) -> None:
        """Take what was written."""
        pieces = self._pieces
        if pieces is not None and text:
            pieces.append(text[-_MOST_CHARACTERS:])

    @property
    def text(self) -> str:
        """What was written last, fit to be written into any report."""
        if self._pieces is None:
            return self._text
        text = "".join(list(self._pieces))[-_MOST_CHARACTERS:]
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


class PrintedStream(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr.

    Args:
        printed: Where what is written goes.
        name: Its name.
        under: What it stands in for; None where the process has no such stream.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = True
    write_through = True

    def __init__(self, printed: Printed, name: str, under: Any) -> None:
        self.name = name
        self._printed = printed
        self._under = under
        self._bytes: _PrintedBytes | None = None

    @property
    def buffer(self) -> _PrintedBytes:
        """The stream for bytes."""
        if self._bytes is None:
            self._bytes = _PrintedBytes(self)
        return self._bytes

    def write(self, text: str, /) -> int:
        """Take a text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._printed.add(text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]  # the stub allows bytes, too
        """Take texts."""
        for line in lines:
            self.write(line)

    def fileno(self) -> int:
        """Return the descriptor of the real stream: a subprocess may need it."""
        if self._under is None:
            raise io.UnsupportedOperation("fileno")
        number: int = self._under.fileno()
        return number

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def reconfigure(self, **_: Any) -> None:
        """Change nothing: every character can be written."""

    def close(self) -> None:
        """Stay open: it is not the subject's to close."""


class _PrintedBytes(io.BufferedIOBase):
    """The `buffer` of a stream."""

    def __init__(self, stream: PrintedStream) -> None:
        self.name = stream.name
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self._stream.write(self._decoder.decode(bytes(view[-_MOST_BYTES:])))
        return view.nbytes

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass
