from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo_conformance import Subject, SubjectError, _subject, conformance

HERE = Path(__file__).parents[1]

FILE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from broken_runners import CountsEpochsFromOne
from simple_trainer import correct, subject_of
from runtimeinfo_conformance import Subject, conformance


def modest(name, run):  # each capability takes time
    return Subject(name, "1", run=run, capabilities={{"val", "test"}})


test_good = conformance(modest("good", correct().run), profile="quick")
test_old = conformance(Subject("old", "1", run=correct().run, spec="0.1"), profile="quick")
test_bad = conformance(modest("bad", subject_of(CountsEpochsFromOne).run), profile="quick")
test_idle = conformance(Subject("idle", "1", run=lambda plan, hooks: None), profile="quick")


def crash(plan, hooks):
    return 1 / 0


test_crash = conformance(Subject("crash", "1", run=crash), profile="quick")
"""

# Fast, and each of them breaks one rule.
HUBS = f"""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, {str(HERE)!r})
import pytest
from simple_hub import SimpleHub
from runtimeinfo_conformance import HubSubject, Subject, conformance


class Clinging(SimpleHub):
    def pop_info(self, key, default=None):
        return self.runtime_info.get(key, default)


def make(name):
    return SimpleHub(name)


def skip(plan, hooks):
    pytest.skip("no device")


def skip_as_unittest_does(plan, hooks):
    raise unittest.SkipTest("no device")


def leave(plan, hooks):
    pytest.exit("enough")


class Fussy:
    def __call__(self, plan):
        raise AssertionError("it is not called with these arguments")


waivers = Path(__file__).with_name("waivers.toml")
test_hub = conformance(HubSubject("hub", "1", make=make), profile="quick")
test_clinging = conformance(HubSubject("clinging", "1", make=Clinging), profile="quick")
test_waived = conformance(HubSubject("waived", "1", make=Clinging, waivers=waivers), profile="quick")
test_stale = conformance(HubSubject("stale", "1", make=make, waivers=waivers), profile="quick")
test_skips = conformance(Subject("skips", "1", run=skip), profile="quick")
test_skips_too = conformance(Subject("skips too", "1", run=skip_as_unittest_does), profile="quick")
test_leaves = conformance(Subject("leaves", "1", run=leave), profile="quick")
test_fussy = conformance(Subject("fussy", "1", run=Fussy()), profile="quick")
wrong = HubSubject("wrong", "1", make=make)
object.__setattr__(wrong, "waivers", "no path")  # nobody does that; but a check may have faults of its own
test_wrong = conformance(wrong, profile="quick")
"""

WAIVERS = """
[[waiver]]
requirement = "HUB-03"
reason = "nothing is given back yet"
issue = "https://example.org/issues/12"
expires = 2999-12-31
witness = "HubPlan(ops=(HubOp(name='update_info', key='epoch', value=7), HubOp(name='pop_info', key='epoch')))"
"""

REPLAY = """
import sys
from runtimeinfo_conformance.command_line._replay_command import replay_command

requirement, plan, target = sys.argv[1:]
sys.exit(replay_command(target, requirement, plan))
"""

HOSTILE = """
import warnings
import hypothesis

