"""What a sink says when it cannot write."""

from __future__ import annotations

from pathlib import Path

from runtimeinfo import RuntimeInfoError


class SinkError(RuntimeInfoError):
    """A sink cannot write where it was told to; said at `before_run`, before training time is spent.

    Attributes:
        path: The file or folder.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class SinkWarning(UserWarning):
    """A sink cannot write any more, as on a full disk; the run goes on without it."""
