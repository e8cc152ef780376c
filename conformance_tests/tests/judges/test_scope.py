"""Mistakes of a whole runner; faults in what `use_hub` enters are in `test_mutants.py`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from broken_runners import HasNoName
from simple_trainer import Trainer, subject_of

from runtimeinfo import use_hub
from runtimeinfo_conformance import Plan
from runtimeinfo_conformance.judges import JUDGES, Case, Finding
from runtimeinfo_conformance.observation import execute

SCOPE = [f"SCOPE-0{number}" for number in range(1, 8)]

OPEN = ExitStack()


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    OPEN.close()


def findings(requirement: str, plan: Plan, kind: type[Trainer] = Trainer) -> list[Finding]:
    return [finding for leg in execute(subject_of(kind), plan) for finding in JUDGES[requirement](Case(leg))]


def broken(plan: Plan, kind: type[Trainer]) -> set[str]:
    cases = [Case(leg) for leg in execute(subject_of(kind), plan)]
    return {id for id in JUDGES for case in cases for finding in JUDGES[id](case) if not finding.holds}


@pytest.mark.parametrize(
    ("company", "judged"),
    [
        (None, {"SCOPE-07"}),
        ("strangers", {"SCOPE-01", "SCOPE-03", "SCOPE-04", "SCOPE-06", "SCOPE-07"}),
        ("around", {"SCOPE-01", "SCOPE-04", "SCOPE-07"}),
        ("beside", {"SCOPE-01", "SCOPE-04", "SCOPE-07"}),
        ("nested", {"SCOPE-01", "SCOPE-04", "SCOPE-07"}),
        ("in_turn", {"SCOPE-02", "SCOPE-07"}),
        ("forked", {"SCOPE-05", "SCOPE-07"}),
    ],
)
def test_each_company_puts_its_own_rules_to_the_test(company: Any, judged: set[str]) -> None:
    plan = Plan(batches=2, company=company)
    assert {id for id in SCOPE if findings(id, plan)} == judged
    assert broken(plan, Trainer) == set()


class EntersInAnotherThread(Trainer):
    """Enters its hub in a thread, and trains in this one."""

    def fit(self) -> None:
        is_there, is_over = threading.Event(), threading.Event()

        def enter() -> None:
            with use_hub(self.message_hub):
                is_there.set()
                is_over.wait()

        thread = threading.Thread(target=enter)
        thread.start()
        is_there.wait()
        try:
            self.scope("run", self.run)
        finally:
            is_over.set()
            thread.join()


def test_a_hub_that_is_entered_in_another_thread_is_lost_where_another_run_is_open() -> None:
    assert "SCOPE-01" in broken(Plan(company="strangers"), EntersInAnotherThread)
    assert "SCOPE-01" in broken(Plan(company="around"), EntersInAnotherThread)
    assert "SCOPE-01" in broken(Plan(company="beside"), EntersInAnotherThread)


class NeverLeaves(Trainer):
    """Leaves its hub when the process ends."""

    def fit(self) -> None:
        OPEN.enter_context(use_hub(self.message_hub))
        self.scope("run", self.run)


def test_a_hub_that_is_never_left_answers_after_the_run() -> None:
    assert broken(Plan(), NeverLeaves) == {"SCOPE-07"}
    OPEN.close()
    assert {"SCOPE-03", "SCOPE-07"} <= broken(Plan(company="strangers"), NeverLeaves)
    OPEN.close()
    (caller,) = [finding for finding in findings("SCOPE-07", Plan(company="around"), NeverLeaves) if not finding.holds]
    assert "'around'" in str(caller.expected)
    assert "'conformance-" in str(caller.observed)


class EntersWhereItIsMade(Trainer):
    """Enters its hub before the generator of its steps begins."""

    def __init__(self, plan: Plan, hooks: Any) -> None:
        super().__init__(plan, hooks)
        OPEN.enter_context(use_hub(self.message_hub))

    def steps(self) -> Iterator[None]:
        yield from self.stepped("run", self.run_in_steps())


def test_a_hub_that_is_entered_outside_the_generator_is_that_of_the_last_training() -> None:
    assert {"SCOPE-02", "SCOPE-07"} <= broken(Plan(batches=2, company="in_turn"), EntersWhereItIsMade)


class Wrapped:
    """Reads a hub."""

    def __init__(self, hub: Any) -> None:
        self.get_info, self.get_scalar = hub.get_info, hub.get_scalar


class EntersAnotherObject(Trainer):
    """Enters its hub once more for its training, wrapped."""

    def train(self) -> None:
        with use_hub(Wrapped(self.message_hub)):
            super().train()


def test_two_objects_for_one_run_are_two_runs_to_a_thread_without_a_context() -> None:
    assert broken(Plan(), EntersAnotherObject) == set()
    assert broken(Plan(company="strangers"), EntersAnotherObject) == {"SCOPE-04"}


class TellsNothingOfItself(HasNoName):
    """Has neither a name nor a seed."""

    seed = property(lambda _self: None, lambda _self, _value: None)  # type: ignore[assignment]


def test_a_run_that_does_not_say_which_it_is_is_left_to_other_rules() -> None:
    plan = Plan(company="strangers")
    (leg,) = execute(subject_of(TellsNothingOfItself), plan)
    assert {answer.run for answer in leg.answers if answer.at is not None} <= {"no run"}
    assert not broken(plan, TellsNothingOfItself) & {"SCOPE-01", "SCOPE-04", "SCOPE-06"}
