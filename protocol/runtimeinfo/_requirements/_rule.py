"""How an entry of the registry is written."""

from __future__ import annotations

from runtimeinfo._requirement import Level, Party, Requirement


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
