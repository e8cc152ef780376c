from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from simple_trainer import Trainer

from runtimeinfo_conformance import Fault, HubSubject, Plan, Subject, _leaks
from runtimeinfo_conformance._fresh import LEAK_RULE
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._leaks import blame
from runtimeinfo_conformance._profile import silent
from runtimeinfo_conformance._replay import ReplayError, replay, replay_line
from runtimeinfo_conformance._verdict import ExitCode, Tally
from runtimeinfo_conformance.command_line._target import find_subjects
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.plans import AnyPlan, HubOp, HubPlan, plan_text

HERE = Path(__file__).parent

# Each keeps something from one run to the next, in a module that another process can load.
LEAKY = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from simple_hub import SimpleHub
from simple_trainer import Trainer
from runtimeinfo_conformance import HubSubject, Subject

done = 0
is_broken_off = False
has_validated = False
starts_late = False
infos = {{}}


def counts_on(plan, hooks):
    global done
    trainer = Trainer(plan, hooks)
    trainer.iter = done
    trainer.fit()
    done = trainer.iter


class CountsFromOne(Trainer):
    def __init__(self, plan, hooks):
        super().__init__(plan, hooks)
        self.epoch = int(is_broken_off)


def counts_from_one_after_an_abort(plan, hooks):
    global is_broken_off
    trainer = CountsFromOne(plan, hooks)
    try:
        trainer.fit()
    except BaseException:
        is_broken_off = True
        raise


def raises_after_a_validation(plan, hooks):
    global has_validated
    if has_validated:
        raise RuntimeError("it has validated")
    Trainer(plan, hooks).fit()
    has_validated = plan.val_batches is not None


class AlwaysFromOne(Trainer):
    def __init__(self, plan, hooks):
        super().__init__(plan, hooks)
        self.epoch = 1
        self.max_epochs += 1


def counts_on_from_one(plan, hooks):
    global done
    trainer = AlwaysFromOne(plan, hooks)
    trainer.iter = done
    trainer.fit()
    done = trainer.iter


def starts_late_by_chance(plan, hooks):
    trainer = Trainer(plan, hooks)
    trainer.iter = int(starts_late)
    trainer.fit()


class SharedHub(SimpleHub):
    def __init__(self, *names):
        super().__init__()
        self.runtime_info = infos


