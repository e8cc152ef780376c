"""Faults put into a subject that came out green: the kit has to notice each one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from runtimeinfo_conformance._judging import find_killer
from runtimeinfo_conformance._profile import Progress
from runtimeinfo_conformance._subject import AnySubject, HubSubject, Subject
from runtimeinfo_conformance.guards import HANG_SECONDS, Guard
from runtimeinfo_conformance.mutants import HUB_MUTANTS, RUNNER_MUTANTS
from runtimeinfo_conformance.plans import AnyPlan
from runtimeinfo_conformance.search import killers


def survivors(
    subject: Subject | HubSubject,
    tried: list[Any],
    passed: Collection[str],
    progress: Progress,
    hang_seconds: float = HANG_SECONDS,
) -> Iterator[str]:
    """Yield the faults that none of some plans shows, under the requirement that they break.

    Args:
        subject: The subject: a runner or a hub.
        tried: The plans.
        passed: The requirements that the subject keeps: others would be broken anyway, or never matter.
        progress: Told how far it is.
        hang_seconds: How long one run may take.
    """
    guard = Guard(hang_seconds)
    fitting = [canary for canary in _canaries(subject) if canary.requirement in passed]
    found: list[AnyPlan] = []
    for done, canary in enumerate(fitting):
        progress(f"faults put in on purpose: {canary.requirement}", done, len(fitting))
        # Where the best plan was not tried: the faults of a requirement show on the same ones, and stand together.
        killer = killers().get((canary.requirement, canary.name))
        best = found if killer is None or killer not in tried else [killer]
        failure = find_killer(canary.subject, canary.requirement, [*best, *tried], guard)
        if failure is None:
            yield f"{canary.requirement}: {canary.name}"
        elif failure.plan not in best:
            found.insert(0, failure.plan)
    progress("faults put in on purpose", len(fitting), len(fitting))


class _Canary(NamedTuple):
    """A subject with a fault in it."""

    name: str
    requirement: str
    subject: AnySubject


def _canaries(subject: Subject | HubSubject) -> Iterator[_Canary]:
    """Yield the faults that fit a subject, each put into it."""
    if isinstance(subject, HubSubject):
        for mutant in HUB_MUTANTS:
            if mutant.is_canary:
                yield _Canary(mutant.name, mutant.requirement, mutant.applied_to(subject))
    else:
        for fault in RUNNER_MUTANTS:
            if fault.is_canary and fault.fits(subject):
                yield _Canary(fault.name, fault.requirement, fault.applied_to(subject))
