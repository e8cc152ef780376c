"""The requirements as text."""

from __future__ import annotations

from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS, SPEC_VERSION, SPEC_VERSIONS, Requirement
from runtimeinfo_conformance._find_requirement import find_requirement
from runtimeinfo_conformance.mutants import HUB_MUTANTS, REDUCE_MUTANTS, RUNNER_MUTANTS, HubMutant, Mutant, ReduceMutant


class UnknownVersionError(Exception):
    """There is no such version of the spec."""


def explain(id: str) -> list[str]:
    """Return all that the registry says of a requirement, and the faults that the kit has to notice under it.

    Raises:
        UnknownRequirementError: If there is none of this id.

    Example:
        >>> print(explain("stage-02")[0])
        STAGE-02 (MUST, since spec 0.1)
    """
    rule = find_requirement(id.upper())
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


def faults_of(rule: Requirement) -> list[str]:
    """Return the names of the faults which break a requirement, and which the kit has to notice under it."""
    mutants: tuple[Mutant | HubMutant | ReduceMutant, ...] = (*RUNNER_MUTANTS, *HUB_MUTANTS, *REDUCE_MUTANTS)
    return [mutant.name for mutant in mutants if mutant.requirement == rule.id]


def spec(version: str | None = None) -> list[str]:
    """Return a line for each requirement of a version of the spec.

    Args:
        version: One of `SPEC_VERSIONS`; None for the newest.

    Raises:
        UnknownVersionError: If there is no such version.

    Example:
        >>> spec("0.1")[0]
        'spec 0.1'
    """
    if version is None:
        version = SPEC_VERSION
    if version not in SPEC_VERSIONS:
        raise UnknownVersionError(f"there is no spec version {version!r}; there are {', '.join(SPEC_VERSIONS)}")
    here = SPEC_VERSIONS.index(version)
    rules = [rule for rule in REQUIREMENTS.values() if SPEC_VERSIONS.index(rule.since) <= here]
    return [f"spec {version}", *map(_in_a_line, rules)]


def _in_a_line(rule: Requirement) -> str:
    needs = f" [{', '.join(sorted(rule.capabilities))}]" if rule.capabilities else ""
    return f"{rule.id:<10} {rule.level:<6} {rule.text}{needs}"
