from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from simple_trainer import Trainer, correct, subject_of

from runtimeinfo import current_hub
from runtimeinfo_conformance import Plan, Subject
from runtimeinfo_conformance.observation import Situation, _company, _execution, execute
from runtimeinfo_conformance.observation._company import run_here
from runtimeinfo_conformance.plans import PlanError


@pytest.mark.parametrize("company", ["beside", "nested", "in_turn"])
def test_a_second_training_is_a_leg_with_its_own_name_and_seed(company: Any) -> None:
    one, other = execute(correct(), Plan(max_epochs=2, batches=2, seed=7, company=company))
    assert (one.plan.seed, other.plan.seed) == (7, 8)
    assert other.plan.experiment_name == f"{one.plan.experiment_name}-other"
    for leg in (one, other):
        assert leg.ended_well
        assert leg.records[-1].info["experiment_name"] == leg.plan.experiment_name
        assert sum(record.event == "after_train_iter" for record in leg.records) == 4
        assert leg.glances


def test_two_trainings_beside_each_other_are_open_at_the_same_time_in_two_threads() -> None:
    open_runs: list[tuple[int, str]] = []

    class Tells(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            super().emit(event, **given)
            if event in {"before_train", "after_train"}:
                open_runs.append((threading.get_ident(), event))

    execute(subject_of(Tells), Plan(company="beside"))
    assert len({thread for thread, _ in open_runs}) == 2
    assert [event for _, event in open_runs] == ["before_train"] * 2 + ["after_train"] * 2


@pytest.mark.parametrize("slow_thread", ["main", "other"])
def test_callers_of_trainings_beside_each_other_are_asked_while_neither_is_open(
    monkeypatch: pytest.MonkeyPatch, slow_thread: str
) -> None:
    def ask_late() -> str:
        if (threading.current_thread() is threading.main_thread()) == (slow_thread == "main"):
            time.sleep(0.2)
        return run_here()

    monkeypatch.setattr(_execution, "run_here", ask_late)
    monkeypatch.setattr(_company, "run_here", ask_late)
    legs = execute(correct(), Plan(company="beside"))
    callers = [answer for leg in legs for answer in leg.answers if answer.situation is Situation.CALLER]
    assert [(answer.other, answer.found) for answer in callers] == [("no run", "no run")] * 2


def test_no_training_waits_for_one_that_has_failed() -> None:
    class Fails(Trainer):
        def run(self) -> None:
            if threading.current_thread() is not threading.main_thread():
                raise RuntimeError("mine")
            super().run()

    begin = time.monotonic()
    one, other = execute(subject_of(Fails), Plan(company="beside"))
    assert one.ended_well
    assert str(other.raised) == "mine"
    assert time.monotonic() - begin < 5


def test_a_training_that_is_not_begun_is_not_observed() -> None:
    (leg,) = execute(correct(), Plan(batches=0, company="nested"))
    assert leg.ended_well


def test_trainings_in_turn_take_turns() -> None:
    steps: list[str] = []

    class Tells(Trainer):
        def emit(self, event: str, **given: Any) -> None:
            if event == "before_train_iter":
                steps.append(self.experiment_name)
            super().emit(event, **given)

    one, other = execute(subject_of(Tells), Plan(batches=3, company="in_turn"))
    assert steps == [one.plan.experiment_name, other.plan.experiment_name] * 3
    assert [each.situation for each in one.answers] == [Situation.BETWEEN_STEPS] * 3 + [Situation.CALLER]


def test_a_subject_that_cannot_be_stepped_fails() -> None:
    subject = Subject("whole", "1", run=lambda plan, hooks: Trainer(plan, hooks).fit(), capabilities={"in_turn"})
    for leg in execute(subject, Plan(company="in_turn")):
        assert isinstance(leg.raised, TypeError)


def test_context_of_a_run_does_not_reach_the_next_plan() -> None:
    left: ContextVar[bool] = ContextVar("left", default=False)
    seen: list[bool] = []

    class Leaves(Trainer):
        def fit(self) -> None:
            super().fit()
            seen.append(left.get())
            left.set(True)

    for _ in range(2):
        execute(subject_of(Leaves), Plan())
    assert seen == [False, False]


@pytest.mark.parametrize("other", [{"again": True}, {"repeat": True}, {"max_epochs": 2, "resume_after": 1}])
def test_company_goes_with_a_training_in_one_go(other: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=r"^company goes with a training in one go: leave out again, repeat"):
        Plan(company="strangers", **other)


def test_the_kit_asks_outside_of_any_run() -> None:
    (leg,) = execute(correct(), Plan(company="strangers"))
    after = [answer for answer in leg.answers if answer.at is None]
    assert {answer.found for answer in after if answer.situation is Situation.COPY_LEFT} == {"no run"}
    assert current_hub().get_info("experiment_name") is None


SCRIPT = """
from simple_trainer import correct
from runtimeinfo_conformance import Plan
from runtimeinfo_conformance.observation import execute

print("begun")
for company in ("spawned", "served"):
    (leg,) = execute(correct(), Plan(company=company))
    print(company, leg.raised, [answer.found == answer.run for answer in leg.answers])
"""


def test_other_interpreters_do_not_run_the_script_of_the_user_again(tmp_path: Path) -> None:
    """It takes two starts of an interpreter, and one more for the script."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    tests = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={"PYTHONPATH": str(tests)}, check=False
    )
    told = [True, True, True, True, False, False, False]
    assert ran.stdout.splitlines() == ["begun", f"spawned None {told}", f"served None {told}"], ran.stderr


def test_a_thread_is_asked_in_each_part_of_a_run_and_between_events() -> None:
    (leg,) = execute(correct(), Plan(val_batches=1, test_batches=1, outputs=(("loss", "float"),), company="strangers"))
    asked = [answer.at for answer in leg.answers if answer.situation is Situation.THREAD_OF_ONE]
    events = [leg.records[at].event for at in asked if at is not None]
    assert set(events) == {record.event for record in leg.records}
    assert len(events) == len(set(events)) + 4  # data of three stages, and a step
    in_full = [answer.at for answer in leg.answers if answer.situation is Situation.WITNESS]
    assert {leg.records[at].event for at in in_full if at is not None} == {
        "before_run",
        "before_train_iter",
        "before_val_iter",
        "after_train",
        "before_test_iter",
        "after_run",
    }


@pytest.mark.parametrize("company", ["around", "beside", "nested"])
def test_a_thread_is_asked_while_another_run_of_the_subject_is_open(company: Any) -> None:
    legs = execute(correct(), Plan(company=company))
    asked = [answer for leg in legs for answer in leg.answers if answer.situation is Situation.THREAD_OF_SEVERAL]
    assert asked
    assert {answer.found for answer in asked} == {"no run"}
    after = [answer for answer in legs[0].answers if answer.situation is Situation.THREAD_OF_ONE]
    assert [answer.found == answer.run for answer in after] == [True] * (company == "nested")


def test_a_worker_is_asked_in_the_validation_and_the_test_as_well() -> None:
    (leg,) = execute(correct(), Plan(val_batches=1, test_batches=1, company="forked"))
    events = {leg.records[answer.at].event for answer in leg.answers if answer.at is not None}
    assert events == {"before_train_iter", "before_val_iter", "after_train", "before_test_iter"}


@pytest.mark.parametrize("company", ["strangers", "forked", "around", "nested"])
def test_a_run_without_an_event_is_not_asked_about(company: Any) -> None:
    legs = execute(Subject("silent", "1", run=lambda plan, hooks: None), Plan(company=company))
    assert [answer for leg in legs for answer in leg.answers if answer.situation is not Situation.CALLER] == []
