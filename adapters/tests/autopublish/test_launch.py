from __future__ import annotations

import json
import os
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

SITE = Path(__file__).parents[2] / "runtimeinfo_adapters" / "autopublish" / "_site"

# What a script can tell of how it was started.
SHOW = """
import json, os, sys
hooked = any(type(finder).__module__ == "runtimeinfo_adapters.autopublish._imports" for finder in sys.meta_path)
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv[1:], "name": __name__, "flags": tuple(sys.flags), "path": sys.path,
    "hooked": hooked, "PYTHONPATH": os.environ.get("PYTHONPATH"), "stdin": sys.stdin.read(),
}))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "show.py"
    path.write_text(SHOW)
    return path


WORDS = [
    ["show.py"],
    ["show.py", "--epochs", "3", "-m", "--help", "--"],
    ["-m", "show", "--lr", "0.1"],
    ["-mshow"],
    ["-c", SHOW, "-x"],
    ["-"],
    ["-O", "-W", "error", "-X", "dev", "show.py"],
    ["package", "argument"],
    ["plain", "argument"],
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: " ".join(words[:1]))
def test_arguments_reach_python_unchanged(
    bare: Run, published: Run, script: Path, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "plain").write_text(SHOW)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(SHOW)
    stdin = SHOW if words == ["-"] else "of the user"
    without, with_us = bare(*words, stdin=stdin), published(*words, stdin=stdin)
    assert (with_us.code, with_us.err) == (0, "")
    shown, expected = json.loads(with_us.out), json.loads(without.out)
    assert shown.pop("hooked")
    assert not expected.pop("hooked")
    assert (shown.pop("PYTHONPATH"), expected.pop("PYTHONPATH")) == (str(SITE), None)
    assert shown == expected


@pytest.mark.parametrize("words", [["--", "show.py"], ["python", "show.py"], [sys.executable, "show.py"], ["./show"]])
def test_other_ways_to_start_it(published: Run, script: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "show").write_text(f"#!{sys.executable}\n{SHOW}")
    (tmp_path / "show").chmod(0o700)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = json.loads(published(*words, PATH=path).out)
    assert shown["hooked"]
    assert shown["argv"] == [words[-1] if words[-1] != "./show" else "./show"]


def test_a_command_beside_the_interpreter_is_found(published: Run, script: Path) -> None:
    # As `.venv/bin/runtimeinfo run torchrun` without the environment of it being active.
    ended = published(Path(sys.executable).name, "show.py", PATH="/nowhere")
    assert json.loads(ended.out)["hooked"]


def test_children_inherit_it_unless_it_is_turned_off(published: Run, script: Path, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(
        "import os, subprocess, sys\n"
        "for value in ('1', '0'):\n"
        "    os.environ['RUNTIMEINFO_AUTOPUBLISH'] = value\n"
        "    subprocess.run([sys.executable, 'show.py'], check=True)\n"
        "subprocess.run([sys.executable, 'show.py'], env={}, check=True)\n"
    )
    shown = [json.loads(line) for line in published("parent.py").out.splitlines()]
    assert [each["hooked"] for each in shown] == [True, False, False]
    assert [str(SITE) in each["path"] for each in shown] == [False] * 3


@pytest.mark.parametrize(("given", "entries"), [("", []), ("one", ["one"]), ("one::two", ["one", "", "two"])])
def test_the_search_path_of_the_user_is_kept(published: Run, script: Path, given: str, entries: list[str]) -> None:
    shown = json.loads(published("show.py", PYTHONPATH=given).out)
    assert shown["PYTHONPATH"].split(os.pathsep) == [str(SITE), *entries]


def test_a_launch_within_a_launch_is_one(published: Run, script: Path) -> None:
    inner = [sys.executable, "-m", "runtimeinfo", "run", "show.py"]
    shown = json.loads(published(*inner, PYTHONPATH="one").out)
    assert shown["hooked"]
    assert shown["PYTHONPATH"].split(os.pathsep) == [str(SITE), "one"]


def test_another_kind_of_command_is_run_as_it_is(published: Run, bare: Run) -> None:
    code = "trap '' TERM; echo $0 $1; grep -E 'SigIgn|SigBlk' /proc/self/status || true; exit 9"
    ended = published("sh", "-c", code, "zero", "one")
    started = bare(
        "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))", "sh", "-c", code, "zero", "one"
    )
    assert ended.code == 9
    assert ended == started


# Windows itself was not tried.
AS_ON_WINDOWS = """
import os, signal, sys
from runtimeinfo_conformance.command_line._launch import _start

