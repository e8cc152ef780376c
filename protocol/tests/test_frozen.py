"""A version of the spec that is out does not change any more.

`frozen/spec-<version>.json` holds what the rules of a version bind to, as they were when it came out; they are written
once, and never again. The newest versions have no such file as long as they are drafts: 0.2 and 0.3 are. A draft takes
corrections until it gets its file, with the release that brings it; what is new goes into the last one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSIONS, Requirement

FOLDER = Path(__file__).parent / "frozen"
FROZEN = {
    path.stem.removeprefix("spec-"): json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
DRAFTS = tuple(version for version in SPEC_VERSIONS if version not in FROZEN)

OTHER = {
    "level": "has another level",
    "party": "has another party",
    "text": "has another text",
    "capabilities": "needs other capabilities",
}

each_frozen = pytest.mark.parametrize("version", FROZEN)


def bound(rule: Requirement) -> dict[str, Any]:
    """What binds whoever has declared a version: not the intent, and not the example."""
    return {
        "id": rule.id,
        "level": rule.level,
        "party": rule.party,
        "text": rule.text,
        "capabilities": sorted(rule.capabilities),
    }


def drift(version: str, rules: Iterable[Requirement]) -> Iterator[str]:
    """Say of each rule of a frozen version in what it has drifted."""
    frozen = {rule["id"]: rule for rule in FROZEN[version]["rules"]}
    now = {rule.id: bound(rule) for rule in rules if rule.since == version}
    for id in (*frozen, *(id for id in now if id not in frozen)):
        if id not in now:
            yield f"{id} is gone"
        elif id not in frozen:
            yield f"{id} is new"
        else:
            yield from (
                f"{id} {OTHER[field]} ({now[id][field]!r}, not {was!r})"
                for field, was in frozen[id].items()
                if now[id][field] != was
            )


@each_frozen
def test_a_frozen_version_is_as_it_was(version: str) -> None:
    drifted = list(drift(version, REQUIREMENTS.values()))
    assert not drifted, (
        f"spec {version} is frozen, but {'; '.join(drifted)}. A change needs a new spec version: put the rule back, "
        "and write a new one, with the next number of its group and since= the new version"
    )


def test_only_the_newest_versions_may_be_drafts() -> None:
    assert tuple(FROZEN) == SPEC_VERSIONS[: len(FROZEN)]
    assert SPEC_VERSIONS[len(FROZEN) :] == DRAFTS


@each_frozen
def test_a_file_holds_the_version_of_its_name_and_each_rule_once(version: str) -> None:
    frozen = FROZEN[version]
    ids = [rule["id"] for rule in frozen["rules"]]
    assert frozen["spec"] == version
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"level": "SHOULD"}, ["STAGE-03 has another level ('SHOULD', not 'MUST')"]),
        ({"party": "hub"}, ["STAGE-03 has another party ('hub', not 'runner')"]),
        ({"text": "Else."}, [f"STAGE-03 has another text ('Else.', not {REQUIREMENTS['STAGE-03'].text!r})"]),
        ({"capabilities": frozenset({"test"})}, ["STAGE-03 needs other capabilities (['test'], not ['val'])"]),
        ({"since": "0.2"}, ["STAGE-03 is gone"]),
        ({"id": "STAGE-99"}, ["STAGE-03 is gone", "STAGE-99 is new"]),
        ({"intent": "Else.", "example": "Else."}, []),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_the_rule_that_drifted_is_named(change: dict[str, Any], said: list[str]) -> None:
    changed = {**REQUIREMENTS, "STAGE-03": REQUIREMENTS["STAGE-03"]._replace(**change)}
    assert list(drift("0.1", changed.values())) == said
