"""The harm that a run can do to the process, and the line of the subject in which it was done."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Literal

Misbehaviour = Literal["hang", "exit", "threads", "tampering"]


class SubjectMisbehaved(Exception):  # noqa: N818  # named after the event: it is shown more often than raised
    """A run of the subject has harmed the process.

    The message begins with "it", because the report names the subject before it.

    Attributes:
        kind: The kind of harm.
    """

    def __init__(self, kind: Misbehaviour, message: str) -> None:
        super().__init__(message)
        self.kind: Misbehaviour = kind

    def __reduce__(self) -> tuple[type[SubjectMisbehaved], tuple[Misbehaviour, str]]:
        # The default would call the class with the message alone; pytest-xdist sends errors between processes.
        return type(self), (self.kind, str(self))


_KIT = f"{__name__.partition('.')[0]}."
# A bundled subject is under test as any other one.
_SUBJECTS = f"{_KIT}subjects."

_MOST_FRAMES = 10


def format_stack(frame: FrameType, outside: FrameType | None) -> str:
    """Format a stack, the innermost call last, without the frames of the kit.

    Args:
        frame: The innermost frame.
        outside: The first frame of the kit; it and its callers are left out.
    """
    inside = itertools.takewhile(lambda each: each[0] is not outside, traceback.walk_stack(frame))
    return "".join(traceback.StackSummary.extract(reversed(_of_subject(inside)[:_MOST_FRAMES])).format())


def place_of_call(frame: FrameType) -> str:
    """Return the line of the subject in which a frame is, or from which it was called."""
    return _format_place(_of_subject(traceback.walk_stack(frame))[0])


def place_of_error(trace: TracebackType) -> str:
    """Return the line of the subject in which an exception was raised."""
    return _format_place(_of_subject(reversed(list(traceback.walk_tb(trace))))[0])


def is_of_kit(frame: FrameType) -> bool:
    """Tell whether a frame runs code of the kit."""
    module = str(frame.f_globals.get("__name__"))
    return module.startswith(_KIT) and not module.startswith(_SUBJECTS)


def _of_subject(stack: Iterable[tuple[FrameType, int]]) -> list[tuple[FrameType, int]]:
    """Return the frames outside of the kit; all frames if there are none outside."""
    frames = list(stack)
    return [each for each in frames if not is_of_kit(each[0])] or frames


def _format_place(place: tuple[FrameType, int]) -> str:
    frame, line = place
    return f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}"
