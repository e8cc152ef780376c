from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

TREE = Path(__file__).resolve().parents[2]

# The runners and the hub that lie beside the tests are imported as a third party's are: from its own folder.
sys.path.insert(0, str(Path(__file__).parent))

hypothesis.settings.register_profile("kit", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("kit")

Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def tree() -> Path:
    return TREE


@pytest.fixture(scope="session")
def run_python() -> Callable[..., Ran]:
    """Run Python in another process, in a folder outside of the tree."""

    def run(*arguments: str, cwd: Path, python: str = sys.executable) -> Ran:
        # Where CI is set, pytest prints the message of a failure once more, in its summary.
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
        # Without its bytecode, pytest would rewrite all of Hypothesis in every process, which takes two seconds.
        unwanted = {"CI", "BUILD_NUMBER", "PYTHONDONTWRITEBYTECODE"}
        environment = {key: value for key, value in ours.items() if key not in unwanted}
        environment |= {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": ""}
        return subprocess.run(
            [python, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def in_process(run_python: Callable[..., Ran], tmp_path: Path) -> Callable[..., Ran]:
    """Run Python in another process, in a folder of the test's."""

    def run(*arguments: str, cwd: Path = tmp_path, python: str = sys.executable) -> Ran:
        return run_python(*arguments, cwd=cwd, python=python)

    return run


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel and a source distribution into a folder."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(TREE)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel
