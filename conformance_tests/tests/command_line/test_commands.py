from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtimeinfo import __version__, use_hub
from runtimeinfo.board import FOLDER_VARIABLE
from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSION
from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import EX_USAGE
from runtimeinfo_conformance.command_line import _cli, _explain
from runtimeinfo_conformance.command_line._commands import ProfileName
from runtimeinfo_conformance.guards import HANG_SECONDS

HERE = Path(__file__).parents[1]

TARGETS = f"""
import sys
sys.path.insert(0, {str(HERE)!r})

import os
import threading
import time

import runtimeinfo
import runtimeinfo_adapters
from broken_runners import CountsEpochsFromOne, SwallowsInterrupts
from simple_trainer import Trainer
from runtimeinfo_conformance import HubSubject, Subject
from simple_hub import SimpleHub


def train(plan, hooks):
    Trainer(plan, hooks).fit()


def fails(plan, hooks):
    1 / 0


def hangs(plan, hooks):
    while True:
        time.sleep(0.01)


def exits(plan, hooks):
    os._exit(0)


def leaves(plan, hooks):
    sys.exit(0)


def garbage(plan, hooks, printed=[]):
    if not printed:
        print("\\x00\\x1b[31m" + "garbage " * 1_300_000)
        print("the end of it", file=sys.stderr)
        printed.append(1)
    1 / 0


def threads(plan, hooks):
    train(plan, hooks)
    threading.Thread(target=threading.Event().wait, name="poller").start()


def patches_hook(plan, hooks):
    runtimeinfo.RuntimeInfoHook.after_train_iter = lambda self, runner, **given: None
    train(plan, hooks)


def patches_hub(plan, hooks):
    runtimeinfo_adapters.MessageHub.get_info = lambda self, key, default=None: default
    train(plan, hooks)


def swallows(plan, hooks):
    try:
        train(plan, hooks)
    except (Exception, KeyboardInterrupt):
        pass


class Clinging(SimpleHub):
    def pop_info(self, key, default=None):
        return self.runtime_info.get(key, default)


good = Subject("good", "1", run=train)
old = Subject("old", "1", run=train, spec="0.1")
bad = Subject("bad", "1", run=lambda plan, hooks: CountsEpochsFromOne(plan, hooks).fit())
idle = Subject("idle", "1", run=lambda plan, hooks: None)
hub = HubSubject("hub", "1", make=SimpleHub)
clinging = HubSubject("clinging", "1", make=Clinging, waivers="waivers.toml")
"""

# Each is made when its name is asked for.
TARGETS += """
def __getattr__(name):
    run = globals().get(name.removesuffix("_subject"))
    if not name.endswith("_subject") or not callable(run):
        raise AttributeError(name)
    return Subject(name.removesuffix("_subject"), "1", run=run)
"""

WAIVER = """
[[waiver]]
requirement = "HUB-03"
reason = "pop does not remove"
issue = "https://example.org/hub/issues/1"
expires = 2999-12-31
witness = "HubPlan(ops=(HubOp(name='update_info'), HubOp(name='pop_info')))"
"""

Ran = Any  # with a returncode, and what was written to stdout and stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "targets.py").write_text(TARGETS)
    return tmp_path


@pytest.fixture
def runtimeinfo(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command, in this process, in a folder with targets that is not on the path."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != ""])

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["runtimeinfo", *arguments])
        code: Any = 0
        try:
            _cli.main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=int(code or 0), stdout=out, stderr=err)

    yield run
    for name in set(sys.modules) - modules:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def process(folder: Path, in_process: Callable[..., Ran]) -> Any:
    """The command in a process of its own, as it is installed: for what a subject does to its process."""
    call = "import sys; sys.path.remove(''); import runtimeinfo_conformance.command_line._cli as it; it.main()"
    return lambda *arguments: in_process("-c", call, *arguments)


def check(run: Any, *targets: str) -> Ran:
    return run("check", "--profile", "quick", *(f"targets.py:{each}" for each in targets))


# -- check


