"""A requirement, and how an entry of the registry is written."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["MUST", "SHOULD", "MAY"]
"""How binding a requirement is, in the words of RFC 2119."""

Party = Literal["runner", "hub", "reducer"]
"""The side that has to keep a requirement."""


class Requirement(NamedTuple):
    """One numbered rule of the spec. Frozen with the spec version it came in.

    Attributes:
        id: Its stable name, as in ``"STAGE-02"``.
        level: How binding it is, in the words of RFC 2119.
        party: The side that has to keep it.
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


def rule(
    id: str,
    level: Level,
    text: str,
    intent: str,
    *,
    example: str,
    needs: str = "",
    party: Party = "runner",
    since: str = "0.1",
    untestable: str | None = None,
) -> Requirement:
    """Make a requirement; `needs` names its capabilities, with blanks between them."""
    return Requirement(
        id=id,
        level=level,
        party=party,
        text=text,
        intent=intent,
        capabilities=frozenset(needs.split()),
        since=since,
        example=example,
        untestable=untestable,
    )
