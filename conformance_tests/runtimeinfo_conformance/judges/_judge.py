"""The input and output of judges, and their registry."""

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
    """The result of one check of a requirement.

    The values are the originals (numbers, dicts, tuples), never text made from them, because a counter may be an int
    with its own repr. `ok` and `broken` return a finding without a comparison.

    Attributes:
        at: The index of the record in question, or None for the run as a whole.
        expected: The value that the requirement demands.
        observed: The observed value. The requirement holds here if both are the same.
        is_broken: Whether the requirement is broken here regardless of the two values.
    """

    at: int | None
    expected: Any
    observed: Any
    is_broken: bool = False

    @property
    def holds(self) -> bool:
        """True if the requirement is met here."""
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
    """A finding with its requirement, from a judge that decides several requirements."""

    requirement: str
    finding: Finding


class Case:
    """A leg and the model's expectations of it, shared by all judges.

    Args:
        leg: The observations.
    """

    def __init__(self, leg: Leg) -> None:
        self.leg: Leg = leg
        self.plan: Plan = leg.plan
        self.records: list[Record] = leg.records
        self.expectations: list[Expectation] = leg.expectations()
        self._every = list(zip(range(len(self.records)), self.records, self.expectations, strict=True))
        # Indexed by event, because each judge asks for only a few events.
        self._of: dict[str, list[tuple[int, Record, Expectation]]] = defaultdict(list)
        for each in self._every:
            self._of[each[1].event].append(each)

    @property
    def was_refused(self) -> bool:
        """True if the hook refused the runner or its arguments. Other requirements cover that."""
        return isinstance(self.leg.raised, RunnerError)

    @property
    def fails_inside(self) -> bool:
        """True if the planned exception was raised while a scope was open, unlike one at the last after_run.

        False if another exception had been announced before.
        """
        at = self.leg.fault_at
        return at is not None and bool(self.expectations[at].inside) and not self.expectations[at].aborting

    def each(self, *events: str) -> Iterator[tuple[int, Record, Expectation]]:
        """Iterate over the records of the given events, or of all, with the model's expectation of each."""
        if not events:
            return iter(self._every)
        if len(events) == 1:
            return iter(self._of.get(events[0], ()))
        return iter(sorted(chain.from_iterable(self._of.get(event, ()) for event in set(events)), key=itemgetter(0)))

    def since(self, event: str) -> Iterator[tuple[int, Record, Expectation]]:
        """Iterate over the records from the first occurrence of an event."""
        begin = self._of[event][0][0] if event in self._of else len(self._every)
        return iter(self._every[begin:])

    def before(self, at: int) -> Record:
        """Return the record before the given one, which must not be the first."""
        return self.records[at - 1]

    def appended(self, at: int, key: str) -> list[float]:
        """Return the values appended to a scalar since the previous record, or since the start."""
        now = self.records[at].scalars.get(key, ())
        then = self.before(at).scalars.get(key, ()) if at else ()
        return list(now[len(then) :])

    def lost_its_step(self, at: int) -> bool:
        """Return whether the iteration that a record closes failed, so that it may have no outputs."""
        fault_at = self.leg.fault_at
        if fault_at is None or self.leg.moment is None or not fault_at < at:
            return False
        return not any(record.event == "before_train_iter" for record in self.records[fault_at + 1 : at])

    def opening_of(self, at: int) -> Record | None:
        """Return the record that opened the scope that the given record closes."""
        scope = self.records[at].event.removeprefix("after_")
        for index in range(at - 1, -1, -1):
            if self.records[index].event == f"before_{scope}":
                return self.records[index]
        return None


Judge = Callable[[Case], Iterator[Finding]]

JUDGES: dict[str, Judge] = {}
"""Judges of the requirements on runners, by requirement id."""


def judge(requirement: str) -> Callable[[Judge], Judge]:
    """Register a function as the judge of a requirement."""
    if requirement not in REQUIREMENTS or requirement in JUDGES:
        raise ValueError(f"{requirement} is not a requirement, or already has a judge")

    def register(function: Judge) -> Judge:
        JUDGES[requirement] = function
        return function

    return register