hypothesis.settings.register_profile("hostile", deadline=1, max_examples=2)
hypothesis.settings.load_profile("hostile")
warnings.simplefilter("error")
"""

ITEMS = len(_subject.testable(Subject("good", "1", run=print, capabilities={"val", "test"}))) + 1


@pytest.fixture
def run_pytest(in_process: Any, tmp_path: Path) -> Any:
    (tmp_path / "test_of_runners.py").write_text(FILE)
    (tmp_path / "test_of_hubs.py").write_text(HUBS)
    (tmp_path / "waivers.toml").write_text(WAIVERS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --strict-config\n")

    def run(*arguments: str) -> Any:
        return in_process("-m", "pytest", "-p", "no:cacheprovider", "-q", "--color=no", *arguments)

    return run


def test_an_item_for_each_requirement(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_good", "--collect-only")
    assert f"{ITEMS}/" in ran.stdout
    assert "test_good[STAGE-02]" in ran.stdout
    assert "test_good[verdict]" in ran.stdout
    assert "HUB-01" not in ran.stdout


def test_an_item_is_shown_as_being_in_the_file_that_declares_it(run_pytest: Any) -> None:
    ran = run_pytest("-vv", "-k", "test_hub and HUB-02")
    assert "test_of_hubs.py::test_hub[HUB-02] PASSED" in ran.stdout


def test_a_good_one_is_green(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_good")
    assert ran.returncode == 0, ran.stdout
    assert f"{ITEMS} passed" in ran.stdout


def test_a_broken_one_is_red_with_the_rule_and_the_timeline(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_bad and COUNT-03")
    assert ran.returncode == 1
    assert "COUNT-03 (MUST) At before_train_epoch, epoch MUST be the number" in ran.stdout
    assert "plan:     Plan()\nexpected: epoch 0\nobserved: epoch 1\n" in ran.stdout
    assert "  -> " in ran.stdout
    assert "_pytest.py" not in ran.stdout  # the kit's own frames are hidden
    assert "1 failed" in ran.stdout


def test_its_last_line_replays_it(run_pytest: Any, in_process: Any) -> None:
    ran = run_pytest("-k", "test_bad and COUNT-03")
    (line,) = re.findall("^runtimeinfo replay .*", ran.stdout, re.MULTILINE)
    command, subcommand, *arguments = shlex.split(line)
    assert (command, subcommand) == ("runtimeinfo", "replay")
    assert arguments == ["COUNT-03", "Plan()", "test_of_runners.py:test_bad"]
    replayed = in_process("-c", REPLAY, *arguments)
    assert replayed.returncode == 1, replayed.stderr
    assert "COUNT-03 is broken on this plan" in replayed.stdout


def test_a_file_with_one_subject_is_named_without_it(run_pytest: Any, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_alone.py").write_text(HUBS.partition("test_hub =")[0] + CLINGING_ONLY)
    ran = run_pytest("tests", "-k", "HUB-03")
    assert re.search(r"^runtimeinfo replay HUB-03 'HubPlan\(.*\)' tests/test_alone\.py$", ran.stdout, re.MULTILINE)


CLINGING_ONLY = """
subject = HubSubject("clinging", "1", make=Clinging)
test_clinging = conformance(subject, profile="quick")


class TestInAClass:
    test_clinging = staticmethod(conformance(subject, profile="quick"))
