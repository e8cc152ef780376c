"""The commands of docs/guides/run-without-a-change.md print what the page shows."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guides" / "run-without-a-change.md").read_text(encoding="utf-8")
SCRIPT = re.search(r"<!-- file: train.py -->\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]

SHOWN = re.findall(r"^\$ (.+?)(?: +#.*)?\n((?:(?!\$|```).*\n)*)", PAGE, flags=re.MULTILINE)
TABLE = re.findall(r"^\| [^|]*\| `(runtimeinfo run .+)` \|$", PAGE, flags=re.MULTILINE)

# test_safety.py runs these on two ranks.
LAUNCHERS = ("runtimeinfo run torchrun", "runtimeinfo run accelerate launch")
NOT_INSTALLED = ("runtimeinfo run jupyter",)


def run(words, folder):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("command", "expected"), [each for each in SHOWN if each[1]])
def test_a_command_prints_what_the_page_shows(command, expected, tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    done = run(shlex.split(command), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_other_commands_are_the_installation_and_one_that_is_shown_again():
    commands = [command for command, expected in SHOWN if not expected]
    assert commands[0] == "pip install ."
    assert {*commands[1:]} <= {command for command, expected in SHOWN if expected}


@pytest.mark.parametrize(
    "command", [command for command in TABLE if not command.startswith((*LAUNCHERS, *NOT_INSTALLED))]
)
def test_following_command_starts_with_the_import_hook(command, tmp_path):
    words = shlex.split(command)
    hook = "import sys\nprint('runtimeinfo_adapters.autopublish._imports' in sys.modules, sys.argv[1:])\n"
    (tmp_path / "train.py").write_text(hook)
    (tmp_path / "train.sh").write_text("python train.py\n")
    (tmp_path / "test_train.py").write_text(f"{hook}def test_nothing(): pass\n")
    done = run(words, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    if "pytest" in words:
        assert "1 passed" in done.stdout
    else:
        given = words[words.index("--epochs") :] if "--epochs" in words else []
        assert done.stdout == f"True {given}\n"


def test_each_launcher_is_tried_on_two_ranks():
    tests = (ROOT / "adapters" / "tests" / "autopublish" / "test_safety.py").read_text(encoding="utf-8")
    for launcher in LAUNCHERS:
        assert any(command.startswith(launcher) for command in TABLE)
        assert launcher.removeprefix("runtimeinfo run ") in tests


def test_the_call_of_the_page_instruments_its_process(tmp_path):
    (code,) = [
        block for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if block != SCRIPT
    ]
    (tmp_path / "train.py").write_text(f"{code}\n{SCRIPT}")
    done = run([sys.executable, "train.py"], tmp_path)
    (expected,) = {expected for command, expected in SHOWN if expected and command.startswith("runtimeinfo run")}
    assert (done.stdout, done.stderr) == (expected, "")
