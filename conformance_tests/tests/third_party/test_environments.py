"""A project of a third party, in environments that pip has installed: with the oldest and the newest packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from packaging.requirements import Requirement

from runtimeinfo import __version__

PROJECT = Path(__file__).with_name("project")

PLUGINS = ("pytest-asyncio", "pytest-cov", "pytest-randomly", "pytest-run-parallel", "pytest-timeout", "pytest-xdist")

# Messages of pip where it cannot reach an index.
UNREACHABLE = ("Failed to establish a new connection", "NameResolutionError", "ConnectTimeoutError", "ProxyError")

# One release warns if the scope is not named.
STRICT = ("-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function")
AUTO = ("-o", "asyncio_mode=auto", *STRICT[2:])

SUBJECTS = {"myfw": "test_conformance", "broken": "test_broken"}

Verdicts = dict[str, dict[str, str]]


def lower_bounds(tree: Path) -> list[str]:
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [Requirement(each) for each in project["dependencies"] + project["optional-dependencies"]["conformance"]]
    bounds = [f"{each.name}=={one.version}" for each in needed for one in each.specifier if one.operator == ">="]
    assert len(bounds) == len(needed), f"each needs a lower bound: {needed}"
    return bounds


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the processes of pytest-xdist share, so that each environment is made once."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def make_environment(folder: Path, *packages: str) -> Path:
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if (folder / "complete").exists():
            return python
        venv.create(folder, with_pip=False, symlinks=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--retries", "1", "install", "--only-binary=:all:"]
        # Few of the modules are imported, and those are compiled then.
        ran = subprocess.run([*pip, "--no-compile", *packages], capture_output=True, text=True, check=False)
        if ran.returncode and any(each in ran.stdout + ran.stderr for each in UNREACHABLE):
            pytest.skip("pip cannot reach a package index from here")
        assert ran.returncode == 0, ran.stderr
        (folder / "complete").touch()
    return python


@pytest.fixture(scope="module")
def newest(wheel: Path, shared: Path) -> Path:
    return make_environment(shared / "newest", f"{wheel}[conformance]", *PLUGINS)


@pytest.fixture(scope="module")
def oldest(wheel: Path, bounds: list[str], shared: Path) -> Path:
    if sys.version_info >= (3, 13):
        pytest.skip("the oldest numpy that we take has no wheel for this Python")
    return make_environment(shared / "oldest", f"{wheel}[conformance]", *bounds)


@pytest.fixture(scope="module")
def bare(wheel: Path, shared: Path) -> Path:
    return make_environment(shared / "bare", str(wheel))


@pytest.fixture(scope="module")
def bounds() -> list[str]:
    return lower_bounds(Path(__file__).resolve().parents[3])


@pytest.fixture
def project(tmp_path: Path, tree: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(tree / "docs/examples/third_party/myfw.py", folder)
    shutil.copy(tree / "docs/examples/third_party/test_conformance.py", folder / "tests")
    return folder


@pytest.fixture
def run_pytest(project: Path, in_process: Any) -> Callable[..., tuple[Any, Verdicts]]:
    """Run the tests of the project, and return the verdict of each item by JUnit, too."""

    def run(python: Path, *arguments: str) -> tuple[Any, Verdicts]:
        options = (
            "--runtimeinfo-profile=quick",
            "--runtimeinfo-report=by_pytest",
            "--junitxml=junit.xml",
            "--color=no",
        )
        ran = in_process("-m", "pytest", *options, *arguments, cwd=project, python=str(python))
        assert ran.returncode == 1, ran.stdout + ran.stderr
        return ran, said_to_junit(project / "junit.xml")

    return run


def said_to_junit(file: Path) -> Verdicts:
    said: Verdicts = {name: {} for name in SUBJECTS}
    for case in ET.parse(file).iter("testcase"):
        given = {each.get("name"): each.get("value") or "" for each in case.iter("property")}
        for name, function in SUBJECTS.items():
            if (case.get("name") or "").startswith(f"{function}["):
                said[name][given.get("requirement") or "verdict"] = given["verdict"]
    return said


def said_in_reports(folder: Path) -> Verdicts:
    said: Verdicts = {}
    for name in SUBJECTS:
        report = json.loads((folder / name / "report.json").read_text(encoding="utf-8"))
        said[name] = {each["id"]: each["verdict"] for each in report["requirements"]} | {"verdict": report["verdict"]}
    return said


def items_only(verdicts: Verdicts) -> Verdicts:
    """Return the verdicts that have an item of pytest."""
    silent = ("not applicable", "untestable")
    return {
        name: {id: verdict for id, verdict in each.items() if verdict not in silent} for name, each in verdicts.items()
    }


def check_by_command(python: Path, project: Path, in_process: Any) -> Verdicts:
    arguments = (
        "check",
        "tests/test_conformance.py",
        "tests/test_broken.py",
        "--profile",
        "quick",
        "--report",
        "by_it",
    )
    # The command does not search the package beside the tests.
    shutil.copy(project / "myfw.py", project / "tests")
    ran = in_process(str(python.with_name("runtimeinfo")), *arguments, cwd=project, python=str(python))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return said_in_reports(project / "by_it")


def assert_is_right(said: Verdicts) -> None:
    assert said["myfw"]["verdict"] == "conformant"
    assert set(said["myfw"].values()) == {"pass", "conformant"}
    assert said["broken"]["verdict"] == "violated"
    assert said["broken"]["COUNT-03"] == "fail"
    assert {"pass", "fail", "upcoming"} <= set(said["broken"].values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--version", __version__),
        ("--help", "Put runners and hubs to the test, and print the verdict."),
        ("explain COUNT-01 order", "ORDER-02 (MUST, since spec 0.1)"),
        ("spec", "LIFE-01 MUST"),
        ("spec --json", '"id": "LIFE-01"'),
    ],
)
def test_command_of_the_base_installation(bare: Path, in_process: Any, words: str, said: str) -> None:
    command = in_process(str(bare.with_name("runtimeinfo")), *words.split(), python=str(bare))
    assert (command.returncode, command.stderr) == (0, "")
    assert said in " ".join(command.stdout.split())
    module = in_process("-m", "runtimeinfo", *words.split(), python=str(bare))
    assert (module.returncode, module.stdout) == (0, command.stdout)


def test_check_in_the_base_installation_names_the_extra(bare: Path, in_process: Any) -> None:
    ran = in_process("-m", "runtimeinfo", "check", "tests/test_conformance.py", python=str(bare))
    assert (ran.returncode, ran.stdout) == (64, "")
    assert "pip install 'runtimeinfo[conformance]'" in ran.stderr
    ran = in_process(
        "-c",
        "from runtimeinfo_conformance import Subject, check; check(Subject('x', '1', run=print))",
        python=str(bare),
    )
    assert ran.stderr.splitlines()[-1].endswith("pip install 'runtimeinfo[conformance]'")


def test_it_installs_without_torch(oldest: Path, newest: Path, in_process: Any) -> None:
    for python in (oldest, newest):
        ran = in_process("-c", "import torch", python=str(python))
        assert "No module named 'torch'" in ran.stderr


def test_the_lower_bounds_are_what_is_tested(oldest: Path, bounds: list[str], in_process: Any) -> None:
    names = [bound.partition("==")[0] for bound in bounds]
    code = f"import importlib.metadata as m\nfor name in {names}: print(name + '==' + m.version(name))"
    installed = in_process("-c", code, python=str(oldest)).stdout.splitlines()
    assert {each.name: each.specifier for each in map(Requirement, installed)} == {
        each.name: each.specifier for each in map(Requirement, bounds)
    }


def test_with_the_oldest_of_everything(oldest: Path, run_pytest: Any, project: Path, in_process: Any) -> None:
    ran, said = run_pytest(oldest)
    assert_is_right(said)
    assert "myfw 1.0: Conformant" in ran.stdout
    assert items_only(said_in_reports(project / "by_pytest")) == said
    assert items_only(check_by_command(oldest, project, in_process)) == said


def without(*plugins: str) -> list[str]:
    return [argument for plugin in plugins for argument in ("-p", f"no:{plugin}")]


# The tests of the project, which the kit must not break.
OWN_TESTS = {
    ("test_its_own_search", "passed"),
    ("test_its_own_profile", "passed"),
    ("test_its_own_environment", "passed"),
    ("test_rate", "passed"),
}


def own_tests(file: Path) -> set[tuple[str | None, str]]:
    """Return the tests of the project that are not of the kit, each with its outcome."""
    cases = [case for case in ET.parse(file).iter("testcase") if case.find("properties") is None]
    return {(case.get("name"), "passed" if len(case) == 0 else case[0].tag) for case in cases}


EACH_PLUGIN = (*AUTO, "--timeout=2", "-p", "no:cacheprovider")
# It takes as long as the tests themselves: once, in the processes of pytest-xdist and in the one that starts them.
COVERAGE = ("--cov=myfw", "--cov-report=term")


def assert_all_is_right(ran: Any, said: Verdicts, project: Path) -> None:
    assert_is_right(said)
    assert items_only(said_in_reports(project / "by_pytest")) == said
    assert own_tests(project / "junit.xml") >= OWN_TESTS
    assert "test_broken[COUNT-03]" in ran.stdout
    assert not list((project / "tests").glob("examples/*"))  # the database of its own searches


@pytest.mark.parametrize(
    "arguments",
    [
        EACH_PLUGIN,
        (*EACH_PLUGIN, *COVERAGE, "-n", "2", "--dist=worksteal"),
        ("-n", "2", "--dist=loadscope", "--import-mode=importlib", *STRICT, "-o", "timeout=2"),
    ],
    ids=["plugins", "worksteal", "loadscope"],
)
def test_beside_other_plugins(newest: Path, run_pytest: Any, project: Path, arguments: tuple[str, ...]) -> None:
    assert_all_is_right(*run_pytest(newest, *arguments), project)


def test_with_the_newest_of_everything(newest: Path, run_pytest: Any, project: Path, in_process: Any) -> None:
    plugins = without("xdist", "randomly", "asyncio", "timeout")
    ran, said = run_pytest(newest, *plugins, "--ignore=tests/test_async.py", "--import-mode=append")
    assert_all_is_right(ran, said, project)
    assert items_only(check_by_command(newest, project, in_process)) == said


def test_a_whole_project_is_green(newest: Path, project: Path, in_process: Any) -> None:
    (project / "tests" / "test_broken.py").unlink()
    ran = in_process("-m", "pytest", *AUTO, "-n", "2", "--dist=load", cwd=project, python=str(newest))
    assert ran.returncode == 0, ran.stdout
    assert "myfw 1.0: Conformant" in ran.stdout
    assert "skipped" not in ran.stdout


THREADS = """
import threading