@pytest.mark.parametrize(
    ("subjects", "code", "said"),
    [
        (["good"], 0, "good: conformant"),
        (["bad"], 1, "bad: not conformant"),
        (["idle"], 3, "idle: not decided"),
        (["fails_subject"], 4, "ZeroDivisionError: division by zero"),
        (["good", "bad"], 1, "not conformant"),
        (["idle", "fails_subject"], 4, "not decided"),
        (["old"], 0, "old: conformant"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_check_of_a_file(runtimeinfo: Any, subjects: list[str], code: int, said: str) -> None:
    ran = check(runtimeinfo, *subjects)
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert said in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


def test_the_command_as_it_is_installed(process: Any, folder: Path) -> None:
    ran = check(process, "bad")
    assert not (folder / ".hypothesis").exists()
    assert ran.returncode == 1, ran.stderr
    assert f"bad: plans 0/{PROFILES['quick'].plans}" in ran.stdout
    assert "bad: not conformant" in ran.stdout
    assert "runtimeinfo replay COUNT-03 'Plan()' targets.py:bad" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


def test_check_of_a_module(runtimeinfo: Any) -> None:
    ran = runtimeinfo("check", "--profile", "quick", "runtimeinfo_conformance.subjects.reference_hub:subject")
    assert ran.returncode == 0, ran.stderr
    assert f"reference hub: plans 0/{PROFILES['quick'].plans}" in ran.stdout
    assert "reference hub: conformant" in ran.stdout


def test_a_seed_is_shown_and_can_be_given_again(runtimeinfo: Any) -> None:
    first, again = (runtimeinfo("check", "--profile", "quick", "--seed", "7", "targets.py:hub") for _ in range(2))
    assert first.returncode == again.returncode == 0
    assert "seed 7" in first.stdout


def test_each_requirement_has_a_line_if_wanted(runtimeinfo: Any) -> None:
    short, long = (runtimeinfo("check", "--profile", "quick", *more, "targets.py:hub") for more in ([], ["--verbose"]))
    assert all(id in long.stdout for id in REQUIREMENTS if id.startswith("HUB"))
    assert len(long.stdout.splitlines()) > len(short.stdout.splitlines())


def test_reports_are_written(runtimeinfo: Any, folder: Path) -> None:
    ran = runtimeinfo("check", "--profile", "quick", "--report", "out/here", "targets.py:hub")
    assert ran.returncode == 0
    names = {path.name for path in (folder / "out" / "here").iterdir()}
    assert names >= {"report.json", "report.html", "report.md", "badge.svg", "badge.json"}
    assert f"wrote {len(names)} files into out/here" in ran.stdout


# -- what a subject does to its process


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("hangs", "it did not come back within 1 s, and was interrupted here:"),
        ("exits", "it called os._exit(0) at"),
        ("threads", "the thread 'poller' with the target threading.Event.wait"),
    ],
)
def test_a_subject_that_would_end_the_process_or_keep_it(process: Any, subject: str, said: str) -> None:
    ran = process("check", "--profile", "quick", "--timeout", "1", f"targets.py:{subject}_subject")
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert f"{subject}: not decided" in ran.stdout
    assert said in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("leaves", "it called sys.exit(0) at"),
        ("patches_hook", "it replaced runtimeinfo.RuntimeInfoHook.after_train_iter while it ran"),
        ("patches_hub", "it replaced runtimeinfo_adapters.MessageHub.get_info while it ran"),
        ("garbage", "the end of it"),
    ],
)
def test_a_subject_that_misbehaves(runtimeinfo: Any, subject: str, said: str) -> None:
    ran = check(runtimeinfo, f"{subject}_subject")
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert f"{subject}: not decided" in ran.stdout
    assert said in ran.stdout + ran.stderr
    assert len(ran.stdout + ran.stderr) < 20_000
    assert ("It had printed:" in ran.stdout) is (subject == "garbage")
    assert "\x00" not in ran.stdout + ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr


def test_a_subject_that_swallows_what_is_raised(runtimeinfo: Any) -> None:
    ran = check(runtimeinfo, "swallows_subject")
    assert ran.returncode == 1
    assert "FAIL-01" in ran.stdout
    assert "observed: no exception" in ran.stdout


def test_faulty_target_does_not_stop_the_next_check(runtimeinfo: Any) -> None:
    ran = check(runtimeinfo, "leaves_subject", "hub")
    assert ran.returncode == 4
    assert "hub: conformant" in ran.stdout


# -- waivers


