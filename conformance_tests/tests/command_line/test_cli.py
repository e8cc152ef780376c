from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSIONS

CALL = """
import sys
sys.modules[{blocked!r}] = None
import runtimeinfo_conformance.command_line._cli as it
sys.argv = ["runtimeinfo", "version"]
it.main()
"""

TOP = """
import sys
for name in {blocked!r}: sys.modules[name] = None
import runtimeinfo_conformance.command_line._cli as it
sys.argv = ["runtimeinfo", "top", "--once", "--pid", "1"]
it.main()
"""


@pytest.mark.parametrize("extra", ["typer", "rich", "hypothesis"])
def test_it_says_which_extra_is_missing(in_process: Any, extra: str) -> None:
    ran = in_process("-c", CALL.format(blocked=extra))
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "pip install 'runtimeinfo[conformance]'" in ran.stderr
    assert f"({extra} is not installed)" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("extra", ["typer", "rich"])
def test_top_has_an_extra_of_its_own(in_process: Any, extra: str) -> None:
    ran = in_process("-c", TOP.format(blocked=[extra]))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "pip install 'runtimeinfo[top]'" in ran.stderr
    assert f"({extra} is not installed)" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_top_needs_nothing_of_the_kit(in_process: Any) -> None:
    ran = in_process("-c", TOP.format(blocked=["hypothesis", "pytest", "jinja2", "filelock", "torch"]))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("runtimeinfo top  no runs")


def test_what_is_missing_otherwise_is_no_matter_of_extras(in_process: Any) -> None:
    ran = in_process("-c", CALL.format(blocked="numpy"))
    assert ran.returncode == 1
    assert "Traceback" in ran.stderr
    assert "runtimeinfo[conformance]" not in ran.stderr


def test_with_all_there_it_runs(in_process: Any) -> None:
    assert in_process("-c", CALL.format(blocked="nothing_of_this_name")).returncode == 0


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
