"""Find a requirement by its id."""

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
        group, _, number = capital.partition("-")
        padded = f"{group}-{number.zfill(2)}"  # COUNT-3 is COUNT-03, and not one of the many that look like it
        close = [padded] if padded in REQUIREMENTS else difflib.get_close_matches(capital, REQUIREMENTS, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "`runtimeinfo spec` lists them all"
        raise UnknownRequirementError(f"there is no requirement {id!r}; {hint}")
    return rule
