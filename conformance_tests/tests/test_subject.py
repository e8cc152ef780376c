from __future__ import annotations

from typing import Any

import pytest
from broken_runners import KeepsItsHub, StopsByAnException, ValidatesInOneEpoch
from simple_hub import SimpleHub
from simple_trainer import Trainer, correct, subject_of

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSION, SPEC_VERSIONS
from runtimeinfo_conformance import HubSubject, Subject, SubjectError, _subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import Profile
from runtimeinfo_conformance._subject import is_upcoming
from runtimeinfo_conformance._verdict import ExitCode, Result, Verdict

# Those that are always tried, and one more.
FIXED = Profile("fixed", plans=1, canary_plans=100)

RULES = [rule for rule in REQUIREMENTS.values() if rule.party == "runner"]
NEW = {rule.id for rule in RULES if rule.since != "0.1"}


def claiming(spec: str, kind: type[Trainer] = Trainer) -> Subject:
    subject = subject_of(kind)
    # In two threads, what keeps something from run to run breaks other rules each time.
    capabilities = subject.capabilities - {"beside"}
    return Subject(subject.name, subject.version, run=subject.run, capabilities=capabilities, spec=spec)


def upcoming(results: Any) -> dict[str, Result]:
    return {result.requirement.id: result for result in results if result.verdict is Verdict.UPCOMING}


def test_the_newest_version_is_claimed_unless_another_is() -> None:
    assert correct().spec == HubSubject("hub", "1", make=SimpleHub).spec == SPEC_VERSION == SPEC_VERSIONS[-1]


@pytest.mark.parametrize("spec", ["0.4", "0", "", "1.0", " 0.1"])
def test_a_version_that_is_not_there_is_refused(spec: str) -> None:
    with pytest.raises(SubjectError, match=f"^any: there is no spec version '{spec}'; there are 0.1, 0.2, 0.3$"):
        Subject("any", "1", run=print, spec=spec)
    with pytest.raises(SubjectError, match=f"^hub: there is no spec version '{spec}'; there are 0.1, 0.2, 0.3$"):
        HubSubject("hub", "1", make=SimpleHub, spec=spec)


def test_later_rules_are_upcoming() -> None:
    assert {rule.id for rule in RULES if is_upcoming(claiming("0.1"), rule)} == NEW
    assert not any(is_upcoming(claiming(SPEC_VERSION), rule) for rule in RULES)
    assert {"LIFE-10", "LIFE-11", "LIFE-12", "LIFE-13", "RESUME-03"} <= NEW


def test_upcoming_rules_are_tested_too() -> None:
    assert _subject.testable(claiming("0.1")) == _subject.testable(correct())


@pytest.mark.parametrize(
    ("kind", "requirement"),
    [(KeepsItsHub, "LIFE-10"), (ValidatesInOneEpoch, "LIFE-11"), (StopsByAnException, "LIFE-12")],
)
def test_broken_upcoming_rules_leave_a_subject_conformant(kind: type[Trainer], requirement: str) -> None:
    old = check(claiming("0.1", kind), FIXED)
    new = check(claiming("0.2", kind), FIXED)
    of_new = {result.requirement.id for result in new.of(Verdict.FAIL)}
    assert requirement in of_new
    assert new.exit_code is ExitCode.VIOLATED
    # What of the old rules it breaks, too, is no less broken.
    assert {result.requirement.id for result in old.of(Verdict.FAIL)} == of_new - NEW
    assert old.exit_code is (ExitCode.VIOLATED if of_new - NEW else ExitCode.CONFORMANT)
    result = upcoming(old.results)[requirement]
    assert result.reason == "demanded from spec 0.2 on; it does not hold yet"
    assert result.failure is not None


def test_kept_ability_is_suggested() -> None:
    report = check(claiming("0.1"), FIXED)
    assert report.exit_code is ExitCode.CONFORMANT
    assert report.spec == "0.1"
    found = upcoming(report.results)
    assert found.keys() == {rule.id for rule in RULES if rule.id in NEW and rule.untestable is None}
    assert {result.reason for result in found.values()} == {
        f"demanded from spec {version} on; it holds already" for version in SPEC_VERSIONS[1:]
    }


def test_impossible_rules_are_not_upcoming() -> None:
    report = check(Subject("bare", "1", run=correct().run, spec="0.1"), FIXED)
    scope = {"SCOPE-01", "SCOPE-03", "SCOPE-04", "SCOPE-06", "SCOPE-07"}
    assert upcoming(report.results).keys() == {"LIFE-10", "LIFE-15", "COUNT-12", "COUNT-15", "SCALAR-11", *scope}


def test_a_subject_cannot_be_changed() -> None:
    subject: Any = correct()
    with pytest.raises(AttributeError):
        subject.spec = "0.1"
