"""Plans that together have each three values of their fields: a covering array of strength 3.

Most faults show where two or three values meet. The plans are found greedily, one at a time: each begins with values
that have not met yet, and takes for each other field the value that meets most others for the first time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from runtimeinfo_conformance.plans import Plan, PlanError
from runtimeinfo_conformance.search._choices import FIELDS, Choice, Filling, choice_of, make_plan, read_choice
from runtimeinfo_conformance.search._occurrences import times_of

# What values are tried with: one of these makes a training of nearly all that can meet.
_BASES: tuple[Choice, ...] = (
    {},
    {"max_epochs": 3, "batches": 3},
    {"max_epochs": 3, "batches": 3, "val_batches": 1, "outputs": "scalars"},
    {"max_epochs": 3, "batches": 3, "val_batches": 1, "outputs": "scalars", "resume": "batch"},
    {"max_epochs": 3, "batches": 3, "val_batches": 1, "iterations": "all", "resume": "batch"},
    {"max_epochs": 3, "batches": 3, "val_batches": 1, "resume": "end"},
    {"max_epochs": 3, "val_batches": 1, "outputs": "scalars"},
    {"batches": 3, "val_batches": 1, "outputs": "scalars"},
    {"batches": 3, "val_batches": 1, "outputs": "scalars", "resume": "batch"},
    {"val_batches": 1, "test_batches": 1},
)

_SEED = 3

_PAIR = 50
"""How many triples are worth a pair."""

_BEGINNING = 30
"""To begin a training takes about as long as so many events."""

_PRICE = 400
"""Each plan counts as so many events more, because there may only be so many plans."""


@dataclass(frozen=True)
class Coverage:
    """How many pairs and triples of values some plans have, out of those that there can be.

    Attributes:
        pairs: How many pairs the plans have.
        possible_pairs: How many pairs there can be.
        triples: How many triples the plans have.
        possible_triples: How many triples there can be.
    """

    pairs: int
    possible_pairs: int
    triples: int
    possible_triples: int


def covering_plans(capabilities: frozenset[str], before: Iterable[Plan], most: int) -> list[Plan]:
    """Return plans that have what other plans lack: all pairs first, then as many triples as fit.

    To find them takes seconds. They are in a file that a script writes, for a subject that has declared everything:
    what another one has not declared, they go without.

    Args:
        capabilities: What a subject has declared.
        before: The plans that are tried anyway.
        most: How many plans there may be. There are fewer if the others would add nothing.
    """
    array, filling = _Array(capabilities), Filling()
    for plan in before:
        array.add(choice_of(plan))
        filling.note(plan)
    choices = chain(array.those_that_add(_stored()), array.search(most))
    return [filling.fill(choice) for choice in itertools.islice(choices, most)]


def search_choices(
    capabilities: frozenset[str], before: Iterable[Plan], most: int, candidates: int = 0
) -> Iterator[Choice]:
    """Search for values that have what some plans lack, at little cost, and yield them in that order.

    Args:
        capabilities: What a subject has declared.
        before: The plans that are tried anyway.
        most: How often.
        candidates: Out of how many the best is taken each time, after each was improved, which takes a while; 0 takes
            the first.
    """
    array = _Array(capabilities)
    for plan in before:
        array.add(choice_of(plan))
    return array.search(most, candidates)


@cache
def _stored() -> tuple[Choice, ...]:
    text = resources.files("runtimeinfo_conformance.search").joinpath("covering.txt").read_text(encoding="utf-8")
    return tuple(read_choice(line) for line in text.splitlines() if not line.startswith("#"))


def estimate_cost(plan: Plan) -> int:
    """Return how long it takes to run a plan, in events: about as many as come, and those that a beginning is worth.

    Example:
        >>> estimate_cost(Plan(repeat=True)) // estimate_cost(Plan())
        2
    """
    whole = replace(plan, resume_after=None, resume_batch=0, later_resumes=(), stopped_by="interrupt", fault=None)
    once = _BEGINNING * (1 + len(plan.resumes)) + sum(times_of(whole).values())
    runs = 1 if not plan.repeat else 2 if plan.fault is None else 3
    return once * runs * (1 + plan.again) * (1 + (plan.company in {"beside", "nested", "in_turn"}))


def measure_coverage(plans: Iterable[Plan], capabilities: frozenset[str]) -> Coverage:
    """Measure how many of the possible pairs and triples some plans have.

    Args:
        plans: The plans.
        capabilities: What a subject has declared, by which it is possible.
    """
    array = _Array(capabilities)
    for plan in plans:
        array.add(choice_of(plan))
    return array.measure()


class _Array:
    """The pairs and triples of values that have met.

    Args:
        capabilities: What a subject has declared.
    """

    def __init__(self, capabilities: frozenset[str]) -> None:
        self._capabilities = capabilities
        self._values = {name: each for name, (needs, each) in FIELDS.items() if needs is None or needs in capabilities}
        self._entries = [(name, value) for name, values in self._values.items() for value in values]
        self._number = {entry: number for number, entry in enumerate(self._entries)}
        names = list(self._values)
        field = np.array([names.index(name) for name, _ in self._entries])
        # What has not met. A pair is in here twice, and a triple six times.
        self._pairs: NDArray[np.bool_] = field[:, None] != field[None, :]
        self._triples: NDArray[np.bool_] = self._pairs[:, :, None] & self._pairs[:, None, :] & self._pairs[None, :, :]
        self._all = int(self._pairs.sum()) // 2, int(self._triples.sum()) // 6
        self._random = random.Random(_SEED)  # noqa: S311  # nothing secret

    def add(self, choice: Choice) -> None:
        """Note what has met."""
        numbers = [self._number[entry] for entry in choice.items() if entry in self._number]
        self._pairs[np.ix_(numbers, numbers)] = False
        self._triples[np.ix_(numbers, numbers, numbers)] = False

    def those_that_add(self, choices: Iterable[Choice]) -> Iterator[Choice]:
        """Yield values, without what is not declared, each time that some of them meet for the first time."""
        for choice in choices:
            declared = {name: value for name, value in choice.items() if name in self._values}
            full = {**{name: values[0] for name, values in self._values.items()}, **declared}
            if any(self._gain(full)) and self._can_be(full):
                self.add(full)
                yield full

    def search(self, most: int, candidates: int = 0) -> Iterator[Choice]:
        """Yield values for each field, as long as there are some that can meet, and have not.

        Args:
            most: How often.
            candidates: Out of how many the best is taken each time, after each was improved; 0 takes the first.
        """
        seeds = chain(self._seeds(self._pairs), self._seeds(self._triples))
        for seed in seeds:
            if most == 0:
                return
            base = self._base_of(seed)
            if base is None:
                self._rule_out(seed)
                continue
            choice = self._complete(seed, base)
            if candidates:
                others = (self._complete(seed, base) for _ in range(candidates - 1))
                choice = max(map(self._improve, [choice, *others]), key=self._worth)
            self.add(choice)
            most -= 1
            yield choice

    def _gain(self, choice: Choice) -> tuple[int, int]:
        numbers = [self._number[entry] for entry in choice.items()]
        pairs, triples = self._pairs[np.ix_(numbers, numbers)], self._triples[np.ix_(numbers, numbers, numbers)]
        return int(pairs.sum()), int(triples.sum())

    def _worth(self, choice: Choice, least: float = 0.0) -> float:
        """Return how much values add, for what it costs to run them; 0 if that is not more than some worth."""
        pairs, triples = self._gain(choice)
        gain = pairs * _PAIR + triples
        if gain <= least * (_PRICE + _BEGINNING):  # whatever it costs; to make a plan takes longer than all else here
            return 0.0
        cost = self._cost(choice)
        return gain / (_PRICE + cost) if cost is not None else 0.0

    def _cost(self, choice: Choice) -> int | None:
        try:
            plan = make_plan(choice)
        except PlanError:
            return None
        return estimate_cost(plan) if plan.needs <= self._capabilities else None

    def _improve(self, choice: Choice) -> Choice:
        """Return values that are worth more, changed one at a time as long as that helps."""
        best, is_better = self._worth(choice), True
        while is_better:
            is_better = False
            for name in self._random.sample(list(self._values), len(self._values)):
                for value in self._values[name]:
                    changed = {**choice, name: value}
                    worth = self._worth(changed, best) if value != choice[name] else 0.0
                    if worth > best:
                        choice, best, is_better = changed, worth, True
        return choice

    def measure(self) -> Coverage:
        """Return the number of combinations that have met, and that can meet."""
        unmet_pairs, unmet_triples = int(self._pairs.sum()) // 2, int(self._triples.sum()) // 6
        never_pairs = [seed for seed in _sorted(self._pairs) if self._base_of(seed) is None]
        for seed in never_pairs:
            self._rule_out(seed)
        left = _sorted(self._triples)
        never_triples = unmet_triples - len(left) + sum(self._base_of(seed) is None for seed in left)
        return Coverage(
            pairs=self._all[0] - unmet_pairs,
            possible_pairs=self._all[0] - len(never_pairs),
            triples=self._all[1] - unmet_triples,
            possible_triples=self._all[1] - never_triples,
        )

    def _seeds(self, unmet: NDArray[np.bool_]) -> Iterator[tuple[int, ...]]:
        """Yield values that have not met, in no order; by the time that it is their turn they may have."""
        seeds = _sorted(unmet)
        self._random.shuffle(seeds)
        yield from (seed for seed in seeds if unmet[seed])

    def _rule_out(self, seed: tuple[int, ...]) -> None:
        """Let values that cannot meet count as if they had."""
        if len(seed) == 2:
            one, other = seed
            self._pairs[one, other] = self._pairs[other, one] = False
            for these in ((one, other), (other, one)):
                self._triples[these[0], these[1], :] = False
                self._triples[these[0], :, these[1]] = False
                self._triples[:, these[0], these[1]] = False
        else:
            self._triples[np.ix_(seed, seed, seed)] = False

    def _base_of(self, seed: tuple[int, ...]) -> Choice | None:
        """Return values with which some can meet; None if they cannot."""
        wanted = dict(self._entries[number] for number in seed)
        for base in _BASES:
            tried = {**{name: value for name, value in base.items() if name in self._values}, **wanted}
            if self._can_be(tried):
                return tried
        return None

    def _can_be(self, choice: Choice) -> bool:
        try:
            return make_plan(choice).needs <= self._capabilities
        except PlanError:
            return False

    def _complete(self, seed: tuple[int, ...], base: Choice) -> Choice:
        """Return a value for each field: of those that can be, the ones that meet most for the first time."""
        choice = {**{name: values[0] for name, values in self._values.items()}, **base}
        decided = list(seed)
        open_fields = [name for name in self._values if name not in {self._entries[number][0] for number in seed}]
        self._random.shuffle(open_fields)
        for name in open_fields:
            numbers = [self._number[name, value] for value in self._values[name]]
            for number in self._by_gain(numbers, decided):
                tried = {**choice, name: self._entries[number][1]}
                if tried == choice or self._can_be(tried):
                    choice = tried
                    decided.append(number)
                    break
        return choice

    def _by_gain(self, numbers: list[int], decided: list[int]) -> list[int]:
        """Return values of a field, first those that meet most of what is decided for the first time."""
        self._random.shuffle(numbers)
        pairs = self._pairs[np.ix_(numbers, decided)].sum(axis=1)
        triples = self._triples[np.ix_(numbers, decided, decided)].sum(axis=(1, 2))
        gains = pairs * self._triples.size + triples
        return [numbers[index] for index in np.argsort(-gains, kind="stable")]


def _sorted(unmet: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Return the combinations that have not met, each once."""
    found = np.argwhere(unmet)
    increasing = (np.diff(found, axis=1) > 0).all(axis=1)
    return [tuple(map(int, row)) for row in found[increasing]]
