"""Finding the requirement that somebody names."""

from __future__ import annotations

import difflib

from runtimeinfo.spec import REQUIREMENTS, Requirement


class UnknownRequirementError(Exception):
    """There is no such requirement."""


def find_requirement(id: str) -> Requirement:
    """Return a requirement by its id, as it is written.

    Raises:
        UnknownRequirementError: If there is none of this id; says which are close.

    Example:
        >>> find_requirement("STAGE-02").level
        'MUST'
    """
    rule = REQUIREMENTS.get(id)
    if rule is None:
        capital = id.upper()
        close = [capital] if capital in REQUIREMENTS else difflib.get_close_matches(capital, REQUIREMENTS, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "`runtimeinfo spec` lists them all"
        raise UnknownRequirementError(f"there is no requirement {id!r}; {hint}")
    return rule
