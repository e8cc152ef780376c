from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from simple_hub import SimpleHub
from simple_trainer import correct

from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance import HubSubject, _subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES

HERE = Path(__file__).parents[1]

# Each call of `make` leaves the number of its process, so that it shows who made the check, and how often.
FILE = f"""
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, {str(HERE)!r})
from simple_trainer import correct
from simple_hub import SimpleHub
from runtimeinfo_conformance import HubSubject, Subject, conformance

here = Path(__file__).parent


def make(name):
    with (here / "made").open("a") as file:
        file.write(f"{{os.getpid()}}\\n")
    return SimpleHub(name)


def make_or_die(name):
    flag = here / "died"
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return make(name)


class Clinging(SimpleHub):
    def pop_info(self, key, default=None):
        return self.runtime_info.get(key, default)


test_hub = conformance(HubSubject("hub", "1", make=make), profile="quick")
test_dies = conformance(HubSubject("dies", "1", make=make_or_die), profile="quick")
test_clinging = conformance(HubSubject("clinging", "2", make=Clinging), profile="quick")
test_crash = conformance(Subject("crash", "1", run=lambda plan, hooks: 1 / 0), profile="quick")
test_modest = conformance(Subject("modest", "1", run=correct().run, capabilities={{"test"}}), profile="quick")


def test_another():
    pass
"""

HUB_ITEMS = 29

TIMEOUT = """
# The part of pytest-timeout that matters here: a limit for each test, its mark, and its name.
import signal
import pytest


class Timeout:
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        mark = item.get_closest_marker("timeout")
        item.user_properties.append(("limit", str(mark.args[0] if mark else 1)))
        return (yield)


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout: a limit")
    config.pluginmanager.register(Timeout(), "timeout")
"""


PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "--color=no", "-W", "error")


@pytest.fixture
def run_pytest(in_process: Any, tmp_path: Path) -> Any:
    (tmp_path / "test_it.py").write_text(FILE)
    return lambda *arguments: in_process(*PYTEST, *arguments)


class Session(NamedTuple):
    """A session of pytest that checks several subjects, and writes their reports to a folder ``out``.

    Attributes:
        code: The exit code.
        stdout: What it printed.
        folder: Where it ran.
        temporary: The folder for temporary files that it had.
    """

    code: int
    stdout: str
    folder: Path
    temporary: Path


