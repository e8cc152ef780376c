"""Faults put into a subject that came out green: the kit has to notice each one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from runtimeinfo_conformance._judging import find_killer
from runtimeinfo_conformance._profile import Progress
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.guards import HANG_SECONDS
from runtimeinfo_conformance.mutants import RUNNER_MUTANTS
from runtimeinfo_conformance.plans import AnyPlan
from runtimeinfo_conformance.search import killers


def survivors(
    subject: Subject, tried: list[Any], passed: Collection[str], progress: Progress, hang_seconds: float = HANG_SECONDS
) -> Iterator[str]:
    """Yield the faults that none of some plans shows, under the requirement that they break.

    Args:
        subject: The subject.
        tried: The plans.
        passed: The requirements that the subject keeps: others would be broken anyway, or never matter.
        progress: Told how far it is.
        hang_seconds: How long one run may take.
    """
    canaries = [mutant for mutant in RUNNER_MUTANTS if mutant.is_canary and mutant.fits(subject)]
    fitting = [mutant for mutant in canaries if mutant.requirement in passed]
    found: list[AnyPlan] = []
    for done, mutant in enumerate(fitting):
        progress(f"faults put in on purpose: {mutant.requirement}", done, len(fitting))
        # Where the best plan was not tried: the faults of a requirement show on the same ones, and stand together.
        best = [plan for plan in tried if plan == killers().get((mutant.requirement, mutant.name))] or found
        failure = find_killer(mutant.applied_to(subject), mutant.requirement, [*best, *tried], hang_seconds)
        if failure is None:
            yield f"{mutant.requirement}: {mutant.name}"
        elif failure.plan not in best:
            found.insert(0, failure.plan)
    progress("faults put in on purpose", len(fitting), len(fitting))
