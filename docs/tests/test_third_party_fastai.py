"""The outsider's example for fastai conforms, and its README says how long it is."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "third_party_fastai"


@pytest.mark.parametrize(
    ("row", "file"), [("callback", "runtimeinfo_fastai.py"), ("conformance file", "test_conformance.py")]
)
def test_the_readme_says_how_long_the_files_are(row, file):
    lines = len((EXAMPLE / file).read_text(encoding="utf-8").splitlines())
    assert f"| {row} | {lines} lines |" in (EXAMPLE / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(importlib.util.find_spec("fastai") is None, reason="fastai is not installed")
def test_fastai_conforms():
    command = [Path(sys.executable).parent / "runtimeinfo", "check", "--profile", "quick", "test_conformance.py"]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
