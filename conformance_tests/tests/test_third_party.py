from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from runtimeinfo_conformance import _subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode, Verdict
from runtimeinfo_conformance.command_line._target import find_subjects

EXAMPLE = Path("docs/examples/third_party/test_conformance.py")


def test_the_whole_file_is_fifteen_lines(tree: Path) -> None:
    assert len((tree / EXAMPLE).read_text().splitlines()) <= 15


def test_it_is_conformant(tree: Path) -> None:
    (subject,) = find_subjects(str(tree / EXAMPLE))
    report = check(subject, PROFILES["quick"])
    assert subject.name == "myfw"
    assert report.of(Verdict.FAIL, Verdict.WARN, Verdict.NOT_EXERCISED) == []
    assert report.exit_code is ExitCode.CONFORMANT


def test_it_runs_under_pytest_as_it_is(tree: Path, in_process: Any, tmp_path: Path) -> None:
    shutil.copytree((tree / EXAMPLE).parent, tmp_path, dirs_exist_ok=True)
    (subject,) = find_subjects(str(tree / EXAMPLE))
    ran = in_process("-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "--runtimeinfo-profile=quick")
    assert ran.returncode == 0, ran.stdout
    # One for each requirement, and one for the verdict.
    assert f"{len(_subject.testable(subject)) + 1} passed" in ran.stdout
