from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from broken_runners import correct

from runtimeinfo_conformance import Subject, SubjectError, _subject, conformance

HERE = Path(__file__).parent

FILE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from broken_runners import CountsEpochsFromOne, correct, subject_of
from runtimeinfo_conformance import Subject, conformance

test_good = conformance(correct(), profile="quick")
test_bad = conformance(subject_of(CountsEpochsFromOne), profile="quick")
test_idle = conformance(Subject("idle", "1", run=lambda plan, hooks: None), profile="quick")
test_crash = conformance(Subject("crash", "1", run=lambda plan, hooks: 1 / 0), profile="quick")
"""

HOSTILE = """
import warnings
import hypothesis

hypothesis.settings.register_profile("hostile", deadline=1, max_examples=2)
hypothesis.settings.load_profile("hostile")
warnings.simplefilter("error")
"""

ITEMS = len(_subject.testable(correct())) + 1


@pytest.fixture
def run_pytest(in_process: Any, tmp_path: Path) -> Any:
    (tmp_path / "test_third_party.py").write_text(FILE)
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


def test_one_group(run_pytest: Any) -> None:
    ran = run_pytest("-k", "STAGE and (test_good or test_bad)")
    assert ran.returncode == 0, ran.stdout
    assert "12 passed" in ran.stdout


def test_what_was_never_exercised_is_red(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_idle and LIFE-01")
    assert ran.returncode == 1
    assert "LIFE-01 was never exercised" in ran.stdout


def test_a_crash_is_red_with_its_own_traceback(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_crash and verdict")
    assert ran.returncode == 1
    assert "ZeroDivisionError: division by zero" in ran.stdout
    assert "1 / 0" in ran.stdout


def test_in_two_processes(run_pytest: Any) -> None:
    ran = run_pytest("-k", "test_good", "-n", "2")
    assert ran.returncode == 0, ran.stdout
    assert f"{ITEMS} passed" in ran.stdout


def test_among_settings_of_others(run_pytest: Any, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOSTILE)
    ran = run_pytest("-k", "test_good", "-W", "error")
    assert ran.returncode == 0, ran.stdout
    assert f"{ITEMS} passed" in ran.stdout
    assert not (tmp_path / ".hypothesis" / "examples").exists()


def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(SubjectError, match="there is no profile 'quik'; there are quick, ci, nightly"):
        conformance(Subject("myfw", "1", run=print), profile="quik")
