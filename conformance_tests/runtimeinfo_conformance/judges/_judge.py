"""Judges: what they are given, what they yield, and their registry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from runtimeinfo import RunnerError
from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance.judges._same import is_same
from runtimeinfo_conformance.observation import Expectation, Leg, Record
from runtimeinfo_conformance.plans import Plan


class Finding(NamedTuple):
    """One occurrence of what a requirement speaks about.

    The values are what was there (numbers, dicts, tuples), never texts made of them: a counter may be an int with its
    own repr. `ok` and `broken` make a finding that does not have to be compared.

    Attributes:
        at: The index of the record that it is about; None for the run as a whole.
        expected: What the requirement demands.
        observed: What was observed. The requirement holds here if it is the same.
        is_broken: Whether the requirement is broken here, whatever the two are.
    """

    at: int | None
    expected: Any
    observed: Any
    is_broken: bool = False

    @property
    def holds(self) -> bool:
        """Whether the requirement holds here."""
        return not self.is_broken and is_same(self.expected, self.observed)


def ok(at: int | None) -> Finding:
    """Return the finding that a requirement holds.

    Example:
        >>> ok(3).holds
        True
    """
    return Finding(at, None, None)


def broken(at: int | None, expected: Any, observed: Any) -> Finding:
    """Return the finding that a requirement is broken.

    Example:
        >>> broken(3, "an iter from 0 to 2", 3).holds
        False
    """
    return Finding(at, expected, observed, is_broken=True)


class RuleFinding(NamedTuple):
    """A finding where one look decides several requirements, and the one that it is about."""

    requirement: str
    finding: Finding


class Case:
    """A leg together with what the model says of it; the same one for every judge.

    Args:
        leg: What was observed.
    """

    def __init__(self, leg: Leg) -> None:
        self.leg: Leg = leg
        self.plan: Plan = leg.plan
        self.records: list[Record] = leg.records
        self.expectations: list[Expectation] = leg.expectations()
        self._every = list(zip(range(len(self.records)), self.records, self.expectations, strict=True))
        # By event, because each judge asks for a few of them.
        self._of: dict[str, list[tuple[int, Record, Expectation]]] = defaultdict(list)
        for each in self._every:
            self._of[each[1].event].append(each)

    @property
    def was_refused(self) -> bool:
        """Whether the hook refused the runner, or what it gave it: that has requirements of its own."""
        return isinstance(self.leg.raised, RunnerError)

    @property
    def fails_inside(self) -> bool:
        """Whether the planned exception was raised while a scope was open: at the last after_run there is none.

        And while nothing else had gone wrong: then another exception was announced already.
        """
        at = self.leg.fault_at
        return at is not None and bool(self.expectations[at].inside) and not self.expectations[at].aborting

    def each(self, *events: str) -> Iterator[tuple[int, Record, Expectation]]:
        """Iterate over the records of some events, or of all, with the model's word on each."""
        if not events:
            return iter(self._every)
        if len(events) == 1:
            return iter(self._of.get(events[0], ()))
        return iter(sorted(chain.from_iterable(self._of.get(event, ()) for event in set(events)), key=itemgetter(0)))

    def since(self, event: str) -> Iterator[tuple[int, Record, Expectation]]:
        """Iterate over the records from the first of an event on."""
        begin = self._of[event][0][0] if event in self._of else len(self._every)
        return iter(self._every[begin:])

    def before(self, at: int) -> Record:
        """Return the record before one; the first one has none."""
        return self.records[at - 1]

    def appended(self, at: int, key: str) -> list[float]:
        """Return what was appended to a scalar since the record before, or since the beginning."""
        now = self.records[at].scalars.get(key, ())
        then = self.before(at).scalars.get(key, ()) if at else ()
        return list(now[len(then) :])

    def lost_its_step(self, at: int) -> bool:
        """Whether something was raised inside the iteration that a record closes, which then may return nothing."""
        fault_at = self.leg.fault_at
        if fault_at is None or self.leg.moment is None or not fault_at < at:
            return False
        return not any(record.event == "before_train_iter" for record in self.records[fault_at + 1 : at])

    def opening_of(self, at: int) -> Record | None:
        """Return the record at which the scope that a record closes was opened."""
        scope = self.records[at].event.removeprefix("after_")
        for index in range(at - 1, -1, -1):
            if self.records[index].event == f"before_{scope}":
                return self.records[index]
        return None


Judge = Callable[[Case], Iterator[Finding]]

JUDGES: dict[str, Judge] = {}
"""The judge of each requirement on runners, by its id."""


def judge(requirement: str) -> Callable[[Judge], Judge]:
    """Register the judge of a requirement."""
    if requirement not in REQUIREMENTS or requirement in JUDGES:
        raise ValueError(f"{requirement} is no requirement, or has a judge already")

    def register(function: Judge) -> Judge:
        JUDGES[requirement] = function
        return function

    return register
