from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runtimeinfo.spec import SPEC_VERSION
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


def write_files(folder: Path) -> None:
    (folder / "test_of_runners.py").write_text(FILE)
    (folder / "test_of_hubs.py").write_text(HUBS)
    (folder / "waivers.toml").write_text(WAIVERS)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --strict-config\n")


PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "--color=no")


@pytest.fixture
def run_pytest(in_process: Any, tmp_path: Path) -> Any:
    write_files(tmp_path)
    return lambda *arguments: in_process(*PYTEST, *arguments)


class Session(NamedTuple):
    """A session of pytest: what it printed, and what it wrote for JUnit of each test.

    Attributes:
        code: The exit code.
        stdout: All of it.
        folder: Where it ran.
        ended: How each test ended.
        properties: The properties of each test.
    """

    code: int
    stdout: str
    folder: Path
    ended: dict[str, str]
    properties: dict[str, dict[str, str]]

    def failure(self, test: str) -> str:
        """Return what is shown of a failed test."""
        parts = re.split(r"^_{3,} (.+?) _{3,}$", self.stdout.partition("\n====")[2], flags=re.MULTILINE)
        (text,) = [text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name == test]
        return text.partition("\n====")[0]

    def count(self, subject: str, ending: str) -> int:
        """Return how many tests of a subject ended in a way."""
        return sum(name.startswith(f"{subject}[") and each == ending for name, each in self.ended.items())


