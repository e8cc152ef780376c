"""Show the registry of requirements as text and as JSON. The base installation has all that this module needs."""

from __future__ import annotations

from typing import TypedDict

from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS, SPEC_VERSION, SPEC_VERSIONS, Level, Party, Requirement
from runtimeinfo_conformance._lookup import find_requirements, group_of


class UnknownVersionError(Exception):
    """The spec has no such version."""


class RequirementEntry(TypedDict):
    """A requirement in the JSON of the registry.

    `capabilities` are those that a runner must declare for the requirement to apply. `untestable` says why no test can
    decide it, and is null otherwise. `faults` are what the kit puts in on purpose and must notice under its id.
    """

    id: str
    group: str
    level: Level
    party: Party
    since: str
    text: str
    intent: str
    example: str
    capabilities: list[str]
    untestable: str | None
    faults: list[str]


class Registry(TypedDict):
    """The JSON of ``runtimeinfo spec --json``: one version of the spec.

    A reader can rely on these fields as long as `schema_version` stays the same; fields may be added.
    """

    schema_version: int
    spec: str
    versions: list[str]
    capabilities: dict[str, str]
    requirements: list[RequirementEntry]


REGISTRY_SCHEMA_VERSION = 1
"""Increased when a reader of the version before could no longer read the JSON: not when a field is added."""


def explain(*names: str) -> list[str]:
    """Return all that the registry says of requirements, and the faults that the kit must notice under each.

    Args:
        names: Ids, or names of groups, which stand for all requirements of the group. Case does not matter.

    Raises:
        UnknownRequirementError: If there is no such requirement and no such group.

    Example:
        >>> print(explain("stage-02")[0])
        STAGE-02 (MUST, since spec 0.1)
    """
    rules = dict.fromkeys(rule for name in names for rule in find_requirements(name))
    lines: list[str] = []
    for rule in rules:
        lines += ["", *_explained(rule)] if lines else _explained(rule)
    return lines


def faults_of(rule: Requirement) -> list[str]:
    """Return the names of the faults that break a requirement, and that the kit must notice under it."""
    # Here, because only these few lines need numpy and the adapters, which take most of the time of `runtimeinfo spec`.
    from runtimeinfo_conformance.mutants import (
        HUB_MUTANTS,
        REDUCE_MUTANTS,
        RUNNER_MUTANTS,
        HubMutant,
        Mutant,
        ReduceMutant,
    )

    mutants: list[Mutant | HubMutant | ReduceMutant] = [*RUNNER_MUTANTS, *HUB_MUTANTS, *REDUCE_MUTANTS]
    return [mutant.name for mutant in mutants if mutant.requirement == rule.id]


def spec(version: str | None = None) -> list[str]:
    """Return a line for each requirement of a version of the spec.

    Args:
        version: One of `SPEC_VERSIONS`; None means the newest.

    Raises:
        UnknownVersionError: If there is no such version.

    Example:
        >>> spec("0.1")[0]
        'spec 0.1'
    """
    version, rules = _rules_of(version)
    return [f"spec {version}", *map(_in_a_line, rules)]


def registry(version: str | None = None) -> Registry:
    """Return the requirements of a version of the spec as plain data.

    Args:
        version: As for `spec`.

    Raises:
        UnknownVersionError: If there is no such version.

    Example:
        >>> registry("0.1")["requirements"][0]["id"]
        'LIFE-01'
    """
    version, rules = _rules_of(version)
    return {
        "schema_version": REGISTRY_SCHEMA_VERSION,
        "spec": version,
        "versions": list(SPEC_VERSIONS),
        "capabilities": dict(CAPABILITIES),
        "requirements": [_entry(rule) for rule in rules],
    }


def _rules_of(version: str | None) -> tuple[str, list[Requirement]]:
    if version is None:
        version = SPEC_VERSION
    if version not in SPEC_VERSIONS:
        raise UnknownVersionError(f"there is no spec version {version!r}; there are {', '.join(SPEC_VERSIONS)}")
    here = SPEC_VERSIONS.index(version)
    return version, [rule for rule in REQUIREMENTS.values() if SPEC_VERSIONS.index(rule.since) <= here]


def _explained(rule: Requirement) -> list[str]:
    lines = [f"{rule.id} ({rule.level}, since spec {rule.since})", "", f"  {rule.text}", f"  Intent: {rule.intent}"]
    lines.append(f"  Example: {rule.example}")
    lines.append(f"  Kept by: a {rule.party}")
    lines += [
        f"  Applies to a runner that declares {name!r}: {CAPABILITIES[name]}" for name in sorted(rule.capabilities)
    ]
    if rule.untestable is not None:
        lines.append(f"  Not tested: {rule.untestable}")
    faults = faults_of(rule)
    if faults:
        lines += ["  The kit notices, for instance:", *(f"    - {fault}" for fault in faults)]
    return lines


def _in_a_line(rule: Requirement) -> str:
    needs = f" [{', '.join(sorted(rule.capabilities))}]" if rule.capabilities else ""
    return f"{rule.id:<10} {rule.level:<6} {rule.text}{needs}"


def _entry(rule: Requirement) -> RequirementEntry:
    return {
        "id": rule.id,
        "group": group_of(rule.id),
        "level": rule.level,
        "party": rule.party,
        "since": rule.since,
        "text": rule.text,
        "intent": rule.intent,
        "example": rule.example,
        "capabilities": sorted(rule.capabilities),
        "untestable": rule.untestable,
        "faults": faults_of(rule),
    }