os.name = "nt"
child = (
    "import os, signal, sys, time; print(sys.argv, os.environ['MARK']); os.kill(os.getppid(), signal.SIGINT); "
    "time.sleep(0.5); sys.exit(7)"  # an end at the moment of the signal could be lost, but not on Windows
)
print(_start([sys.executable, "-c", child, "word"], {**os.environ, "MARK": "marked"}))
"""


def test_without_exec_it_waits_for_a_child(bare: Run) -> None:
    assert bare("-u", "-c", AS_ON_WINDOWS) == (0, "['-c', 'word'] marked\n7\n", "")


def test_a_script_that_is_not_there_is_a_matter_of_python(same: Run) -> None:
    ended = same("nowhere.py")
    assert ended.code == 2
    assert "nowhere.py': [Errno 2] No such file or directory" in ended.err


def test_a_module_that_is_not_there_is_a_matter_of_python(same: Run) -> None:
    ended = same("-m", "nowhere")
    assert (ended.code, ended.err) == (1, f"{sys.executable}: No module named nowhere\n")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 64, "there is nothing to run: give a script, as in `runtimeinfo run train.py`"),
        (["--"], 64, "there is nothing to run: give a script, as in `runtimeinfo run train.py`"),
        (
            ["tranrun", "train.py"],
            127,
            "there is no command 'tranrun', and no file: give a script, -m and a module, or a command",
        ),
        (["-I", "train.py"], 64, "Python's -I keeps it from what publishes: leave that option out"),
        (["-uE", "train.py"], 64, "Python's -E keeps it from what publishes: leave that option out"),
        (["-O", "-S", "-m", "x"], 64, "Python's -S keeps it from what publishes: leave that option out"),
    ],
)
def test_command_that_cannot_start_is_reported(published: Run, words: list[str], code: int, told: str) -> None:
    assert published(*words) == (code, "", f"runtimeinfo: {told}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "print('ISE')", "-I"],
        ["-cprint('ISE')"],
        ["-W", "ignore", "-c", "print('ISE')", "-E"],
        ["-Wignore::SyntaxWarning", "-c", "print('ISE')"],
    ],
)
def test_options_of_a_script_are_not_those_of_python(published: Run, words: list[str]) -> None:
    assert published(*words) == (0, "ISE\n", "")


def test_a_command_that_must_not_be_started_is_told(published: Run, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("")  # on the search path, and not executable
    told = "runtimeinfo: 'tool' cannot be started (Permission denied): give a command that can\n"
    assert published("tool", PATH=str(tmp_path / "bin")) == (126, "", told)


def test_another_environment_without_us_is_told_once(published: Run, tmp_path: Path) -> None:
    venv.create(tmp_path / "other", with_pip=False, symlinks=True)
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "train.py").write_text("import torch, keras\nprint('trained')\n")
    (tmp_path / "keras.py").write_text("")
    ended = published(str(tmp_path / "other" / "bin" / "python"), "train.py")
    assert (ended.code, ended.out) == (0, "trained\n")
    assert ended.err.startswith(
        "AutopublishWarning: the instrumentation of torch was withdrawn because of ModuleNotFoundError: "
    )
    assert ended.err.endswith(f". Install runtimeinfo in {tmp_path / 'other'} to publish what runs there\n")
    assert len(ended.err.splitlines()) == 1


def test_help_says_what_can_be_run(published: Run) -> None:
    ended = published("--help", COLUMNS="200", NO_COLOR="1")
    assert (ended.code, ended.err) == (0, "")
    assert "runtimeinfo run train.py --epochs 3" in ended.out
