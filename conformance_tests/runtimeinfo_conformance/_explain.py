"""The requirements as text."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from runtimeinfo import CAPABILITIES, REQUIREMENTS, SPEC_VERSION


class UnknownRequirementError(Exception):
    """There is no such requirement."""


def explain(id: str) -> list[str]:
    """Return all that the registry says of a requirement.

    Raises:
        UnknownRequirementError: If there is none of this id.

    Example:
        >>> print(explain("stage-02")[0])
        STAGE-02 (MUST, since spec 0.1)
    """
    rule = REQUIREMENTS.get(id.upper())
    if rule is None:
        close = difflib.get_close_matches(id.upper(), REQUIREMENTS, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "`runtimeinfo spec` lists them all"
        raise UnknownRequirementError(f"there is no requirement {id!r}; {hint}")
    lines = [f"{rule.id} ({rule.level}, since spec {rule.since})", "", f"  {rule.text}", f"  Intent: {rule.intent}"]
    lines.append(f"  Kept by: a {rule.party}")
    lines += [
        f"  Applies to a runner that declares {name!r}: {CAPABILITIES[name]}" for name in sorted(rule.capabilities)
    ]
    if rule.untestable is not None:
        lines.append(f"  Not tested: {rule.untestable}")
    return lines


def spec() -> Iterator[str]:
    """Yield a line for each requirement."""
    yield f"spec {SPEC_VERSION}"
    for rule in REQUIREMENTS.values():
        needs = f" [{', '.join(sorted(rule.capabilities))}]" if rule.capabilities else ""
        yield f"{rule.id:<10} {rule.level:<6} {rule.text}{needs}"
