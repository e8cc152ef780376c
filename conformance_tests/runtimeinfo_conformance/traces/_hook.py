"""The hook that writes a trace, and its file."""

from __future__ import annotations

import os
import warnings
import weakref
from pathlib import Path
from typing import Any, BinaryIO

from runtimeinfo.authoring import on_any_event
from runtimeinfo.spec import ABORT
from runtimeinfo_conformance.traces._format import END, TraceHeader, encode, plain

_MISSING: Any = object()
_NAMES_AT = frozenset({"after_train_iter", "after_train_epoch"})
_FLUSHED_AT = frozenset({"after_run", ABORT})

# Some 80 KB. A process that is killed loses at most that many events.
_BUFFERED_LINES = 1000


class TraceWarning(UserWarning):
    """A trace cannot be written any longer; the run continues without it."""


@on_any_event(by="note")
class TraceHook:
    """Write every event of a run into a file, which `check_trace` judges later, and on any machine.

    It runs after all other hooks, so it sees what they have published. It reads the names of scalars only, and never
    waits for an accelerator. It is a hook of this protocol, and works with every adapter:
    ``Loop(..., hooks=[TraceHook("run.jsonl")])``.

    One hook writes one file, with all runs that it sees in their order, because ``train()`` and then ``test()`` are two
    runs of one training. A new hook overwrites the file, so that the faults of an old run do not count against a new
    one; with `append` it goes on in the file, for a training that is resumed.

    If the file cannot be written, for example on a full disk, there is one `TraceWarning`, and the run goes on without
    the trace. A forked process writes nothing. Processes that each make a hook, like the ranks of a distributed run,
    need different paths.

    Args:
        path: The file. Missing folders are made.
        append: Whether to keep the contents of the file.

    Example:
        >>> TraceHook("run.jsonl").priority
        'LOWEST'

    Source: LIFE-01, ORDER-02.
    """

    priority = "LOWEST"

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self._writer = TraceWriter(path, append=append)
        self._names: list[str] = []
        self._exception = 0  # an id, because a reference would keep the frames of its traceback alive
        self._exceptions = 0
        # When the hook is collected, or the process ends in order: a process that is killed leaves no mark of the end.
        weakref.finalize(self, self._writer.finish)

    @property
    def path(self) -> Path:
        """The file."""
        return self._writer.path

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        """Write an event."""
        writer = self._writer
        if not writer.has_begun:
            writer.write(_header_of(runner).encode())
        hub = runner.message_hub
        record: dict[str, Any] = {"e": event}
        for key, value in (
            ("re", getattr(runner, "epoch", _MISSING)),
            ("ri", getattr(runner, "iter", _MISSING)),
            ("s", hub.get_info("loop_stage", _MISSING)),
            ("he", hub.get_info("epoch", _MISSING)),
            ("hi", hub.get_info("iter", _MISSING)),
            ("b", arguments.get("batch_idx", _MISSING)),
        ):
            if value is not _MISSING:
                record[key] = value if type(value) is int else plain(value)
        if event in _NAMES_AT:
            names = [str(name) for name in hub.log_scalars]
            if names != self._names:
                self._names = names
                record["p"] = sorted(names)
        elif event == ABORT:
            record["x"] = self._identify(arguments.get("exception"))
        writer.write(encode(record))
        if event in _FLUSHED_AT:
            writer.flush()

    def _identify(self, exception: object) -> list[Any]:
        if id(exception) != self._exception:
            self._exception = id(exception)
            self._exceptions += 1
        return [type(exception).__name__, self._exceptions]


def _header_of(runner: Any) -> TraceHeader:
    name = getattr(runner, "experiment_name", None)
    return TraceHeader(
        framework=str(getattr(runner, "framework_name", "unknown")),
        framework_version=str(getattr(runner, "framework_version", "unknown")),
        experiment_name=None if name is None else str(name),
    )


class TraceWriter:
    """Buffer lines, and append them to a file.

    The file is open during a write only, so no run leaves it open, and no forked process has a copy of it.

    Args:
        path: The file. Missing folders are made.
        append: Whether to keep the contents of the file; otherwise the first line replaces them.
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path: Path = Path(path).absolute()  # a run can change its working folder
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
        """Add a line. The first one is written at once, so that an unwritable file is noticed early."""
        # A forked worker has a copy of the hook, but is not the run.
        if self._gave_up or os.getpid() != self._process:
            return
        self._lines.append(line)
        if not self._has_begun or len(self._lines) >= _BUFFERED_LINES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines. The first error is a warning, and the last write."""
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
            # Last, because it raises where warnings are errors.
            warnings.warn(
                f"the trace {self.path} ends here, since it cannot be written: {error}. "
                "Give the next run's TraceHook a path that can be written to",
                TraceWarning,
                stacklevel=2,
            )

    def finish(self) -> None:
        """Write the buffered lines and the mark of the end."""
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
                # A process that was killed can have left half a line, which must not become part of the next one.
                if file.seek(0, os.SEEK_END) and not _ends_with_newline(file):
                    file.seek(0, os.SEEK_END)
                    file.write(b"\n")


def _ends_with_newline(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
