from __future__ import annotations

import re

import pytest

from runtimeinfo_conformance._find_requirement import UnknownRequirementError, find_requirement
from runtimeinfo_conformance.command_line._explain import explain


@pytest.mark.parametrize(
    ("id", "hint"),
    [("STAGE-3", "did you mean STAGE-03"), ("NONSENSE", "`runtimeinfo spec` lists them all")],
)
def test_an_unknown_requirement(id: str, hint: str) -> None:
    for ask in (find_requirement, explain):
        with pytest.raises(UnknownRequirementError, match=re.escape(f"there is no requirement {id!r}; {hint}")):
            ask(id)


def test_a_requirement_in_small_letters_is_explained_and_not_found() -> None:
    assert explain("stage-02") == explain("STAGE-02")
    with pytest.raises(UnknownRequirementError, match=r"no requirement 'stage-02'; did you mean STAGE-02[?]$"):
        find_requirement("stage-02")