@pytest.mark.parametrize(
    ("waiver", "code", "said"),
    [
        (WAIVER, 0, "clinging: conformant"),
        (WAIVER.replace("2999", "2001"), 2, "the waiver of HUB-03 expired on 2001-12-31"),
        # Nothing waives HUB-03 in these two: what is broken shows, but the waiver has to be mended first.
        (WAIVER.replace("'update_info'", "'reload'"), 2, "HUB-03 holds on its witness now: delete the waiver"),
        (WAIVER.replace("HUB-03", "HUB-33"), 2, "there is no requirement 'HUB-33'; did you mean"),
        (WAIVER + "isue = 3\n", 2, "there is no field 'isue'; did you mean 'issue'?"),
        (WAIVER + WAIVER.replace("HUB-03", "HUB-01"), 2, "HUB-01 holds on its witness now: delete the waiver"),
        ("", 1, "clinging: not conformant"),
        (None, 2, "waivers.toml: the waivers cannot be read: No such file or directory"),
    ],
    ids=["good", "expired", "stale", "typo", "field", "another", "empty", "missing"],
)
def test_waivers(runtimeinfo: Any, folder: Path, waiver: str | None, code: int, said: str) -> None:
    if waiver is not None:
        (folder / "waivers.toml").write_text(waiver)
    ran = check(runtimeinfo, "clinging")
    assert said in ran.stdout, ran.stdout
    assert ran.returncode == code, ran.stdout + ran.stderr


