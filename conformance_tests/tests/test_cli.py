from __future__ import annotations

from typing import Any

import pytest

CALL = """
import sys
sys.modules[{blocked!r}] = None
import runtimeinfo_conformance._cli as it
sys.argv = ["runtimeinfo", "version"]
it.main()
"""

TOP = """
import sys
for name in {blocked!r}: sys.modules[name] = None
import runtimeinfo_conformance._cli as it
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