"""


def test_it_may_stand_in_a_class(run_pytest: Any, tmp_path: Path) -> None:
    (tmp_path / "test_alone.py").write_text(HUBS.partition("test_hub =")[0] + CLINGING_ONLY)
    ran = run_pytest("test_alone.py", "-k", "TestInAClass")
    assert "1 failed" in ran.stdout
    assert re.search("FAILED test_alone.py::TestInAClass::test_clinging.HUB-03", ran.stdout)


def test_one_group(run_pytest: Any) -> None:
    ran = run_pytest("-k", "STAGE and (test_good or test_bad)")
    assert ran.returncode == 0, ran.stdout
    assert "12 passed" in ran.stdout


def test_what_was_never_exercised_is_red(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_idle and (LIFE-01 or verdict)")
    assert ran.returncode == 1
    assert "LIFE-01 (MUST) was never exercised" in ran.stdout
    assert "1 failed, 1 passed" in ran.stdout  # the verdict does not say it again


def test_a_crash_is_red_with_its_own_traceback(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_crash and verdict")
    assert ran.returncode == 1
    assert "ZeroDivisionError: division by zero" in ran.stdout
    assert ">       return 1 / 0\n" in ran.stdout
    assert "The subject broke on Plan(" in ran.stdout
    assert not re.search(r"runtimeinfo_conformance/\w+\.py", ran.stdout)


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "two processes"])
def test_what_pytest_would_take_for_something_else_is_red(run_pytest: Any, arguments: tuple[str, ...]) -> None:
    ran = run_pytest("-k", "(test_skips or test_leaves) and verdict", *arguments)
    assert ran.returncode == 1, ran.stdout
    assert "3 failed" in ran.stdout
    assert "the subject broke on Plan(" in ran.stdout
    assert "Skipped: no device" in ran.stdout
    assert "SkipTest: no device" in ran.stdout
    assert "Exit: enough" in ran.stdout


def test_what_is_raised_by_calling_it_names_the_plan(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_fussy and verdict")
    assert "TypeError" in ran.stdout
    assert "the subject broke on Plan(" in ran.stdout


def test_what_a_later_spec_demands_is_skipped(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_old", "-rs")
    assert ran.returncode == 0, ran.stdout
    assert " skipped" in ran.stdout
    assert "demanded from spec 0.2 on; it holds already" in ran.stdout


def test_what_is_waived_is_expected_to_fail(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_waived", "-rx")
    assert ran.returncode == 0, ran.stdout
    assert "1 xfailed" in ran.stdout
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("XFAIL ")]
    assert "test_waived[HUB-03]" in line
    assert "nothing is given back yet" in line
    assert "https://example.org/issues/12" in line
    assert "2999-12-31" in line


def test_a_waiver_that_is_wrong_is_red(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_stale")
    assert ran.returncode == 1
    assert "1 failed" in ran.stdout
    assert "waivers: HUB-03 holds on its witness now: delete the waiver" in ran.stdout
    assert "test_stale[verdict]" in ran.stdout


def test_an_error_of_the_check_itself_is_red_everywhere(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_wrong")
    assert ran.returncode == 1
    assert " passed" not in ran.stdout
    assert "the check of wrong itself ended in an error" in ran.stdout
    assert "AttributeError: 'str' object has no attribute 'read_text'" in ran.stdout


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "two processes"])
def test_properties_for_junit(run_pytest: Any, tmp_path: Path, family: str, arguments: tuple[str, ...]) -> None:
    ran = run_pytest(
        "-W",
        "error",
        "-k",
        "test_clinging or test_old",
        "--junitxml=out.xml",
        "-o",
        f"junit_family={family}",
        *arguments,
    )
    assert " failed" in ran.stdout
    cases = {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in ET.parse(tmp_path / "out.xml").iter("testcase")
    }
    assert cases["test_clinging[HUB-03]"] == {
        "requirement": "HUB-03", "level": "MUST", "verdict": "fail", "spec": "0.2"
    }  # fmt: skip
    assert cases["test_clinging[HUB-02]"]["verdict"] == "pass"
    assert cases["test_clinging[verdict]"] == {"verdict": "violated", "spec": "0.2"}
    assert cases["test_old[verdict]"] == {"verdict": "conformant", "spec": "0.1"}
    assert cases["test_clinging[verdict]"]["spec"] == "0.2"
    assert "upcoming" in {case["verdict"] for name, case in cases.items() if (name or "").startswith("test_old")}


def test_without_the_plugin(run_pytest: Any) -> None:
    ran = run_pytest("-p", "no:runtimeinfo", "-k", "test_clinging")
    assert ran.returncode == 1
    assert "1 failed" in ran.stdout


def test_without_xdist(run_pytest: Any) -> None:
    ran = run_pytest("-p", "no:xdist", "-k", "test_hub")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_however_files_are_imported(run_pytest: Any, mode: str) -> None:
    ran = run_pytest(f"--import-mode={mode}", "-k", "test_hub", "-W", "error")
    assert ran.returncode == 0, ran.stdout


def test_among_settings_of_others(run_pytest: Any, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOSTILE)
    ran = run_pytest("-k", "test_good", "-W", "error")
    assert ran.returncode == 0, ran.stdout
    assert f"{ITEMS} passed" in ran.stdout
    assert not (tmp_path / ".hypothesis" / "examples").exists()


def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(SubjectError, match="there is no profile 'quik'; there are quick, ci, nightly"):
        conformance(Subject("myfw", "1", run=print), profile="quik")
