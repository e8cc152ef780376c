"""What a requirement is."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["MUST", "SHOULD", "MAY"]
Party = Literal["runner", "hub", "reducer"]


class Requirement(NamedTuple):
    """One numbered rule of the spec. Frozen with the spec version it came in.

    Attributes:
        id: Its stable name, as in ``"STAGE-02"``.
        level: How binding it is, in the words of RFC 2119.
        party: Who has to keep it.
        text: The rule.
        intent: What it is for. It settles disputes about the text.
        capabilities: What a runner must have declared for this to apply to it; all of them.
        since: The spec version that it came in: see `SPEC_VERSIONS`.
        example: What keeps it or breaks it, in a line.
        untestable: Why no test can decide it, or None if one can.
    """

    id: str
    level: Level
    party: Party
    text: str
    intent: str
    capabilities: frozenset[str] = frozenset()
    since: str = "0.1"
    example: str = ""
    untestable: str | None = None
