from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from simple_trainer import Trainer

from runtimeinfo_conformance import Plan, Subject
from runtimeinfo_conformance._fresh import FreshProcess, FreshProcessError, Shown, find_difference
from runtimeinfo_conformance.command_line._target import find_subjects

TARGETS = f"""
import os, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
from enum import IntEnum
from simple_trainer import Trainer
from runtimeinfo_conformance import Subject

runs = 0


def counts_runs(plan, hooks):
    global runs
    trainer = Trainer(plan, hooks)
    trainer.seed, trainer.iter = plan.seed, runs
    runs += 1
    print("among the answers")
    os.write(1, b"among the answers")
    trainer.fit()


class Counter(int):
    def __repr__(self):
        return f"Counter of {{threading.Lock()}}"


class Odd(Trainer):
    def emit(self, event, **given):
        given = {{**given, "metrics": threading.Lock()}} if "metrics" in given else given
        self.message_hub.update_info("lock", threading.Lock(), False)
        self.iter = Counter(self.iter)
        super().emit(event, **given)


def dies(plan, hooks):
    import signal
    os.kill(os.getpid(), signal.SIGKILL)


def fails(plan, hooks):
    raise ValueError(threading.Lock())


counts = Subject("counts", "1", run=counts_runs)
odd = Subject("odd", "1", run=lambda plan, hooks: Odd(plan, hooks).fit())
dying = Subject("dying", "1", run=dies)
failing = Subject("failing", "1", run=fails)
twin = Subject("twin", "1", run=dies)
other_twin = Subject("twin", "1", run=fails)
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], FreshProcess]]:
    """Return a fresh process with a subject of the file in it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "fresh_targets.py"
    file.write_text(TARGETS)

    def make(name: str) -> FreshProcess:
        (subject,) = find_subjects(f"{file}:{name}")
        return FreshProcess(f"{file}:{name}", subject)

    yield make
    del sys.modules["fresh_targets"]


def test_each_question_is_the_first_of_a_process(fresh: Any) -> None:
    with fresh("counts") as process:
        for plan in (Plan(), Plan(seed=1), Plan(seed=2)):
            judged = process.judge(plan)
            assert judged.failures == {}
            assert [record.iter for record in judged.legs[0].records][:4] == [0, 0, 0, 0]
        third = process.judge(Plan(), Plan(), Plan())
        assert [record.iter for record in third.legs[0].records][:4] == [2, 2, 2, 2]
        assert "COUNT-01" in third.broken_at_once
        found = find_difference(process.judge(Plan()), third)
        assert found is not None
        assert found[0].at == 1  # at before_run the hub holds nothing
        assert process.judge(Plan()) is process.judge(Plan())


def test_of_a_plan_of_several_runs_those_after_another_are_told_apart(fresh: Any) -> None:
    with fresh("counts") as process:
        judged = process.judge(Plan(repeat=True))
        assert {"COUNT-01", "LIFE-10"} <= judged.failures.keys()
        assert judged.broken_at_once == frozenset()
        assert judged.occurrences["COUNT-01"] == 1


def test_unpicklable_values_arrive_as_their_repr(fresh: Any) -> None:
    with fresh("odd") as process:
        judged = process.judge(Plan())
    pickle.dumps(judged)
    record = judged.legs[0].records[1]
    assert repr(record.info["lock"]).startswith("<unlocked _thread.lock object at ")
    assert isinstance(record.info["lock"], Shown)
    assert type(record.iter) is int


def test_an_exception_comes_as_it_looks(fresh: Any) -> None:
    with fresh("failing") as process:
        assert repr(process.judge(Plan()).crash).startswith("ValueError(<unlocked _thread.lock")


def test_a_process_that_dies_is_an_error(fresh: Any) -> None:
    with fresh("dying") as process, pytest.raises(FreshProcessError, match="the process has died"):
        process.judge(Plan())


@pytest.mark.parametrize(
    ("target", "name", "reason"),
    [
        ("nowhere.py", "counts", "there is no file nowhere.py"),
        ("{file}", "no such", "has no subjects named 'no such' there; name one"),
        ("{file}", "twin", "has 2 subjects named 'twin' there; name one"),
    ],
)
def test_a_subject_that_cannot_be_loaded_is_an_error(tmp_path: Path, target: str, name: str, reason: str) -> None:
    file = tmp_path / "fresh_targets.py"
    file.write_text(TARGETS)
    subject = Subject(name, "1", run=lambda plan, hooks: Trainer(plan, hooks).fit())
    with pytest.raises(FreshProcessError, match=reason), FreshProcess(target.format(file=file), subject):
        pass


def test_without_fork_each_question_has_a_process(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimeinfo_conformance._fresh._CAN_FORK", False)
    with fresh("counts") as process:
        # The other process can fork: here it is only asked no more than once.
        pids = []
        for plan in (Plan(), Plan(seed=1)):
            assert process.judge(plan).failures == {}
            pids.append(process._process)
    assert pids == [None, None]
