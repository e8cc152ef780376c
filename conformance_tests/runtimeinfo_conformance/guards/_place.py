"""Where in the subject something happened."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterable
from types import FrameType, TracebackType

_KIT = f"{__name__.partition('.')[0]}."
# What the kit brings to be tested is a subject like any other.
_SUBJECTS = f"{_KIT}subjects."

_MOST_FRAMES = 10


def format_stack(frame: FrameType, outside: FrameType | None) -> str:
    """Write down a stack, the innermost call last, without the kit's own frames.

    Args:
        frame: The innermost frame.
        outside: The frame at which the kit begins; it and what called it are left out.
    """
    inside = itertools.takewhile(lambda each: each[0] is not outside, traceback.walk_stack(frame))
    return "".join(traceback.StackSummary.extract(reversed(_of_subject(inside)[:_MOST_FRAMES])).format())


def place_of_call(frame: FrameType) -> str:
    """Say in which line of the subject a frame is, or what it was called by."""
    return _say(_of_subject(traceback.walk_stack(frame))[0])


def place_of_error(trace: TracebackType) -> str:
    """Say in which line of the subject an exception was raised."""
    return _say(_of_subject(reversed(list(traceback.walk_tb(trace))))[0])


def is_of_kit(frame: FrameType) -> bool:
    """Tell whether a frame runs code of the kit."""
    module = str(frame.f_globals.get("__name__"))
    return module.startswith(_KIT) and not module.startswith(_SUBJECTS)


def _of_subject(stack: Iterable[tuple[FrameType, int]]) -> list[tuple[FrameType, int]]:
    """Return the frames that are not the kit's; all of them where there are no others."""
    frames = list(stack)
    return [each for each in frames if not is_of_kit(each[0])] or frames


def _say(place: tuple[FrameType, int]) -> str:
    frame, line = place
    return f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}"
