"""The characters that things are drawn with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Glyphs:
    """The characters that things are drawn with.

    Attributes:
        levels: Those of a sparkline, from low to high.
        broken: In a sparkline, for what is no finite number.
        done: In a bar.
        left: In a bar.
        dot: Before a name.
        ellipsis: For what is cut.
        between: Between two facts.
    """

    levels: str
    broken: str
    done: str
    left: str
    dot: str
    ellipsis: str
    between: str


UNICODE = Glyphs(levels="▁▂▃▄▅▆▇█", broken="!", done="━", left="┄", dot="●", ellipsis="…", between=" · ")
ASCII = Glyphs(levels="_.-=+*#", broken="!", done="#", left=".", dot="*", ellipsis="~", between=", ")
"""For a terminal whose encoding has no other."""