def session(run_python: Any, folder: Path, *arguments: str) -> Session:
    ran = run_python(*PYTEST, *arguments, "--junitxml=out.xml", cwd=folder)
    cases = list(ET.parse(folder / "out.xml").iter("testcase"))
    endings = [child.tag for case in cases for child in case if child.tag != "properties"]
    assert set(endings) <= {"failure", "skipped"}, ran.stdout
    return Session(
        ran.returncode,
        ran.stdout,
        folder,
        {case.get("name", ""): next((c.tag for c in case if c.tag != "properties"), "passed") for case in cases},
        {
            case.get("name", ""): {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
            for case in cases
        },
    )


# Each subject is checked once in a session, whichever of its tests are selected.
EACH_SUBJECT = (
    "test_good or (test_bad and COUNT-03) or (test_idle and (LIFE-01 or verdict)) or (test_crash and verdict) or "
    "test_old or (test_hub and HUB-02) or test_clinging or test_waived or test_stale or test_wrong or "
    "((test_skips or test_leaves or test_fussy) and verdict)"
)


@pytest.fixture(scope="module")
def alone(run_python: Any, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Return a session with all subjects, in which nearly everything can be seen."""
    folder = tmp_path_factory.mktemp("alone")
    write_files(folder)
    return session(run_python, folder, "-vv", "-rsxf", "-W", "error", "-o", "junit_family=xunit1", "-k", EACH_SUBJECT)


@pytest.fixture(scope="module")
def in_two_processes(run_python: Any, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Return such a session of two processes, without what takes long and is no different there."""
    folder = tmp_path_factory.mktemp("two")
    write_files(folder)
    selected = "test_old or test_clinging or ((test_skips or test_leaves) and verdict)"
    return session(run_python, folder, "-n", "2", "-W", "error", "-o", "junit_family=xunit2", "-k", selected)


PROCESSES = pytest.mark.parametrize("processes", ["alone", "in_two_processes"])


def test_an_item_for_each_requirement(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_good", "--collect-only")
    assert f"{ITEMS}/" in ran.stdout
    assert "test_good[STAGE-02]" in ran.stdout
    assert "test_good[verdict]" in ran.stdout
    assert "HUB-01" not in ran.stdout


def test_an_item_is_shown_as_being_in_the_file_that_declares_it(alone: Session) -> None:
    assert "test_of_hubs.py::test_hub[HUB-02] PASSED" in alone.stdout


def test_a_good_one_is_green(alone: Session) -> None:
    assert alone.count("test_good", "passed") == ITEMS
    assert not alone.count("test_good", "failure")


def test_a_broken_one_is_red_with_the_rule_and_the_timeline(alone: Session) -> None:
    assert alone.code == 1
    assert alone.ended["test_bad[COUNT-03]"] == "failure"
    shown = alone.failure("test_bad[COUNT-03]")
    assert "COUNT-03 (MUST) At before_train_epoch, epoch MUST be the number" in shown
    assert "plan:     Plan()\nexpected: epoch 0\nobserved: epoch 1\n" in shown
    assert "  -> " in shown
    assert "_pytest.py" not in shown  # the kit's own frames are hidden


def test_its_last_line_replays_it(alone: Session, run_python: Any) -> None:
    (line,) = re.findall("^runtimeinfo replay .*", alone.failure("test_bad[COUNT-03]"), re.MULTILINE)
    command, subcommand, *arguments = shlex.split(line)
    assert (command, subcommand) == ("runtimeinfo", "replay")
    assert arguments == ["COUNT-03", "Plan()", "test_of_runners.py:test_bad"]
    replayed = run_python("-c", REPLAY, *arguments, cwd=alone.folder)
    assert replayed.returncode == 1, replayed.stderr
    assert "COUNT-03 is broken on this plan" in replayed.stdout


CLINGING_ONLY = """
subject = HubSubject("clinging", "1", make=Clinging)
test_clinging = conformance(subject, profile="quick")


class TestInAClass:
    test_clinging = staticmethod(conformance(subject, profile="quick"))
"""


def test_a_file_with_one_subject_is_named_without_it_and_it_may_stand_in_a_class(
    run_pytest: Any, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_alone.py").write_text(HUBS.partition("test_hub =")[0] + CLINGING_ONLY)
    ran = run_pytest("tests", "-k", "HUB-03")
    named = re.findall(r"^runtimeinfo replay HUB-03 'HubPlan\(.*\)' tests/test_alone\.py$", ran.stdout, re.MULTILINE)
    assert len(named) == 2
    assert "2 failed" in ran.stdout
    assert re.search("FAILED tests/test_alone.py::test_clinging.HUB-03", ran.stdout)
    assert re.search("FAILED tests/test_alone.py::TestInAClass::test_clinging.HUB-03", ran.stdout)


def test_one_group(run_pytest: Any) -> None:
    ran = run_pytest("-k", "SCALAR and (test_hub or test_clinging)")
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


def test_unexercised_rules_are_red(alone: Session) -> None:
    assert "LIFE-01 (MUST) was never exercised" in alone.failure("test_idle[LIFE-01]")
    assert alone.ended["test_idle[verdict]"] == "passed"  # it does not say it again


def test_a_crash_is_red_with_its_own_traceback(alone: Session) -> None:
    shown = alone.failure("test_crash[verdict]")
    assert "ZeroDivisionError: division by zero" in shown
    assert ">       return 1 / 0\n" in shown
    assert "The subject broke on Plan(" in shown
    assert not re.search(r"runtimeinfo_conformance/\w+\.py", shown)


@PROCESSES
def test_ambiguous_pytest_item_is_red(request: pytest.FixtureRequest, processes: str) -> None:
    ran: Session = request.getfixturevalue(processes)
    assert ran.code == 1, ran.stdout
    for test, said in (
        ("test_skips", "Skipped: no device"),
        ("test_skips_too", "SkipTest: no device"),
        ("test_leaves", "Exit: enough"),
    ):
        assert ran.ended[f"{test}[verdict]"] == "failure"
        assert "the subject broke on Plan(" in ran.failure(f"{test}[verdict]").replace("The subject", "the subject")
        assert said in ran.failure(f"{test}[verdict]")


def test_error_of_a_call_names_the_plan(alone: Session) -> None:
    shown = alone.failure("test_fussy[verdict]")
    assert "TypeError" in shown
    assert "the subject broke on Plan(" in shown


def test_rules_of_a_later_spec_are_skipped(alone: Session) -> None:
    assert alone.count("test_old", "failure") == 0
    assert alone.count("test_old", "skipped") > 0
    assert "demanded from spec 0.2 on; it holds already" in alone.stdout


def test_waived_rule_is_expected_to_fail(alone: Session) -> None:
    assert alone.count("test_waived", "failure") == 0
    assert "1 xfailed" in alone.stdout
    (line,) = [line for line in alone.stdout.splitlines() if line.startswith("XFAIL ")]
    assert "test_waived[HUB-03]" in line
    assert "nothing is given back yet" in line
    assert "https://example.org/issues/12" in line
    assert "2999-12-31" in line


def test_a_waiver_that_is_wrong_is_red(alone: Session) -> None:
    assert alone.count("test_stale", "failure") == 1
    shown = alone.failure("test_stale[verdict]")
    assert "waivers: HUB-03 holds on its witness now: delete the waiver" in shown


def test_an_error_of_the_check_itself_is_red_everywhere(alone: Session) -> None:
    assert alone.count("test_wrong", "failure") == len([name for name in alone.ended if name.startswith("test_wrong[")])
    shown = alone.failure("test_wrong[verdict]")
    assert "the check of wrong itself ended in an error" in shown
    assert "AttributeError: 'str' object has no attribute 'read_text'" in shown


@PROCESSES
def test_properties_for_junit(request: pytest.FixtureRequest, processes: str) -> None:
    ran: Session = request.getfixturevalue(processes)
    assert_properties_of_clinging(ran)
    assert ran.properties["test_old[verdict]"] == {"verdict": "conformant", "spec": "0.1"}
    assert "upcoming" in {each["verdict"] for name, each in ran.properties.items() if name.startswith("test_old")}


@pytest.mark.parametrize(
    ("family", "arguments"),
    [("xunit2", ()), ("xunit1", ("-n", "2"))],
    ids=["xunit2 alone", "xunit1 of two processes"],
)
def test_properties_for_junit_in_its_other_family(
    run_python: Any, tmp_path: Path, family: str, arguments: tuple[str, ...]
) -> None:
    write_files(tmp_path)
    more = ("-W", "error", "-k", "test_clinging", "-o", f"junit_family={family}")
    assert_properties_of_clinging(session(run_python, tmp_path, *more, *arguments))


def assert_properties_of_clinging(ran: Session) -> None:
    assert ran.properties["test_clinging[HUB-03]"] == {
        "requirement": "HUB-03", "level": "MUST", "verdict": "fail", "spec": SPEC_VERSION
    }  # fmt: skip
    assert ran.properties["test_clinging[HUB-02]"]["verdict"] == "pass"
    assert ran.properties["test_clinging[verdict]"] == {"verdict": "violated", "spec": SPEC_VERSION}


def test_without_the_plugin(run_pytest: Any) -> None:
    ran = run_pytest("-p", "no:runtimeinfo", "-k", "test_clinging")
    assert ran.returncode == 1
    assert "1 failed" in ran.stdout


def test_without_xdist(run_pytest: Any) -> None:
    ran = run_pytest("-p", "no:xdist", "-k", "test_hub")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("mode", ["append", "importlib"])  # and "prepend", the default, in all others
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
