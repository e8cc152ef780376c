from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TYPING = Path(__file__).parent / "typing"
REPOSITORY = Path(__file__).parents[2]
FILES = ("must_type_check.py", "must_not_type_check.py")

MYPY = ("mypy", "--strict", "--warn-unused-ignores", "--show-error-codes", "--no-error-summary")
PYRIGHT = ("pyright",)


def check(*command: str) -> subprocess.CompletedProcess[str]:
    # pyright takes the packages of whatever `python` comes first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def without_ignores(folder: Path) -> Path:
    """Return a copy of the negative file, in which no error is ignored."""
    text = (TYPING / "must_not_type_check.py").read_text(encoding="utf-8")
    path = folder / "no_ignores.py"
    path.write_text(re.sub(r"  # type: ignore\[.*\]", "", text), encoding="utf-8")
    return path


def lines_with_an_ignore() -> set[int]:
    lines = (TYPING / "must_not_type_check.py").read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if "# type: ignore[" in line}


@pytest.mark.parametrize("checker", [MYPY, PYRIGHT], ids=lambda checker: checker[0])
def test_type_checkers_accept_and_reject_the_examples(checker: tuple[str, ...]) -> None:
    pytest.importorskip(checker[0])
    done = check(*checker, *(str(TYPING / name) for name in FILES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", [MYPY, PYRIGHT], ids=lambda checker: checker[0])
def test_each_line_that_must_not_type_check_is_an_error_of_its_own(checker: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip(checker[0])
    path = without_ignores(tmp_path)
    done = check(*checker, str(path))
    found = re.findall(rf"{path.name}:(\d+):(?:\d+)?.*error", done.stdout)
    assert set(map(int, found)) == lines_with_an_ignore(), done.stdout + done.stderr
