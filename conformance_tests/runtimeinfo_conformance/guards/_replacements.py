"""Replacements during a run: of the functions that end the process, and of its output streams."""

from __future__ import annotations

import codecs
import io
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable
from types import ModuleType, TracebackType
from typing import Any, NoReturn

from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved, place_of_call, place_of_error


class Replacement:
    """A stack of replacements for an attribute of a module.

    The last one pushed is in force. They can be removed in any order, because runs nest, and run in several threads.
    When none is left the original is restored, whatever the subject has assigned.

    Args:
        module: The module.
        name: The attribute.
    """

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module = module
        self._name = name
        self._pushed: list[Any] = []
        self._lock = threading.Lock()
        self.original: Any = getattr(module, name)

    def push(self, value: Any) -> None:
        """Replace the attribute by a value."""
        with self._lock:
            if not self._pushed:
                self.original = getattr(self._module, self._name)
            self._pushed.append(value)
            setattr(self._module, self._name, value)

    def remove(self, value: Any) -> None:
        """Remove a value that was pushed."""
        with self._lock:
            # By identity, from the end: the last one pushed is nearly always the first one removed.
            at = next(at for at in reversed(range(len(self._pushed))) if self._pushed[at] is value)
            del self._pushed[at]
            setattr(self._module, self._name, self._pushed[-1] if self._pushed else self.original)


# -- the end of the process

_RULE = "that ends the whole test session; a run comes back or raises, so raise an exception instead"


class Exited(BaseException):
    """A subject called os._exit or os.abort.

    It is not an Exception, so the subject's own `except Exception` does not take it for an error of a hook.
    """


class Exits:
    """Turn os._exit and os.abort into exceptions, in this process only: a forked child really exits.

    Attributes:
        problem: The first such call; None if there was none.
    """

    def __init__(self) -> None:
        self.problem: SubjectMisbehaved | None = None
        self._process = os.getpid()

    def begin(self) -> None:
        """Begin to refuse."""
        _open.append(self)
        _EXIT.push(_exit)
        _ABORT.push(_abort)

    def end(self) -> None:
        """Stop refusing."""
        _ABORT.remove(_abort)
        _EXIT.remove(_exit)
        _open.remove(self)

    def see(self, error: BaseException | None, trace: TracebackType | None) -> None:
        """Note a SystemExit that came out of the run: sys.exit ends the process, too, unless it is caught."""
        if isinstance(error, SystemExit) and self.problem is None:
            place = f" at {place_of_error(trace)}" if trace is not None else ""
            self.problem = SubjectMisbehaved("exit", f"it called sys.exit({error.code!r}){place}: {_RULE}")

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was made in this process, not in the process from which this one was forked."""
        return self._process == os.getpid()

    def refuse(self, call: str) -> NoReturn:
        """Note the call, and raise instead."""
        frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]  # there is no other way
        message = f"it called {call} at {place_of_call(frame)}: {_RULE}"
        if self.problem is None:
            self.problem = SubjectMisbehaved("exit", message)
        raise Exited(message)


_open: list[Exits] = []


def _here() -> Exits | None:
    return next((each for each in reversed(_open) if each.is_of_this_process), None)


# One function for all runs: a module that executes `from os import _exit` during one keeps it for ever.


def _exit(status: int) -> NoReturn:
    exits = _here()
    if exits is not None:
        exits.refuse(f"os._exit({status!r})")
    _EXIT.original(status)
    raise AssertionError("os._exit has returned")


def _abort() -> NoReturn:
    exits = _here()
    if exits is not None:
        exits.refuse("os.abort()")
    _ABORT.original()
    raise AssertionError("os.abort has returned")


_EXIT = Replacement(os, "_exit")
_ABORT = Replacement(os, "abort")


# -- the output streams

_MOST_CHARACTERS = 4_000

# A character of UTF-8 has up to four bytes.
_MOST_BYTES = 4 * _MOST_CHARACTERS

_STDOUT = Replacement(sys, "stdout")
_STDERR = Replacement(sys, "stderr")


class Printed:
    """Keep the last 4,000 characters that are written to sys.stdout and sys.stderr, in their order.

    Output that bypasses these two is not seen: that of subprocesses, C code and forked children. A stream that is kept
    beyond the end, for example by a logging handler, discards what is written to it then.
    """

    def __init__(self) -> None:
        # Without a lock: appending is atomic, and another thread could hold a lock when the process forks. No piece is
        # empty, so the last 4,000 pieces are enough.
        self._pieces: deque[str] | None = deque(maxlen=_MOST_CHARACTERS)
        self._text = ""

    def begin(self) -> None:
        """Replace both streams."""
        self._out = PrintedStream(self, "<stdout>", sys.stdout)
        self._err = PrintedStream(self, "<stderr>", sys.stderr)
        _STDOUT.push(self._out)
        _STDERR.push(self._err)

    def end(self) -> None:
        """Restore the streams, and keep the text."""
        _STDERR.remove(self._err)
        _STDOUT.remove(self._out)
        self._text, self._pieces = self.text, None

    def add(self, text: str) -> None:
        """Append a text."""
        pieces = self._pieces
        if pieces is not None and text:
            pieces.append(text[-_MOST_CHARACTERS:])

    @property
    def text(self) -> str:
        """The last characters, encodable for any report."""
        if self._pieces is None:
            return self._text
        text = "".join(list(self._pieces))[-_MOST_CHARACTERS:]
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


class PrintedStream(io.TextIOBase):
    """The replacement for sys.stdout or sys.stderr.

    Args:
        printed: The destination of the text.
        name: The name of the stream.
        under: The stream that it replaces; None where the process has no such stream.
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
        """The binary stream."""
        if self._bytes is None:
            self._bytes = _PrintedBytes(self)
        return self._bytes

    def write(self, text: str, /) -> int:
        """Write a text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._printed.add(text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]  # the stub allows bytes, too
        """Write texts."""
        for line in lines:
            self.write(line)

    def fileno(self) -> int:
        """Return the descriptor of the real stream: a subprocess may need it."""
        if self._under is None:
            raise io.UnsupportedOperation("fileno")
        number: int = self._under.fileno()
        return number

    def writable(self) -> bool:
        """Return True."""
        return True

    def reconfigure(self, **_: Any) -> None:
        """Ignore the options: every character can be written."""

    def close(self) -> None:
        """Stay open: a subject must not close the stream of the process."""


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
