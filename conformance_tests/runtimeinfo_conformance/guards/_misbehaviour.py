"""What a subject did that it must not."""

from __future__ import annotations

from typing import Literal

Misbehaviour = Literal["hang", "exit", "threads", "tampering"]


class SubjectMisbehaved(Exception):  # noqa: N818  # it says what happened, and is mostly shown, not raised
    """The code under test did something to the process that a run must not do.

    The message begins with "it": whoever shows it names the subject.

    Attributes:
        kind: What it was.
    """

    def __init__(self, kind: Misbehaviour, message: str) -> None:
        super().__init__(message)
        self.kind: Misbehaviour = kind

    def __reduce__(self) -> tuple[type[SubjectMisbehaved], tuple[Misbehaviour, str]]:
        # The default would call the class with the message alone; pytest-xdist sends errors between processes.
        return type(self), (self.kind, str(self))
