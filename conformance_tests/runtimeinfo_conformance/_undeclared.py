"""Capabilities that a subject seems to have, and has not declared."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._subject import Subject, is_upcoming, testable
from runtimeinfo_conformance._verdict import Tally
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.search import fixed_plans

# A capability that only lets more happen is seen in nothing but a requirement of its own.
_SEEN = frozenset(name for rule in REQUIREMENTS.values() for name in rule.capabilities)

# A runner that makes one optimizer step for each batch, whatever the plan says, keeps the rule on accumulation too.
_TELLS_NOTHING = frozenset({"accumulation"})


def undeclared(subject: Subject, guard: Guard) -> Iterator[str]:
    """Yield the undeclared capabilities whose requirements hold on the plans that are always tried.

    Args:
        subject: A subject that keeps what it has declared.
        guard: What watches it.
    """
    for name in CAPABILITIES:
        if name in _SEEN - _TELLS_NOTHING - subject.capabilities and _seems_there(subject, name, guard):
            yield name


def _seems_there(subject: Subject, name: str, guard: Guard) -> bool:
    more = Subject(
        subject.name, subject.version, run=subject.run, capabilities={*subject.capabilities, name}, spec=subject.spec
    )
    new = {
        id
        for id in testable(more)
        if name in REQUIREMENTS[id].capabilities and not is_upcoming(subject, REQUIREMENTS[id])
    }
    tally = Tally()
    plans = [plan for plan in fixed_plans(more) if plan.fault is None]
    # What no plan has to ask for shows in all of them.
    for plan in [plan for plan in plans if name in plan.needs] or plans:
        judge_plan(more, plan, tally, guard)
        if tally.crash is not None or tally.broken:
            return False
    return bool(new) and all(tally.counts[id].occurrences for id in new)
