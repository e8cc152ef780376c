"""Runners and hubs that are right: none of them may ever come out red."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import Profile
from runtimeinfo_conformance._subject import AnySubject, HubSubject, testable
from runtimeinfo_conformance.command_line._target import find_subjects
from runtimeinfo_conformance.subjects import mmengine, pytorch, reference_hub

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Searched:
    """The verdict on a subject that is right.

    Attributes:
        name: The name of the subject.
        structure: How it is made.
        verdict: The verdict; right is ``"conformant"``.
        plans: How many plans were run.
        seconds: How long it took.
        occurrences: How often each requirement that can be judged mattered, by its id.
    """

    name: str
    structure: str
    verdict: str
    plans: int
    seconds: float
    occurrences: dict[str, int]

    @property
    def is_green(self) -> bool:
        """Whether the kit has nothing to say against it."""
        return self.verdict == "conformant"


def search_good(pool: Executor, profile: Profile, seed: int | None = None) -> list[Searched]:
    """Search all of them for false alarms, and print how each came out."""
    found: list[Searched] = []
    for each in pool.map(partial(_search, profile=profile, seed=seed), range(len(_good_subjects()))):
        print(f"{each.name}: {each.verdict}, {each.plans} plans, {each.seconds:.0f} s", flush=True)
        found.append(each)
    return found


def _search(number: int, profile: Profile, seed: int | None) -> Searched:
    structure, subject = _good_subjects()[number]
    report = check(subject, profile, seed=seed)
    judged = testable(subject)
    occurrences = {each.requirement.id: each.occurrences for each in report.results if each.requirement.id in judged}
    return Searched(subject.name, structure, report.exit_code.label, report.plans, report.seconds, occurrences)


@cache
def _good_subjects() -> list[tuple[str, AnySubject]]:
    return list(good_subjects())


def good_subjects() -> Iterator[tuple[str, AnySubject]]:
    """Yield each, with how it is made."""
    sys.path.insert(0, str(ROOT / "conformance_tests" / "tests"))
    from odd_hubs import ODD_HUBS
    from odd_numbers import ODD_NUMBERS
    from odd_runners import ODD
    from simple_hub import SimpleHub
    from simple_trainer import correct, subject_of

    yield "iterators around a hand-written loop", pytorch.subject()
    yield "a framework that calls hooks, with its own hub", mmengine.subject()
    yield "the same with the reference hub", mmengine.subject_with_reference_hub()
    yield "functions run between two events", correct()
    (third_party,) = find_subjects(str(ROOT / "docs" / "examples" / "third_party" / "test_conformance.py"))
    yield "context managers", third_party
    for kind in (*ODD, *ODD_NUMBERS):
        yield f"odd: {(kind.__doc__ or kind.__name__).strip().splitlines()[0]}", subject_of(kind)
    yield "rings of numbers, thread-safe", reference_hub.subject()
    for hub in ODD_HUBS:
        yield f"odd: {(hub.__doc__ or hub.__name__).strip().splitlines()[0]}", HubSubject(hub.__name__, "1", make=hub)
    yield "lists in dictionaries", HubSubject("SimpleHub", "1", make=SimpleHub)
