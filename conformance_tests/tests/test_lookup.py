from __future__ import annotations

import re

import pytest

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._lookup import (
    UnknownRequirementError,
    did_you_mean,
    find_requirement,
    find_requirements,
    group_of,
)
from runtimeinfo_conformance.command_line._explain import explain


@pytest.mark.parametrize(
    ("word", "said"), [("vall", "did you mean 'val'?"), ("x", "there are val, test"), (7, "there are val, test")]
)
def test_suggestion_is_the_closest_word_or_all_words(word: object, said: str) -> None:
    assert did_you_mean(word, iter(("val", "test"))) == said


def test_suggestion_has_another_text_where_no_word_is_close() -> None:
    assert did_you_mean("x", ["val"], "nothing like it") == "nothing like it"
    assert did_you_mean("vall", ["val"], "nothing like it") == "did you mean 'val'?"


@pytest.mark.parametrize(
    ("id", "hint"),
    [("STAGE-3", "did you mean STAGE-03"), ("NONSENSE", "`runtimeinfo spec` lists them all")],
)
def test_unknown_requirement_is_refused_with_similar_ones(id: str, hint: str) -> None:
    for ask in (find_requirement, find_requirements, explain):
        with pytest.raises(UnknownRequirementError, match=re.escape(f"there is no requirement {id!r}; {hint}")):
            ask(id)


def test_case_matters_for_one_requirement_and_not_in_an_explanation() -> None:
    assert explain("stage-02") == explain("STAGE-02")
    with pytest.raises(UnknownRequirementError, match=r"no requirement 'stage-02'; did you mean STAGE-02[?]$"):
        find_requirement("stage-02")


@pytest.mark.parametrize("name", ["LIFE", "life"])
def test_group_stands_for_its_requirements(name: str) -> None:
    found = find_requirements(name)
    assert found == [rule for id, rule in REQUIREMENTS.items() if id.startswith("LIFE-")]
    assert {group_of(rule.id) for rule in found} == {"LIFE"}


def test_misspelt_group_is_refused_with_the_right_one() -> None:
    with pytest.raises(UnknownRequirementError, match="no requirement 'LIFFE'; did you mean LIFE"):
        find_requirements("LIFFE")
