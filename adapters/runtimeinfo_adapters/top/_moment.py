"""A moment, on two clocks."""

from __future__ import annotations

import time
from typing import NamedTuple


class Moment(NamedTuple):
    """A moment, on two clocks.

    Attributes:
        at: Seconds on a clock that nobody sets: for what lies between two moments.
        wall_ns: Nanoseconds since 1970, as boards have them: the clock may be set meanwhile.
    """

    at: float
    wall_ns: int

    @classmethod
    def now(cls) -> Moment:
        """Return the present one."""
        return cls(time.monotonic(), time.time_ns())
