"""The command beside real runs, without a terminal, and its JSON."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from runtimeinfo import BoardError, use_hub
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.top import show

TOP = (
    sys.executable,
    "-c",
    "import sys; from runtimeinfo_conformance.command_line._cli import main; sys.exit(main())",
    "top",
)


def top(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOP, *options],
        env=os.environ | {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def streaming() -> Iterator[Any]:
    command = [*TOP, "--json", "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def shown(**options: Any) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        show(**options)
    return out.getvalue()


def test_real_training_is_shown_as_json_and_as_text(
    training: subprocess.Popen[bytes], wait_until: Callable[..., Any]
) -> None:
    def trains() -> dict[str, Any] | None:
        (run,) = json.loads(shown(once=True, as_json=True))["runs"]
        return run if run["rate"] and run["scalars"].keys() >= {"train/lr", "train/loss", "val/acc"} else None

    run = wait_until(trains)
    assert (run["pid"], run["state"], run["stalled"], run["current"]) == (training.pid, "live", False, True)
    assert (run["experiment_name"], run["max_epochs"], run["max_iters"]) == ("digits/[red]résumé", 100, 3000)
    assert run["loop_stage"] in ("train", "val")
    assert run["iter"] // 30 in (run["epoch"], run["epoch"] + 1)
    assert 0 < run["rate"] <= 150  # it sleeps for 20 ms in each iteration
    assert run["eta_s"] == pytest.approx((3000 - run["iter"]) / run["rate"])
    assert 0 <= run["age_s"] < 30
    assert run["scalars"]["train/lr"]["value"] == pytest.approx(0.05)
    assert run["scalars"]["train/loss"]["updates"] >= 30

    done = top("--once")
    assert (done.returncode, done.stderr) == (0, "")
    title, _, head, progress, *_ = done.stdout.splitlines()
    assert title.startswith("runtimeinfo top  1 live")
    assert head.startswith("● digits/[red]résumé ")
    assert f"pid {training.pid}" in head
    assert "/3000 " in progress
    assert "\x1b" not in done.stdout


def test_json_without_once_is_a_line_each_interval() -> None:
    hub = MessageHub("lines")
    iters: list[int] = []
    with use_hub(hub), streaming() as process:
        for iter in range(4):
            hub.update_info("iter", iter)
            while iter not in iters:
                iters += [run["iter"] for run in json.loads(process.stdout.readline())["runs"]]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert iters == sorted(iters)


def test_output_without_a_run() -> None:
    assert "No run of this user is seen" in shown()  # an output that is not a terminal
    assert "No run of this user is seen" in shown(once=True)
    assert json.loads(shown(once=True, as_json=True))["runs"] == []


def test_output_names_the_process_that_does_not_run() -> None:
    with use_hub(MessageHub("ours", runtime_info={"experiment_name": "ours"})):
        said = shown(pid=os.getppid())
    assert f"No run of process {os.getppid()} is seen" in said
    assert "Without --pid" in said


def test_import_without_rich_names_the_extra() -> None:
    code = "import sys; sys.modules['rich'] = None; import runtimeinfo_adapters.top"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "runtimeinfo_adapters.top needs rich: pip install 'runtimeinfo[top]'" in done.stderr


def test_output_of_one_process() -> None:
    with use_hub(MessageHub("ours", runtime_info={"experiment_name": "ours"})):
        assert "ours" in shown(pid=os.getpid())
        assert "ours" not in shown(pid=os.getppid())


def test_output_in_ascii() -> None:
    with use_hub(MessageHub("ascii", runtime_info={"experiment_name": "résumé", "iter": 1, "max_iters": 2})):
        done = top("--once", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"* r\xe9sum\xe9" in done.stdout
    assert "#####....." in done.stdout


@pytest.mark.parametrize("variables", [{"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}])
def test_output_has_colours_on_request(variables: dict[str, str]) -> None:
    with use_hub(MessageHub("colours", runtime_info={"experiment_name": "colours"})):
        done = top(**variables)
    assert done.returncode == 0
    assert ("\x1b[32m" in done.stdout) is ("NO_COLOR" not in variables)
    assert "\x1b[?1049h" not in done.stdout  # no screen of its own


def test_reader_can_stop_reading() -> None:
    with streaming() as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


def test_runs_of_the_kit_are_shown_on_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIMEINFO_CHECK", "1")
    with use_hub(MessageHub("check", runtime_info={"experiment_name": "checked"})):
        assert "checked" not in shown(once=True)
        assert json.loads(shown(once=True, as_json=True))["runs"] == []
        assert "checked" in shown(once=True, checks=True)
        done = top("--once", "--json", "--kit")
    (run,) = json.loads(done.stdout)["runs"]
    assert (run["experiment_name"], run["check"]) == ("checked", True)


def test_ranks_of_a_job_are_one_block_and_each_a_run_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-17")
    with ExitStack() as stack:
        for rank in (0, 1):
            monkeypatch.setenv("RANK", str(rank))
            stack.enter_context(use_hub(MessageHub(f"rank-{rank}", runtime_info={"experiment_name": "ddp"})))
        done = top("--once")
        runs = json.loads(shown(once=True, as_json=True))["runs"]
    assert re.search(r"^▸ ddp +2 ranks  \d+(\.\d)? s ago$", done.stdout, re.MULTILINE), done.stdout
    assert sorted((run["rank"], run["world_size"], run["job"]) for run in runs) == [(0, 2, "job-17"), (1, 2, "job-17")]


def test_runs_of_all_users_are_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BoardError, match="root"):
        show(once=True, all_users=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look at the boards of all users")
def test_root_sees_the_runs_of_all_users() -> None:
    with use_hub(MessageHub("ours", runtime_info={"experiment_name": "ours"})):
        done = top("--once", "--all-users")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ours" in done.stdout