@pytest.fixture(scope="module")
def session(run_python: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def run(*arguments: str) -> Session:
        folder, temporary = tmp_path_factory.mktemp("session"), tmp_path_factory.mktemp("temporary")
        (folder / "test_it.py").write_text(FILE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(temporary))
            ran = run_python(*PYTEST, "--runtimeinfo-report=out", *arguments, cwd=folder)
        return Session(ran.returncode, ran.stdout, folder, temporary)

    return run


@pytest.fixture(scope="module")
def alone(session: Any) -> Session:
    ran: Session = session("-k", "test_hub or test_clinging or test_crash or test_modest")
    return ran


@pytest.fixture(scope="module")
def in_two_processes(session: Any) -> Session:
    crash = "(test_crash and (verdict or LIFE-01 or LIFE-02))"
    ran: Session = session("-n", "2", "--dist=worksteal", "-k", f"test_hub or test_clinging or {crash}")
    return ran


def makers(folder: Path) -> list[str]:
    """Return the process that made each hub, without the one that only loads a state (HUB-17)."""
    made = (folder / "made").read_text().split()
    hubs = Counter(made)
    return [process for process in made if hubs[process] > 20]


def section(output: str) -> list[str]:
    lines = output.splitlines()
    (at,) = [index for index, line in enumerate(lines) if line.strip("= ") == "runtimeinfo"]
    end = next(index for index in range(at + 1, len(lines)) if re.match("=|[0-9]+ .* in [0-9.]+s", lines[index]))
    return lines[at + 1 : end]


def test_hub_items() -> None:
    from runtimeinfo_conformance.subjects.reference_hub import subject

    assert len(_subject.testable(subject())) + 1 == HUB_ITEMS
    assert len(_subject.testable(correct())) + 1 > HUB_ITEMS


# -- who does not use the kit


def test_it_costs_nothing_where_it_is_not_used(in_process: Any, tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_it(): pass\n")
    heavy = (
        "hypothesis",
        "numpy",
        "torch",
        "rich",
        "typer",
        "jinja2",
        "filelock",
        "runtimeinfo",
        "runtimeinfo_adapters",
    )
    # Hypothesis brings a plugin of its own, which may load it.
    code = f"""
import sys, pytest
code = pytest.main(["-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider", *sys.argv[1:]])
assert "runtimeinfo_conformance.pytest_plugin._plugin" in sys.modules
loaded = [name for name in {heavy} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded or code else 0)
"""
    for arguments in ((), ("-p", "no:xdist"), ("-n", "1")):
        ran = in_process("-c", code, *arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "runtimeinfo" not in ran.stdout


def test_it_says_nothing_where_it_is_not_used(run_pytest: Any) -> None:
    ran = run_pytest("-v", "-k", "test_another")
    assert "1 passed" in ran.stdout
    assert "runtimeinfo" not in ran.stdout.replace("plugins: runtimeinfo", "").replace("runtimeinfo-", "")


# -- what is said


def test_the_summary_of_each_subject(alone: Session) -> None:
    assert alone.code == 1
    lines = section(alone.stdout)
    at = lines.index("hub 1: Conformant")
    assert lines[at + 1].startswith(f"  {HUB_ITEMS - 1} pass; ")
    assert f"; spec {SPEC_VERSION}, profile quick, {PROFILES['quick'].plans} plans in " in lines[at + 1]
    assert "clinging 2: Not conformant" in lines
    assert "crash 1: Not decided: the subject itself broke" in lines


def test_the_summary_has_warnings(alone: Session) -> None:
    lines = section(alone.stdout)
    assert any(line.startswith("  warning: 'val' is not declared") for line in lines), alone.stdout


def test_a_profile_on_the_command_line_comes_first(run_pytest: Any) -> None:
    ran = run_pytest("--runtimeinfo-profile=ci", "-k", "test_hub", "-v")
    assert ran.returncode == 0, ran.stdout
    assert "runtimeinfo: profile ci" in ran.stdout.splitlines()
    assert f"profile ci, {PROFILES['ci'].plans} plans" in ran.stdout


def test_a_profile_that_is_not_there(run_pytest: Any) -> None:
    ran = run_pytest("--runtimeinfo-profile=quik")
    assert ran.returncode == 4
    assert "invalid choice: 'quik'" in ran.stderr


# -- reports

FILES = ["badge.json", "badge.svg", "report.html", "report.json", "report.md"]

processes = pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "two processes"])


@pytest.mark.parametrize(
    "arguments", [(), ("-x",), ("-x", "-n", "2")], ids=["all", "first failure", "first failure in two processes"]
)
def test_the_report_of_one_subject(run_pytest: Any, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run_pytest("--runtimeinfo-report=deep/out", "-k", "test_clinging", *arguments)
    assert ran.returncode in {1, 2}  # interrupted, by -x
    folder = tmp_path / "deep" / "out"
    assert sorted(each.name for each in folder.iterdir()) == FILES
    report = json.loads((folder / "report.json").read_text())
    assert (report["subject"]["name"], report["verdict"]) == ("clinging", "violated")
    assert report["target"] == "test_it.py:test_clinging"
    assert section(ran.stdout)[-1] == f"reports: {folder / 'report.html'}"


@pytest.mark.parametrize("processes", ["alone", "in_two_processes"])
def test_the_reports_of_several_subjects(request: pytest.FixtureRequest, processes: str) -> None:
    ran: Session = request.getfixturevalue(processes)
    checked = ["clinging", "crash", "hub", *(["modest"] if processes == "alone" else [])]
    assert {each.name for each in (ran.folder / "out").iterdir()} == {*checked, "index.html"}
    assert sorted(each.name for each in (ran.folder / "out" / "hub").iterdir()) == FILES
    assert section(ran.stdout)[-1].endswith("index.html")


@processes
def test_a_folder_that_cannot_be(run_pytest: Any, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    ran = run_pytest("--runtimeinfo-report=file/out", "-k", "test_hub", *arguments)
    assert ran.returncode == 4
    assert "ERROR: --runtimeinfo-report: the reports cannot be written to the folder" in ran.stderr
    assert str(tmp_path / "file" / "out") in ran.stderr
    assert not (tmp_path / "made").exists()


def test_a_folder_that_is_gone_in_the_end(run_pytest: Any, tmp_path: Path) -> None:
    (tmp_path / "test_later.py").write_text(
        "from pathlib import Path\n\n\ndef test_hub_spoils(): (Path(__file__).parent / 'out/report.json').mkdir()\n"
    )
    ran = run_pytest("--runtimeinfo-report=out", "-k", "test_hub")
    assert ran.returncode == 3, ran.stdout
    assert section(ran.stdout)[-1].startswith("--runtimeinfo-report: the reports cannot be written")


def test_nothing_to_report(run_pytest: Any, tmp_path: Path) -> None:
    ran = run_pytest("--runtimeinfo-report=out", "-k", "test_another")
    assert ran.returncode == 0
    assert section(ran.stdout) == ["--runtimeinfo-report: no conformance test ran, so nothing was written"]
    ran = run_pytest("--runtimeinfo-report=other", "--collect-only")
    assert ran.returncode == 0
    assert not (tmp_path / "other").exists()


# -- several processes


@pytest.mark.parametrize("processes", ["alone", "in_two_processes"])
def test_no_folder_of_hypothesis_is_left(request: pytest.FixtureRequest, processes: str) -> None:
    ran: Session = request.getfixturevalue(processes)
    assert not (ran.folder / ".hypothesis").exists()


def test_one_check_alone(alone: Session, run_pytest: Any, tmp_path: Path) -> None:
    made = makers(alone.folder)
    assert len(set(made)) == 1
    run_pytest("-k", "test_hub and HUB-02")
    assert len(makers(tmp_path)) == len(made)  # two checks would make twice as many


MADE: list[str] = []


def make_and_count(name: str) -> SimpleHub:
    """Make a hub; at the top of the module, so that another interpreter makes the one that loads a state (HUB-17)."""
    MADE.append(name)
    return SimpleHub(name)


@cache
def hubs_of_one_check() -> int:
    # Without PyTorch, as in the processes.
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "torch", raising=False)
        check(HubSubject("hub", "1", make=make_and_count), PROFILES["quick"])
    return len(MADE)


def assert_one_check_of_the_hub(stdout: str, folder: Path) -> None:
    made = makers(folder)
    assert len(made) == hubs_of_one_check()
    assert len(set(made)) == 1
    assert "hub 1: Conformant" in section(stdout)


@pytest.mark.parametrize(("dist", "count"), [("load", 4), ("loadscope", 2)])
def test_one_check_in_several_processes(run_pytest: Any, tmp_path: Path, dist: str, count: int) -> None:
    ran = run_pytest("-n", str(count), f"--dist={dist}", "-k", "test_hub")
    assert ran.returncode == 0, ran.stdout
    assert f"{HUB_ITEMS} passed" in ran.stdout
    assert_one_check_of_the_hub(ran.stdout, tmp_path)


def test_one_check_of_each_of_several_subjects_in_processes_that_steal(in_two_processes: Session) -> None:
    assert in_two_processes.code == 1
    assert_one_check_of_the_hub(in_two_processes.stdout, in_two_processes.folder)
    assert section(in_two_processes.stdout).count("clinging 2: Not conformant") == 1


def test_a_check_for_each_process_that_is_to_be_compared(run_pytest: Any, tmp_path: Path) -> None:
    ran = run_pytest("--dist=each", "--tx=2*popen", "-k", "test_hub")
    assert ran.returncode == 0, ran.stdout
    assert f"{2 * HUB_ITEMS} passed" in ran.stdout
    assert len(set(makers(tmp_path))) == 2
    assert section(ran.stdout).count("hub 1: Conformant") == 2


def test_a_process_that_dies_during_the_check(run_pytest: Any, tmp_path: Path) -> None:
    ran = run_pytest("-n", "2", "-k", "test_dies")
    assert ran.returncode == 1
    assert f"1 failed, {HUB_ITEMS - 1} passed" in ran.stdout  # the one that it was at
    assert "crashed while running" in ran.stdout
    assert len(set(makers(tmp_path))) == 1
    assert section(ran.stdout)[0] == "dies 1: Conformant"


def test_a_crash_in_another_process_has_its_traceback(in_two_processes: Session) -> None:
    assert "ZeroDivisionError: division by zero" in in_two_processes.stdout
    assert re.search(r"[Tt]he subject broke on Plan\(", in_two_processes.stdout)
    assert "runtimeinfo_conformance/" not in in_two_processes.stdout


def test_nothing_is_left_behind(in_two_processes: Session) -> None:
    assert [each.name for each in in_two_processes.temporary.iterdir() if "runtimeinfo" in each.name] == []


# -- a limit for each test


def test_the_limit_for_all_tests_is_not_for_these(run_pytest: Any, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(TIMEOUT)
    (tmp_path / "test_own.py").write_text(
        "import pytest\nfrom test_it import test_hub\n\npytestmark = pytest.mark.timeout(7)\n"
    )
    run_pytest("--strict-markers", "--junitxml=out.xml", "-k", "test_another or (test_hub and HUB-02)")
    limits = {
        (case.get("classname"), case.get("name")): each.get("value")
        for case in ET.parse(tmp_path / "out.xml").iter("testcase")
        for each in case.iter("property")
        if each.get("name") == "limit"
    }
    assert limits == {
        ("test_it", "test_another"): "1",
        ("test_it", "test_hub[HUB-02]"): "0",
        ("test_own", "test_hub[HUB-02]"): "7",
    }