counter = Subject("counter", "1", run=counts_on)
old = Subject("old", "1", run=counts_on, spec="0.1")
aborted = Subject("aborted", "1", run=counts_from_one_after_an_abort)
raises = Subject("raises", "1", run=raises_after_a_validation, capabilities={{"val"}})
both = Subject("both", "1", run=counts_on_from_one)
chance = Subject("chance", "1", run=starts_late_by_chance)
hub = HubSubject("shared", "1", make=SharedHub)
"""

ABORT = Plan(fault=Fault("before_train_iter"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "leaky.py").write_text(LEAKY)
    return tmp_path


@pytest.fixture
def load(folder: Path, forget_modules: None) -> Callable[[str], tuple[Any, str]]:
    """Return a subject of the file and its target."""

    def load(name: str) -> tuple[Any, str]:
        target = f"{folder / 'leaky.py'}:{name}"
        (subject,) = find_subjects(target)
        return subject, target

    return load


@pytest.fixture
def forget_modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(folder) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


def blamed(subject: Any, target: str | None, *tried: AnyPlan) -> tuple[Tally, list[str]]:
    """Run plans, and blame what they have broken."""
    tally = Tally()
    for plan in tried:
        judge_plan(subject, plan, tally)
    first = {id: count.failure for id, count in tally.counts.items() if count.failure is not None}
    return tally, blame(subject, tally, first, tried, Guard(), silent, target=target)


def test_a_leak_is_reported_by_the_command_with_both_plans_and_replayed(folder: Path, in_process: Any) -> None:
    ran = in_process("-m", "runtimeinfo", "check", "--profile", "quick", "leaky.py:counter")
    assert ran.returncode == ExitCode.VIOLATED, ran.stdout + ran.stderr
    assert re.findall(r"^([A-Z]+-\d+) +MUST +fail", ran.stdout, re.MULTILINE) == [LEAK_RULE]
    assert "  after:    Plan()  (before it, in the same process)\n  plan:     Plan()\n" in ran.stdout
    assert "  expected: iter 0\n  observed: iter 1\n" in ran.stdout
    (line,) = re.findall(r"replay: +runtimeinfo (.*)", ran.stdout)
    assert line == f"replay {LEAK_RULE} 'Plan()' 'Plan()' leaky.py:counter"
    again = in_process("-m", "runtimeinfo", *shlex.split(line))
    assert again.returncode == ExitCode.VIOLATED, again.stdout + again.stderr
    assert f"counter: {LEAK_RULE} is broken on this plan" in again.stdout


def test_a_leak_is_not_what_the_rules_are_about_that_it_breaks(load: Any) -> None:
    subject, target = load("counter")
    tally, warnings = blamed(subject, target, Plan(), Plan(max_epochs=2))
    assert tally.broken == {LEAK_RULE}
    assert warnings == []
    assert tally.counts["COUNT-01"].occurrences == 3
    failure = tally.counts[LEAK_RULE].failure
    assert failure is not None
    assert (failure.after, failure.plan) == ((Plan(),), Plan())
    assert failure.leg is not None
    assert [record.iter for record in failure.leg.records] == [1, 1, 1, 1, 1, 2, 2, 2]


def test_a_leak_within_a_plan_of_several_runs_is_found(load: Any) -> None:
    subject, target = load("counter")
    tally, _ = blamed(subject, target, Plan(repeat=True))
    assert tally.broken == {LEAK_RULE}


def test_the_plan_that_leaks_is_found_among_many(load: Any) -> None:
    subject, target = load("aborted")
    plans = [Plan(batches=batches) for batches in range(1, 7)]
    tally, _ = blamed(subject, target, *plans[:3], ABORT, *plans[3:])
    assert tally.broken == {LEAK_RULE}
    failure = tally.counts[LEAK_RULE].failure
    assert failure is not None
    assert failure.plan == Plan()
    (before,) = failure.after
    assert isinstance(before, Plan)
    assert before.fault is not None


def test_an_exception_that_a_leak_raises_is_a_leak(load: Any) -> None:
    subject, target = load("raises")
    tally, _ = blamed(subject, target, Plan(), Plan(val_batches=1), Plan(batches=2))
    assert tally.crash is None
    assert tally.broken == {LEAK_RULE}
    failure = tally.counts[LEAK_RULE].failure
    assert failure is not None
    assert failure.after == (Plan(val_batches=0),)


def test_failures_without_a_leak_stay(load: Any) -> None:
    subject, target = load("both")
    vars(sys.modules[subject.run.__module__])["done"] = 5
    tally, _ = blamed(subject, target, Plan(), Plan(max_epochs=2))
    assert tally.broken >= {LEAK_RULE, "COUNT-03"}
    assert "COUNT-01" not in tally.broken
    failure = tally.counts["COUNT-03"].failure
    assert failure is not None
    assert (failure.after, failure.plan) == ((), Plan())
    assert failure.leg is not None
    assert {record.iter for record in failure.leg.records} == {0, 1}  # as in a fresh process


@pytest.mark.parametrize(("name", "id"), [("old", "COUNT-01"), ("hub", "HUB-14")])
def test_both_plans_are_named_without_the_rule_on_leaks(load: Any, name: str, id: str) -> None:
    subject, target = load(name)
    plans: list[AnyPlan] = [Plan(), Plan()]
    if isinstance(subject, HubSubject):
        plans = [HubPlan((HubOp("update_info", value=7),)), HubPlan()]
    tally, _ = blamed(subject, target, *plans)
    failure = tally.counts[id].failure
    assert failure is not None
    assert len(failure.after) == 1
    line = shlex.split(replay_line(id, failure.plan, target, after=failure.after))
    assert line[3:] == [plan_text(failure.after[0]), plan_text(failure.plan), target]


def test_a_subject_that_no_other_process_finds_is_tried_again_here() -> None:
    runs: list[int] = []

    def first_only(plan: Plan, hooks: Any) -> None:
        trainer = Trainer(plan, hooks)
        trainer.iter = 1 if not runs else 0
        runs.append(1)
        trainer.fit()

    subject = Subject("here", "1", run=first_only)
    tally, warnings = blamed(subject, None, Plan())
    assert "COUNT-01" in tally.broken
    assert "was not tried in a fresh process (it has no name on a command line)" in warnings[0]
    assert any(warning.startswith("COUNT-01 holds on Plan() when that is run again") for warning in warnings)
    runs.clear()
    _, warnings = blamed(subject, "nowhere.py", Plan())
    assert "(there is no file nowhere.py; " in warnings[0]


def test_a_failure_that_never_comes_back_is_told(load: Any) -> None:
    subject, target = load("chance")
    vars(sys.modules[subject.run.__module__])["starts_late"] = True  # which another process does not see
    tally, warnings = blamed(subject, target, Plan())
    assert "COUNT-01" in tally.broken
    assert any("COUNT-01 does not come back on Plan() in a fresh process" in warning for warning in warnings)


def test_green_check_starts_no_process() -> None:
    subject = Subject("good", "1", run=lambda plan, hooks: Trainer(plan, hooks).fit())
    assert blamed(subject, "nowhere.py", Plan()) == (ANY, [])


def test_a_leak_is_replayed_in_a_fresh_process_only(load: Any) -> None:
    subject, target = load("counter")
    replayed = replay(subject, LEAK_RULE, Plan(), after=(Plan(),), target=target)
    assert replayed.exit_code is ExitCode.VIOLATED
    assert replay(subject, LEAK_RULE, Plan(), after=(ABORT,), target=target).exit_code is ExitCode.CONFORMANT
    assert replay(subject, "COUNT-01", Plan(), after=(Plan(),)).exit_code is ExitCode.VIOLATED
    with pytest.raises(ReplayError, match="needs the target of the subject; give it"):
        replay(subject, LEAK_RULE, Plan(), after=(Plan(),))
    with pytest.raises(ReplayError, match=r"there is no file nowhere\.py"):
        replay(subject, LEAK_RULE, Plan(), after=(Plan(),), target="nowhere.py")
    with pytest.raises(ReplayError, match="takes a Plan, not a HubPlan"):
        replay(subject, "COUNT-01", Plan(), after=(HubPlan(),))


def test_leak_victims_are_judged_again_or_named(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, target = load("counter")
    monkeypatch.setattr(_leaks, "_MOST_AGAIN", 3)
    plans = [Plan(batches=batches) for batches in range(1, 9)]
    tally, notes = blamed(subject, target, *plans)
    assert tally.broken == {LEAK_RULE}
    (note,) = notes
    chosen, left = map(
        int, re.findall(r"judged alone on (\d+) plans, and not on (\d+) others, because of the", note)[0]
    )
    assert chosen + left == len(plans)
    assert 2 <= chosen <= 4
    assert "COUNT-01" in note


def test_the_search_for_leaks_ends_after_some_runs_and_says_so(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, target = load("aborted")
    monkeypatch.setattr(_leaks, "_MOST_RUNS", 8)
    plans = [Plan(batches=batches) for batches in range(1, 7)]
    tally, notes = blamed(subject, target, *plans[:3], ABORT, *plans[3:])
    assert LEAK_RULE in tally.broken
    assert any(
        "after 8 runs in fresh processes no more leaks or smaller plans were looked for" in each for each in notes
    )


@pytest.mark.parametrize("culprit", [0, 5, 12, 13])
def test_a_plan_that_leaks_is_found_wherever_it_is(load: Any, culprit: int) -> None:
    subject, target = load("raises")
    plans = [Plan(batches=batches) for batches in range(1, 16)]
    plans[culprit] = Plan(batches=culprit + 1, val_batches=1)
    tally = Tally()
    for plan in plans:
        judge_plan(subject, plan, tally)
    assert tally.crash is not None
    assert tally.crash.plan == plans[culprit + 1]
    blame(subject, tally, {}, plans, Guard(), silent, target=target)
    failure = tally.counts[LEAK_RULE].failure
    assert failure is not None
    assert failure.after == (Plan(val_batches=0),)
