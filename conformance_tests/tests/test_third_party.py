from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from runtimeinfo_conformance import _subject
from runtimeinfo_conformance._verdict import Verdict
from runtimeinfo_conformance.command_line._target import find_subjects

EXAMPLE = Path("docs/examples/third_party/test_conformance.py")


def test_the_whole_file_has_at_most_fifteen_lines(tree: Path) -> None:
    assert len((tree / EXAMPLE).read_text().splitlines()) <= 15


def test_the_example_is_conformant_under_pytest_as_it_is(tree: Path, in_process: Any, tmp_path: Path) -> None:
    shutil.copytree((tree / EXAMPLE).parent, tmp_path, dirs_exist_ok=True)
    (subject,) = find_subjects(str(tree / EXAMPLE))
    options = ("--runtimeinfo-profile=quick", "--runtimeinfo-report=out")
    ran = in_process("-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", *options)
    assert ran.returncode == 0, ran.stdout
    # One for each requirement, and one for the verdict.
    assert f"{len(_subject.testable(subject)) + 1} passed" in ran.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert (report["subject"]["name"], report["verdict"], report["exit_code"]) == ("myfw", "conformant", 0)
    verdicts = {each["verdict"] for each in report["requirements"]}
    assert Verdict.PASS.value in verdicts
    assert verdicts.isdisjoint(each.value for each in (Verdict.FAIL, Verdict.WARN, Verdict.NOT_EXERCISED))
