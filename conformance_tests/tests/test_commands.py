from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import REQUIREMENTS, __version__

HERE = Path(__file__).parent

BASE = """
from broken_runners import CountsEpochsFromOne, correct, subject_of
from runtimeinfo_conformance import Subject

good = correct()
bad = subject_of(CountsEpochsFromOne)
idle = Subject("idle", "1", run=lambda plan, hooks: None)
crash = Subject("crash", "1", run=lambda plan, hooks: 1 / 0)
"""


@pytest.fixture
def runtimeinfo(in_process: Any, tmp_path: Path) -> Any:
    """The command, in a folder with targets; the folder itself is not on the path, as for an installed command."""
    (tmp_path / "targets.py").write_text(f"import sys\nsys.path.insert(0, {str(HERE)!r})\n{BASE}")
    call = "import sys; sys.path.remove(''); import runtimeinfo_conformance._cli as it; it.main()"
    return lambda *arguments: in_process("-c", call, *arguments)


@pytest.mark.parametrize(
    ("subjects", "code", "said"),
    [
        (["good"], 0, "Trainer: conformant"),
        (["bad"], 1, "CountsEpochsFromOne: not conformant"),
        (["idle"], 3, "idle: not decided"),
        (["crash"], 4, "ZeroDivisionError: division by zero"),
        (["good", "bad"], 1, "not conformant"),
        (["idle", "crash"], 4, "not decided"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_check_of_a_file(runtimeinfo: Any, subjects: list[str], code: int, said: str) -> None:
    ran = runtimeinfo("check", "--profile", "quick", *(f"targets.py:{each}" for each in subjects))
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert said in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


def test_check_of_a_module(runtimeinfo: Any) -> None:
    ran = runtimeinfo("check", "--profile", "quick", "runtimeinfo_conformance.subjects.reference_hub:subject")
    assert ran.returncode == 0, ran.stderr
    assert "reference hub: plans 1/60" in ran.stdout
    assert "reference hub: conformant" in ran.stdout


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py", "runtimeinfo: there is no file nowhere.py"),
        ("targets", "there is no module targets; a file needs its .py"),
        ("targets.py:goood", "has no 'goood'; it has good, bad, idle, crash"),
        ("broken.py", "broken.py cannot be loaded: ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_target(runtimeinfo: Any, tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    ran = runtimeinfo("check", target)
    assert ran.returncode == 4
    assert message in ran.stderr
    assert ("Traceback" in ran.stderr) is (target == "broken.py")


def test_explain(runtimeinfo: Any) -> None:
    ran = runtimeinfo("explain", "stage-02")
    assert ran.returncode == 0
    assert ran.stdout.startswith("STAGE-02 (MUST, since spec 0.1)")
    assert REQUIREMENTS["STAGE-02"].text in ran.stdout
    assert "declares 'val'" in ran.stdout
    wrong = runtimeinfo("explain", "STAGE-2")
    assert wrong.returncode == 1
    assert "there is no requirement 'STAGE-2'; did you mean STAGE-02" in wrong.stderr


def test_spec_lists_each_requirement(runtimeinfo: Any) -> None:
    ran = runtimeinfo("spec")
    assert ran.returncode == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()[1:]] == list(REQUIREMENTS)


def test_help_and_version(runtimeinfo: Any) -> None:
    ran = runtimeinfo("--help")
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in ("check", "explain", "spec", "version"))
    ran = runtimeinfo("check", "--help")
    assert "quick" in ran.stdout
    assert "Exit codes: 0 conformant" in ran.stdout
    assert runtimeinfo("version").stdout.strip() == __version__
