"""The run of another process, as a worker sees its parent's."""

from __future__ import annotations

from typing import Any

from runtimeinfo._message_hub import InfoReader, ScalarHistory


class ParentsRun:
    """Reads the run that another process has entered last, whichever that is at the moment.

    Args:
        pid: The process.
        inherited: Who answers until that process is seen to share a run: the hub as it was at the fork, say.
        nobody: Who answers while it shares none, once it was seen to.
    """

    __slots__ = ("_finder", "_nobody", "_otherwise", "pid")

    def __init__(self, pid: int, inherited: InfoReader, nobody: InfoReader) -> None:
        # Only now: outside of workers nobody needs to load it.
        from runtimeinfo.board._finding import BoardFinder

        self.pid = pid
        self._finder = BoardFinder(pid)
        self._otherwise = inherited
        self._nobody = nobody

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default."""
        return self._reader().get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the latest value of a scalar, in the form of a history that holds one."""
        return self._reader().get_scalar(key)

    def __repr__(self) -> str:
        return f"<the run of process {self.pid}: {self._reader()!r}>"

    def _reader(self) -> InfoReader:
        reader = self._finder.reader()
        if reader is None:
            return self._otherwise
        self._otherwise = self._nobody
        return reader
