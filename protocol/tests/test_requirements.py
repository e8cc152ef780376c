from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import get_args

import pytest

from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS, SPEC_VERSIONS, Requirement
from runtimeinfo.spec._requirements._rule import Level, Party

REPOSITORY = Path(__file__).parents[2]
GROUPS = ("LIFE", "STAGE", "COUNT", "META", "SCALAR", "HUB", "RESUME", "FAIL", "ORDER", "SHARE", "SCOPE", "DIST")
SOURCE_TREES = ("protocol/runtimeinfo", "adapters/runtimeinfo_adapters", "conformance_tests/runtimeinfo_conformance")
REQUIREMENT_ID = re.compile(rf"\b(?:{'|'.join(GROUPS)})-\d\d\b")

# These say what else a plan may contain. The rules that they put to the test hold for every runner.
WIDEN_THE_PLANS_ONLY = {"unsized", "val_before", "val_after", "iterations", "again", "beside", "nested"}

each_requirement = pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=lambda requirement: requirement.id)


def test_the_groups_come_in_the_order_of_the_spec() -> None:
    assert tuple(group for group, _ in groupby(id.partition("-")[0] for id in REQUIREMENTS)) == GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_numbered_without_gaps(group: str) -> None:
    ids = [id for id in REQUIREMENTS if id.startswith(f"{group}-")]
    assert ids == [f"{group}-{number:02}" for number in range(1, len(ids) + 1)]


@pytest.mark.parametrize("group", GROUPS)
def test_no_requirement_is_lost_to_another_of_the_same_id(group: str) -> None:
    source = (REPOSITORY / f"protocol/runtimeinfo/spec/_requirements/_{group.lower()}.py").read_text(encoding="utf-8")
    defined = re.findall(r'rule\(\s*"([^"]+)"', source)
    assert defined == [id for id in REQUIREMENTS if id.startswith(f"{group}-")]


@each_requirement
def test_a_requirement_is_well_formed(requirement: Requirement) -> None:
    assert REQUIREMENTS[requirement.id] is requirement
    assert REQUIREMENT_ID.fullmatch(requirement.id)
    assert requirement.level in get_args(Level)
    assert requirement.party in get_args(Party)
    assert requirement.capabilities <= CAPABILITIES.keys()
    assert requirement.since in SPEC_VERSIONS
    assert requirement.untestable is None or requirement.untestable.endswith(".")


@each_requirement
def test_the_text_has_the_rfc_2119_word_of_its_level_and_no_other(requirement: Requirement) -> None:
    assert set(re.findall(r"\b[A-Z]{3,}\b", requirement.text)) & {"MUST", "SHOULD", "MAY", "SHALL", "REQUIRED"} == {
        requirement.level
    }


@each_requirement
def test_text_and_intent_are_sentences(requirement: Requirement) -> None:
    for sentence in (requirement.text, requirement.intent):
        assert sentence.endswith(".")
        assert sentence == " ".join(sentence.split())
    assert not re.search(r"\b(MUST|SHOULD|MAY)\b", requirement.intent)


@each_requirement
def test_the_example_is_a_line_of_its_own(requirement: Requirement) -> None:
    example = requirement.example
    assert example.endswith(".")
    assert example == " ".join(example.split())
    assert len(example) <= 180
    assert example not in {requirement.text, requirement.intent}
    assert not re.search(r"\b(MUST|SHOULD|MAY)\b", example), "what binds is the text"


def test_no_two_requirements_say_the_same() -> None:
    assert len({requirement.example for requirement in REQUIREMENTS.values()}) == len(REQUIREMENTS)
    assert len({requirement.text for requirement in REQUIREMENTS.values()}) == len(REQUIREMENTS)


def test_every_capability_is_needed_by_a_requirement_or_widens_the_plans() -> None:
    needed = frozenset().union(*(requirement.capabilities for requirement in REQUIREMENTS.values()))
    assert needed == CAPABILITIES.keys() - WIDEN_THE_PLANS_ONLY


@pytest.mark.parametrize("words", CAPABILITIES.values(), ids=CAPABILITIES.keys())
def test_a_capability_says_what_it_promises(words: str) -> None:
    assert words.startswith(("It ", "Its "))
    assert words.endswith(".")


def test_the_hub_requirements_are_the_hubs_and_all_others_but_one_the_runners() -> None:
    hubs = {requirement.id for requirement in REQUIREMENTS.values() if requirement.party == "hub"}
    assert hubs == {"SCALAR-01", *(id for id in REQUIREMENTS if id.startswith("HUB-"))}


def test_the_requirements_on_reducing_are_the_reducers() -> None:
    reducers = {requirement.id for requirement in REQUIREMENTS.values() if requirement.party == "reducer"}
    assert reducers == {id for id in REQUIREMENTS if id.startswith("DIST-")}


@pytest.mark.parametrize("tree", SOURCE_TREES)
def test_every_id_that_a_source_mentions_exists(tree: str) -> None:
    mentioned = {
        (path.name, id)
        for path in (REPOSITORY / tree).rglob("*.py")
        for id in REQUIREMENT_ID.findall(path.read_text(encoding="utf-8"))
    }
    assert {(name, id) for name, id in mentioned if id not in REQUIREMENTS} == set()
    assert mentioned


def test_the_registry_and_a_requirement_are_frozen() -> None:
    requirement = REQUIREMENTS["LIFE-01"]
    with pytest.raises(AttributeError):
        requirement.level = "MAY"  # type: ignore[misc]
    with pytest.raises(TypeError):
        REQUIREMENTS["LIFE-01"] = requirement  # type: ignore[index]
    assert requirement._replace(level="MAY") != requirement