# -- a command line that cannot be


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py", "runtimeinfo: there is no file nowhere.py"),
        ("targets", "there is no module targets; a file needs its .py"),
        ("targets.py:goood", "has no 'goood'; it has good, old, bad, idle, hub, clinging"),
        ("targets.py:train", "TypeError: train() missing 2 required positional arguments"),
        ("broken.py", "broken.py cannot be loaded: ZeroDivisionError: division by zero"),
        ("uncallable.py", "it: run must be callable as run(plan, hooks), but is 7"),
        ("unknown.py", "it: there is no capability 'vall'; did you mean 'val'?"),
        ("future.py", "it: there is no spec version '9.9'; there are 0.1, 0.2, 0.3"),
    ],
)
def test_a_wrong_target(runtimeinfo: Any, folder: Path, target: str, message: str) -> None:
    begin = "from runtimeinfo_conformance import Subject\n"
    (folder / "broken.py").write_text("1 / 0")
    (folder / "uncallable.py").write_text(f"{begin}it = Subject('it', '1', run=7)")
    (folder / "unknown.py").write_text(f"{begin}it = Subject('it', '1', run=print, capabilities=['vall'])")
    (folder / "future.py").write_text(f"{begin}it = Subject('it', '1', run=print, spec='9.9')")
    ran = runtimeinfo("check", target)
    assert ran.returncode == 4
    assert message in ran.stderr
    assert ran.stdout == ""
    assert ("Traceback" in ran.stderr) is ("Error: " in message or message.startswith("it: "))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "Missing argument"),
        (["check", "--profile", "quik", "targets.py"], "'quik' is not one of 'quick', 'ci', 'nightly'"),
        (["check", "--seed", "-1", "targets.py"], "Invalid value for '--seed'"),
        (["check", "--seed", "x", "targets.py"], "Invalid value for '--seed'"),
        (["check", "--timeout", "0", "targets.py"], "Invalid value for '--timeout'"),
        (["chek"], "No such command 'chek'"),
        (["check", "--no-such", "targets.py"], "No such option"),
        (["explain", "STAGE-2"], "there is no requirement 'STAGE-2'; did you mean STAGE-02"),
        (["explain", "STAGE-02", "LIFFE"], "there is no requirement 'LIFFE'; did you mean LIFE"),
        (["explain"], "Missing argument"),
        (["spec", "--spec", "0.9"], "0.9"),
        (["spec", "--json", "--spec", "0.9"], "there is no spec version '0.9'"),
        (["replay", "LIFE-01", "Plan(", "targets.py:good"], "the plan cannot be read"),
        (["top", "--interval", "0"], "Invalid value for '--interval'"),
        (["top", "--interval", "nan"], "Invalid value for '--interval'"),
        (["top", "--stalled-after", "inf"], "Invalid value for '--stalled-after': it must be a finite number"),
        (["top", "--pid", "x"], "Invalid value for '--pid'"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line(runtimeinfo: Any, arguments: list[str], message: str) -> None:
    ran = runtimeinfo(*arguments)
    assert ran.returncode == EX_USAGE
    assert message in " ".join(ran.stderr.replace("│", " ").split())
    assert ran.stdout == ""


def test_a_folder_for_reports_that_cannot_be_is_told_before_anything_is_run(runtimeinfo: Any) -> None:
    ran = runtimeinfo("check", "--report", "targets.py/reports", "targets.py:fails_subject")
    assert ran.returncode == EX_USAGE
    assert ran.stderr.startswith("runtimeinfo: ")
    assert "targets.py/reports" in ran.stderr
    assert ran.stdout == ""


# -- the other commands


def test_explain(runtimeinfo: Any) -> None:
    ran = runtimeinfo("explain", "stage-02")
    assert ran.returncode == 0
    assert ran.stdout.startswith("STAGE-02 (MUST, since spec 0.1)")
    assert REQUIREMENTS["STAGE-02"].text in ran.stdout
    assert "declares 'val'" in ran.stdout


def test_explain_of_a_group_and_of_several_requirements(runtimeinfo: Any) -> None:
    group = runtimeinfo("explain", "ORDER").stdout
    assert re.findall(r"^[A-Z]+-\d\d", group, re.MULTILINE) == [id for id in REQUIREMENTS if id.startswith("ORDER-")]
    assert group == runtimeinfo("explain", *[id for id in REQUIREMENTS if id.startswith("ORDER-")]).stdout
    both = runtimeinfo("explain", "STAGE-02", "order-01").stdout
    assert both == runtimeinfo("explain", "STAGE-02").stdout + "\n" + runtimeinfo("explain", "ORDER-01").stdout


def test_spec_is_written_as_json(runtimeinfo: Any) -> None:
    ran = runtimeinfo("spec", "--json", "--spec", "0.1")
    assert ran.returncode == 0
    assert json.loads(ran.stdout) == _explain.registry("0.1")


def test_spec_lists_each_requirement(runtimeinfo: Any) -> None:
    ran = runtimeinfo("spec")
    assert ran.returncode == 0
    listed = [line.split()[0] for line in ran.stdout.splitlines() if line.split()[0] in REQUIREMENTS]
    assert listed == list(REQUIREMENTS)
    assert runtimeinfo("spec", "--spec", SPEC_VERSION).stdout == ran.stdout
    first = runtimeinfo("spec", "--spec", "0.1").stdout
    assert "LIFE-01" in first
    assert "LIFE-10" not in first


def test_replay(runtimeinfo: Any) -> None:
    for subject, code in (("good", 0), ("bad", 1), ("fails_subject", 4)):
        assert runtimeinfo("replay", "COUNT-03", "Plan()", f"targets.py:{subject}").returncode == code
    assert runtimeinfo("replay", "FAIL-05", "Plan()", "targets.py:good").returncode == 3


def test_top_beside_a_run(runtimeinfo: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder / "boards"))
    ran = runtimeinfo("top", "--once")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "No run of this user is seen in" in ran.stdout
    with use_hub(MessageHub("beside", runtime_info={"experiment_name": "beside", "epoch": 3})):
        assert "beside" in runtimeinfo("top").stdout  # no terminal: once
        ran = runtimeinfo("top", "--once", "--json", "--pid", str(os.getpid()))
        (run,) = json.loads(ran.stdout)["runs"]
    assert (run["experiment_name"], run["epoch"], run["state"]) == ("beside", 3, "live")


def test_top_trusts_no_folder_that_is_open_to_others(
    runtimeinfo: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = folder / "boards"
    boards.mkdir()
    boards.chmod(0o755)
    monkeypatch.setenv(FOLDER_VARIABLE, str(boards))
    ran = runtimeinfo("top", "--once", "--json")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"runtimeinfo: {boards} is open to others")


def test_help_and_version(runtimeinfo: Any) -> None:
    ran = runtimeinfo("--help")
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in ("check", "check-trace", "replay", "explain", "spec", "top", "version"))
    assert "Examples: runtimeinfo top" in ran.stdout
    for command in ("check", "replay", "check-trace", "explain", "spec", "top"):
        assert f"Example: runtimeinfo {command}" in runtimeinfo(command, "--help").stdout
    ran = runtimeinfo("check", "--help")
    assert "quick" in ran.stdout
    assert "Exit codes: 0 conformant" in ran.stdout
    assert f"{HANG_SECONDS:g} by default." in " ".join(ran.stdout.replace("│", " ").split())
    assert runtimeinfo("version").stdout.strip() == __version__
    assert runtimeinfo("--version").stdout.strip() == __version__


def test_each_profile_is_a_choice() -> None:
    assert [name.value for name in ProfileName] == list(PROFILES)
