"""Look up requirements by their ids, and suggest what an unknown word may mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from runtimeinfo.spec import REQUIREMENTS, Requirement


class UnknownRequirementError(Exception):
    """No requirement has the id, and no group the name."""


def did_you_mean(word: object, words: Iterable[str], otherwise: str | None = None) -> str:
    """Return a question with the known word that is closest; if none is close, list all known words.

    Args:
        word: The word that is not known.
        words: The known words.
        otherwise: What to return if no word is close, instead of the list.

    Example:
        >>> did_you_mean("vall", ["val", "test"])
        "did you mean 'val'?"
        >>> did_you_mean("x", ["val", "test"])
        'there are val, test'
    """
    known = list(words)
    close = difflib.get_close_matches(word, known, n=1) if isinstance(word, str) else []
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(known)}" if otherwise is None else otherwise


def find_requirement(id: str) -> Requirement:
    """Return a requirement by its id, as it is written.

    Raises:
        UnknownRequirementError: If no requirement has this id; the message names similar ones.

    Example:
        >>> find_requirement("STAGE-02").level
        'MUST'
    """
    rule = REQUIREMENTS.get(id)
    if rule is None:
        raise _unknown(id, list(REQUIREMENTS))
    return rule


def find_requirements(name: str) -> list[Requirement]:
    """Return the requirement with an id, or all of a group, in the order of the spec. Case does not matter.

    Raises:
        UnknownRequirementError: If there is neither; the message names similar ones.

    Example:
        >>> [rule.id for rule in find_requirements("order")]
        ['ORDER-01', 'ORDER-02', 'ORDER-03']
        >>> [rule.id for rule in find_requirements("stage-02")]
        ['STAGE-02']
    """
    capital = name.upper()
    found = [rule for id, rule in REQUIREMENTS.items() if capital in (id, group_of(id))]
    if not found:
        raise _unknown(name, [*dict.fromkeys(map(group_of, REQUIREMENTS)), *REQUIREMENTS])
    return found


def group_of(id: str) -> str:
    """Return the group of a requirement.

    Example:
        >>> group_of("STAGE-02")
        'STAGE'
    """
    return id.partition("-")[0]


def _unknown(name: str, known: list[str]) -> UnknownRequirementError:
    capital = name.upper()
    group, _, number = capital.partition("-")
    padded = f"{group}-{number.zfill(2)}"  # COUNT-3 means COUNT-03, and not one of the many similar ids
    close = [padded] if padded in known else difflib.get_close_matches(capital, known, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "`runtimeinfo spec` lists them all"
    return UnknownRequirementError(f"there is no requirement {name!r}; {hint}")
