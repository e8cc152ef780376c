from __future__ import annotations

from typing import Any

import pytest
from broken_runners import ValidatesSilently
from simple_trainer import Trainer, correct, subject_of

from runtimeinfo.spec import CAPABILITIES, REQUIREMENTS
from runtimeinfo_conformance import Plan, Subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import Profile
from runtimeinfo_conformance._undeclared import undeclared
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.subjects import mmengine, pytorch

# Those that some requirement speaks of; whoever makes one step a batch keeps that on accumulation, too.
SEEN = sorted({name for rule in REQUIREMENTS.values() for name in rule.capabilities} - {"accumulation"})


def seemingly(subject: Subject, guard: Guard | None = None) -> list[str]:
    return list(undeclared(subject, guard or Guard()))


def without(name: str, subject: Subject) -> Subject:
    return Subject(subject.name, subject.version, run=subject.run, capabilities=subject.capabilities - {name})


@pytest.mark.parametrize("name", SEEN)
def test_undeclared_abilities_are_seen(name: str) -> None:
    assert seemingly(without(name, correct())) == [name]


@pytest.mark.parametrize("make", [correct, pytorch.subject, mmengine.subject])
def test_fully_declared_subject_gets_no_remark(make: Any) -> None:
    assert seemingly(make()) == []


@pytest.mark.parametrize("name", sorted(CAPABILITIES.keys() - set(SEEN)))
def test_unregulated_changes_are_not_noticed(name: str) -> None:
    assert seemingly(without(name, correct())) == []


def test_broken_ability_gets_no_remark() -> None:
    assert seemingly(without("val", subject_of(ValidatesSilently))) == []


def test_crashing_subject_gets_no_remark() -> None:
    class CannotTest(Trainer):
        def __init__(self, plan: Plan, hooks: Any) -> None:
            if plan.test_batches is not None:
                raise NotImplementedError
            super().__init__(plan, hooks)

    assert seemingly(without("test", subject_of(CannotTest))) == []


def test_ignored_ability_gets_no_remark() -> None:
    class IgnoresTests(Trainer):
        def evaluate(self, stage: str, loaders: Any) -> None:
            if stage != "test":
                super().evaluate(stage, loaders)

    assert seemingly(without("test", subject_of(IgnoresTests))) == []


def test_it_is_a_warning_and_changes_no_verdict() -> None:
    report = check(without("resume_mid_epoch", correct()), Profile("fixed", plans=1, canary_plans=100))
    assert report.warnings == (
        "'resume_mid_epoch' is not declared, yet its requirements hold: declare it, and they stay so",
    )
    assert report.exit_code == 0


def test_earlier_spec_version_excludes_later_rules() -> None:
    whole = correct()
    declared = whole.capabilities - {"early_stop", "val"}
    assert "early_stop" in seemingly(Subject("new", "1", run=whole.run, capabilities=declared))
    assert "early_stop" not in seemingly(Subject("old", "1", run=whole.run, capabilities=declared, spec="0.1"))
