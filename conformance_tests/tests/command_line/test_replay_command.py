from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._verdict import EX_USAGE
from runtimeinfo_conformance.command_line._replay_command import replay_command
from runtimeinfo_conformance.plans import parse_plan

TARGETS = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from broken_runners import CountsEpochsFromOne
from simple_trainer import correct, subject_of
from simple_hub import SimpleHub
from runtimeinfo_conformance import HubSubject, Subject

good = correct()
bad = subject_of(CountsEpochsFromOne)
old = Subject("old", "1", run=bad.run, spec="0.1")
bare = Subject("bare", "1", run=good.run)
crash = Subject("crash", "1", run=lambda plan, hooks: 1 / 0)
hub = HubSubject("simple", "1", make=SimpleHub)
"""


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[str]:
    path, modules = sys.path[:], set(sys.modules)
    file = tmp_path / "replay_targets.py"
    file.write_text(TARGETS)
    yield str(file)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "requirement", "plan", "code", "said"),
    [
        ("good", "COUNT-03", "Plan()", 0, "Trainer: COUNT-03 holds on this plan, where it mattered once"),
        ("good", "count-03", "Plan()", 0, "Trainer: COUNT-03 holds on this plan, where it mattered once"),
        ("good", "COUNT-03", "Plan(max_epochs=2)", 0, "COUNT-03 holds on this plan, where it mattered 2 times"),
        ("bad", "COUNT-03", "Plan()", 1, "CountsEpochsFromOne: COUNT-03 is broken on this plan, where it mattered"),
        ("good", "FAIL-05", "Plan()", 3, "Trainer: FAIL-05 did not matter on this plan: nothing in it exercises"),
        ("hub", "HUB-02", "HubPlan(ops=())", 0, "simple: HUB-02 holds on this plan, where it mattered 3 times"),
        # a plan may do more than a subject has declared
        ("bare", "COUNT-03", "Plan(val_batches=1)", 0, "bare: COUNT-03 holds on this plan, where it mattered once"),
    ],
)
def test_the_command(
    targets: str, capsys: pytest.CaptureFixture[str], name: str, requirement: str, plan: str, code: int, said: str
) -> None:
    assert replay_command(f"{targets}:{name}", requirement, plan) == code
    out, err = capsys.readouterr()
    rule = REQUIREMENTS[requirement.upper()]
    assert out.splitlines()[0] == f"{rule.id} ({rule.level}) {rule.text}"
    assert out.splitlines()[-1].startswith(said) or said in out.splitlines()[-1]
    assert f"  plan:     {parse_plan(plan)!r}\n" in out
    assert err == ""


def test_a_failure_is_shown(targets: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_command(f"{targets}:bad", "COUNT-03", "Plan(seed=7)") == 1
    out = capsys.readouterr().out
    assert "  plan:     Plan(seed=7)\n  expected: epoch 0\n  observed: epoch 1\n" in out
    assert "  -> " in out


def test_an_upcoming_requirement_is_called_so(targets: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_command(f"{targets}:old", "LIFE-10", "Plan()") in (0, 1, 3)
    assert "upcoming: demanded from spec 0.2 on, and old claims 0.1" in capsys.readouterr().out


def test_a_subject_that_broke_is_shown(targets: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_command(f"{targets}:crash", "FAIL-02", "Plan()") == 4
    out, err = capsys.readouterr()
    assert "crash: FAIL-02 is not decided: the subject itself broke on this plan" in out
    assert "ZeroDivisionError: division by zero" in err
    assert "runtimeinfo: crash broke on this plan" in err


@pytest.mark.parametrize(
    ("name", "requirement", "plan", "code", "message"),
    [
        ("good", "COUNT-03", "Plan(epochs=1)", EX_USAGE, "the plan cannot be read: column 6: Plan has no 'epochs'"),
        ("good", "COUNT-3", "Plan()", EX_USAGE, "there is no requirement 'COUNT-3'; did you mean COUNT-03"),
        ("good", "HUB-01", "Plan()", EX_USAGE, "HUB-01 does not apply to Trainer: it is for a hub"),
        ("bare", "STAGE-02", "Plan()", EX_USAGE, "STAGE-02 does not apply to bare: it has not declared val"),
        ("good", "COUNT-03", "HubPlan()", EX_USAGE, "Trainer is a runner and takes a Plan, not a HubPlan"),
        ("hub", "HUB-01", "Plan()", EX_USAGE, "simple is a hub and takes a HubPlan, not a Plan"),
        ("god", "COUNT-03", "Plan()", 4, "has no 'god'; it has good, bad, old, bare, crash, hub"),
    ],
)
def test_a_wrong_command(
    targets: str, capsys: pytest.CaptureFixture[str], name: str, requirement: str, plan: str, code: int, message: str
) -> None:
    assert replay_command(f"{targets}:{name}", requirement, plan) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("runtimeinfo: ")
    assert message in err


def test_one_subject_is_to_be_named(targets: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_command(targets, "COUNT-03", "Plan()") == EX_USAGE
    names = "Trainer, CountsEpochsFromOne, old, bare, crash, simple"
    assert capsys.readouterr().err == (
        f"runtimeinfo: {targets} has 6 subjects ({names}); name one, as in {targets}:NAME\n"
    )


def test_a_target_that_is_not_there_or_cannot_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_command("nowhere.py", "COUNT-03", "Plan()") == 4
    assert capsys.readouterr().err == f"runtimeinfo: there is no file nowhere.py; give the path from {Path.cwd()}\n"
    file = tmp_path / "broken_replay_target.py"
    file.write_text("1 / 0")
    assert replay_command(str(file), "COUNT-03", "Plan()") == 4
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert f"runtimeinfo: {file} cannot be loaded: ZeroDivisionError: division by zero; fix that first\n" in err
    file = tmp_path / "target_without_its_framework.py"
    file.write_text("import a_framework_that_is_not_installed")
    assert replay_command(str(file), "COUNT-03", "Plan()") == 4
    err = capsys.readouterr().err
    assert "ModuleNotFoundError: No module named 'a_framework_that_is_not_installed'; install it, or put" in err


def test_the_usage_code_is_that_of_the_system() -> None:
    posix = pytest.importorskip("posix")
    assert posix.EX_USAGE == EX_USAGE