seen = []


def test_of_the_project_runs_in_both_threads():
    seen.append(threading.get_ident())


def test_both_threads_were_seen():
    assert len(set(seen)) == 2
"""


@pytest.mark.parametrize(
    "arguments",
    [(), ("-n", "2", "--dist=loadfile"), ("-p", "no:runtimeinfo")],
    ids=["alone", "and in two processes", "without the plugin"],
)
def test_in_two_threads(newest: Path, in_process: Any, tmp_path: Path, tree: Path, arguments: tuple[str, ...]) -> None:
    example = tree / "docs" / "examples" / "third_party"
    shutil.copy(example / "myfw.py", tmp_path)
    text = (example / "test_conformance.py").read_text(encoding="utf-8")
    # Not by an option, which would not be there without the plugin.
    (tmp_path / "test_conformance.py").write_text(f"{text.rstrip().removesuffix(')')}, profile='quick')\n")
    (tmp_path / "test_threads.py").write_text(THREADS)
    options = ("--parallel-threads=2", "-p", "no:randomly", "-W", "error", "--strict-markers", "-v", "--color=no")
    ran = in_process("-m", "pytest", *options, *STRICT, *arguments, python=str(newest))
    assert ran.returncode == 0, ran.stdout
    assert "test_of_the_project_runs_in_both_threads" in ran.stdout
    assert ("myfw 1.0: Conformant" in ran.stdout) is ("no:runtimeinfo" not in arguments)
    # The report of a worker does not say it.
    is_marked = "PASSED [thread-unsafe]: a check of runtimeinfo needs the process to itself" in ran.stdout
    assert is_marked is (not arguments)
