"""The hook that writes a trace."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

from runtimeinfo.authoring import on_any_event
from runtimeinfo.spec import ABORT
from runtimeinfo_conformance.traces._format import TraceHeader, encode, plain
from runtimeinfo_conformance.traces._writer import TraceWriter

_MISSING: Any = object()
_NAMES_AT = frozenset({"after_train_iter", "after_train_epoch"})
_FLUSHED_AT = frozenset({"after_run", ABORT})


@on_any_event(by="note")
class TraceHook:
    """Writes every event of a run into a file: to be judged later, and elsewhere, by `check_trace`.

    It runs last of all, so it sees what the other hooks have published, and reads nothing from an accelerator but
    the names of what lies there. It is a hook of this protocol, for any adapter:
    ``Loop(..., hooks=[TraceHook("run.jsonl")])``.

    One hook writes one file. All runs that it sees come one after the other, since ``train()`` and then ``test()``
    are two runs of one training. A new hook begins the file anew, since what a run of yesterday did wrong should
    not count against today's; with `append` it goes on instead, for a training that is resumed.

    When the file cannot be written, as on a full disk, there is one `TraceWarning`, and the run goes on without
    it. A forked process writes nothing. Processes that each make a hook, as the ranks of a distributed run do,
    need a path each.

    Args:
        path: The file. Folders that are missing are made.
        append: Whether to keep what is in it.

    Example:
        >>> TraceHook("run.jsonl").priority
        'LOWEST'

    Source: LIFE-01, ORDER-02.
    """

    priority = "LOWEST"

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self._writer = TraceWriter(path, append=append)
        self._names: list[str] = []
        self._exception = 0  # an id, since a reference would keep the traceback's frames alive
        self._exceptions = 0
        # When nobody has this hook any more, or the process ends in order: a process that is killed leaves no end.
        weakref.finalize(self, self._writer.finish)

    @property
    def path(self) -> Path:
        """The file."""
        return self._writer.path

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        """Note an event."""
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
