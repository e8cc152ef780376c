from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSIONS
from runtimeinfo_conformance.command_line import _cli
from runtimeinfo_conformance.command_line._commands import app

CALL = """
import sys
for name in {blocked!r}: sys.modules[name] = None
import runtimeinfo_conformance.command_line._cli as it
sys.argv = ["runtimeinfo", *{words!r}]
it.main()
"""

# What the extras bring: without them there is the base installation.
EXTRAS = ("typer", "click", "rich", "hypothesis", "pytest", "jinja2", "filelock", "torch")


def without(blocked: Iterable[str], *words: str) -> tuple[str, str]:
    """Return the arguments of a Python in which some packages are missing, and which runs the command."""
    return "-c", CALL.format(blocked=tuple(blocked), words=words)


@pytest.mark.parametrize("extra", ["typer", "rich", "hypothesis"])
def test_check_names_the_extra_that_is_missing(in_process: Any, extra: str) -> None:
    ran = in_process(*without([extra], "check", "nowhere.py"))
    assert ran.returncode == 64  # not 1: nothing is violated
    assert ran.stdout == ""
    assert "pip install 'runtimeinfo[conformance]'" in ran.stderr
    assert f"({extra} is not installed)" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("extra", ["typer", "rich"])
def test_top_has_an_extra_of_its_own(in_process: Any, extra: str) -> None:
    ran = in_process(*without([extra], "top", "--once", "--pid", "1"))
    assert (ran.returncode, ran.stdout) == (64, "")
    assert "pip install 'runtimeinfo[top]'" in ran.stderr
    assert f"({extra} is not installed)" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_top_needs_nothing_of_the_kit(in_process: Any) -> None:
    missing = ["hypothesis", "pytest", "jinja2", "filelock", "torch"]
    ran = in_process(*without(missing, "top", "--once", "--pid", "1"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("runtimeinfo top  no runs")


@pytest.mark.parametrize("words", ["--version", "version", "explain stage-02 ORDER", "spec", "spec --spec 0.1 --json"])
def test_command_that_needs_no_extra_prints_the_same_without_any(
    in_process: Any, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    ran = in_process(*without(EXTRAS, *words.split()))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == printed(words, capsys)


def printed(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the command prints in this process, where everything is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["runtimeinfo", *words.split()])
        with pytest.raises(SystemExit) as end:
            _cli.main()
    assert end.value.code == 0
    return capsys.readouterr().out


def test_help_without_extras_lists_all_commands_and_what_they_need(in_process: Any) -> None:
    ran = in_process(*without(EXTRAS, "--help"))
    assert (ran.returncode, ran.stderr) == (0, "")
    said = " ".join(ran.stdout.split())
    assert all(name in said for name in ("check", "check-trace", "replay", "run", "explain", "spec", "top", "version"))
    assert said.count("Needs 'runtimeinfo[conformance]'.") == 3
    assert said.count("Needs 'runtimeinfo[top]'.") == 1
    assert in_process(*without(EXTRAS)).stdout == ran.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explain STAGE-2", "runtimeinfo: there is no requirement 'STAGE-2'; did you mean STAGE-02?"),
        ("spec --spec 0.9", "runtimeinfo: there is no spec version '0.9'"),
        ("chek", "invalid choice: 'chek'"),
    ],
)
def test_wrong_command_line_without_extras(in_process: Any, words: str, said: str) -> None:
    ran = in_process(*without(EXTRAS, *words.split()))
    assert (ran.returncode, ran.stdout) == (64, "")
    assert said in ran.stderr


def test_commands_that_need_an_extra_are_those_that_the_help_names() -> None:
    assert {*_cli._EXTRAS, "run", "explain", "spec", "version"} == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_run_needs_the_library_alone(in_process: Any) -> None:
    ran = in_process(*without([*EXTRAS, "numpy"], "run", "-c", "import numpy; print('trained')"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "trained\n", "")


@pytest.mark.parametrize("missing", [(), EXTRAS], ids=["with extras", "without"])
def test_help_of_run_says_what_it_takes(in_process: Any, missing: tuple[str, ...]) -> None:
    ran = in_process(*without(missing, "run", "--help"))
    assert (ran.returncode, ran.stderr) == (0, "")
    said = " ".join(ran.stdout.replace("│", " ").split())
    assert "publish it without a change in its code" in said
    assert "such as torchrun" in said
    assert "127 there is no such command" in said


def test_run_loads_little_before_what_it_runs(in_process: Any) -> None:
    ran = in_process("-X", "importtime", "-c", MAIN, "run", "-c", "print('trained')")
    assert (ran.returncode, ran.stdout) == (0, "trained\n")
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "runtimeinfo_conformance.command_line._launch" in loaded
    # What takes longest of that which the command could load: nothing of it is needed to start a process.
    assert not {"typer", "rich", "hypothesis", "numpy", "runtimeinfo", "runtimeinfo_adapters", "typing", "re"} & loaded


def test_package_that_no_extra_brings_is_no_matter_of_extras(in_process: Any) -> None:
    ran = in_process(*without(["numpy"], "check", "nowhere.py"))
    assert ran.returncode == 1
    assert "Traceback" in ran.stderr
    assert "runtimeinfo[conformance]" not in ran.stderr


def test_with_all_there_it_runs(in_process: Any) -> None:
    assert in_process(*without(["nothing_of_this_name"], "version")).returncode == 0


@pytest.mark.parametrize("words", ["--version", "--help", "explain STAGE-02", "check nowhere.py", "chek"])
def test_python_m_runtimeinfo_is_the_command(in_process: Any, words: str) -> None:
    command, module = in_process(*without([], *words.split())), in_process("-m", "runtimeinfo", *words.split())
    assert (module.returncode, module.stdout, module.stderr) == (command.returncode, command.stdout, command.stderr)
    assert module.stdout or module.stderr


def test_a_short_command_loads_no_framework_and_no_search(in_process: Any) -> None:
    code = f"{without([], 'spec')[1].replace('it.main()', '')}\nfrom contextlib import suppress\n"
    code += "with suppress(SystemExit): it.main()\nprint(*sys.modules)"
    loaded = set(in_process("-c", code).stdout.splitlines()[-1].split())
    assert "runtimeinfo_conformance.command_line._commands" in loaded
    assert not {"numpy", "hypothesis", "pytest", "jinja2", "torch", "runtimeinfo_adapters"} & loaded


def test_a_subject_can_be_declared_without_any_extra(in_process: Any) -> None:
    ran = in_process(
        "-c",
        "import sys\n"
        "for name in ('typer', 'rich', 'hypothesis', 'pytest', 'torch'): sys.modules[name] = None\n"
        "from runtimeinfo_conformance import Plan, Subject\n"
        "print(Subject('myfw', '1', run=print).name, Plan())",
    )
    assert ran.stdout == "myfw Plan()\n", ran.stderr


def test_there_is_nothing_else_in_the_package() -> None:
    import runtimeinfo_conformance

    assert all(hasattr(runtimeinfo_conformance, name) for name in runtimeinfo_conformance.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'conform'"):
        _ = runtimeinfo_conformance.conform


MAIN = "from runtimeinfo_conformance.command_line._cli import main; main()"


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "NO_COLOR": "1", **options.pop("env", {})}
    return subprocess.Popen([sys.executable, "-c", MAIN, *arguments], text=True, env=environment, **options)


@pytest.mark.parametrize("command", ["version", "spec", "--help", "top --once"])
def test_a_reader_that_has_enough_ends_it_quietly(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*command.split(), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


SLOW = """
import time
from pathlib import Path
from runtimeinfo_conformance import HubSubject

def make(name):
    Path("begun").touch()
    time.sleep(30)

subject = HubSubject("slow", "1", make=make)
"""


def test_an_interrupt_is_told_by_the_exit_code_alone(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    process = start("check", "slow.py", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not (tmp_path / "begun").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("check-", ["check-trace"]),
        ("ru", ["run"]),
        ("explain ST", [id for id in REQUIREMENTS if id.startswith("STAGE-")]),
        ("explain S", ["STAGE", "SCALAR", "SHARE", "SCOPE"]),
        ("explain LIFE STAGE-0", [id for id in REQUIREMENTS if id.startswith("STAGE-0")]),
        ("explain STAGE-0", [id for id in REQUIREMENTS if id.startswith("STAGE-0")]),
        ("spec --spec ", list(SPEC_VERSIONS)),
        ("check --prof", ["--profile"]),
        ("top --on", ["--once"]),
    ],
)
def test_a_shell_completes_it(words: str, completed: list[str]) -> None:
    asked = {
        "_RUNTIMEINFO_COMPLETE": "complete_bash",
        "COMP_WORDS": f"runtimeinfo {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    arguments = [sys.executable, "-c", f"import sys; sys.argv = ['runtimeinfo']; {MAIN}"]
    ran = subprocess.run(arguments, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == completed
