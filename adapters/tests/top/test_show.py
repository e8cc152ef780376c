"""The command beside real runs, without a terminal, and its JSON."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import use_hub
from runtimeinfo.board import BoardIdentity, BoardScalar
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.top import Run, show
from runtimeinfo_adapters.top._json import json_document, json_line

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


NOW_NS = 1_700_000_000_500_000_000


def written(*runs: Run) -> dict[str, Any]:
    text = json_line(json_document(runs, NOW_NS))
    assert text.isascii()
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    read: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return read


def test_json_without_a_run(folder: Path) -> None:
    assert written() == {"version": 1, "time": 1_700_000_000.5, "folder": str(folder), "runs": []}


def test_json_has_each_member_of_a_run() -> None:
    run = Run(
        Path("boards/7-0.board"),
        7,
        "live",
        is_current=True,
        started_ns=NOW_NS,
        age_s=0.25,
        loop_stage="train",
        epoch=1,
        iter=12,
        max_epochs=2,
        max_iters=24,
        rate=4.0,
        eta_s=3.0,
        infos={"experiment_name": "digits", "seed": 0, "flag": True, "none": None, "cfg": "x" * 1001, "tuple": (1,)},
        scalars={"train/loss": BoardScalar(0.5, 2.0, 12)},
        unshared=1,
        identity=BoardIdentity(
            "node1", 1, 0, 4, "4711", "slurm", run_id="ab12", command=("python", "train.py"), is_check=True
        ),
    )
    assert written(run)["runs"] == [
        {
            "path": "boards/7-0.board",
            "pid": 7,
            "state": "live",
            "stalled": False,
            "elsewhere": False,
            "current": True,
            "check": True,
            "error": None,
            "started": 1_700_000_000.5,
            "age_s": 0.25,
            "host": "node1",
            "rank": 1,
            "local_rank": 0,
            "world_size": 4,
            "job": "4711",
            "scheduler": "slurm",
            "run_id": "ab12",
            "command": ["python", "train.py"],
            "experiment_name": "digits",
            "loop_stage": "train",
            "epoch": 1,
            "iter": 12,
            "max_epochs": 2,
            "max_iters": 24,
            "rate": 4.0,
            "eta_s": 3.0,
            "scalars": {"train/loss": {"value": 0.5, "count": 2.0, "updates": 12}},
            "infos": {"experiment_name": "digits", "seed": 0, "flag": True, "none": None},
            "unshared": 1,
        }
    ]


def test_json_of_a_damaged_board_has_the_same_members() -> None:
    good, bad = written(Run(Path("a"), 1, "live"), Run(Path("b"), 2, "damaged", error="it is short"))["runs"]
    assert good.keys() == bad.keys()
    assert (bad["error"], bad["iter"], bad["scalars"], bad["started"]) == ("it is short", None, {}, None)


def test_json_has_nan_and_infinity_as_text_that_float_reads() -> None:
    numbers = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
    scalars = {key: BoardScalar(value, value, 1) for key, value in numbers.items()}
    (run,) = written(Run(Path("a"), 1, "live", scalars=scalars, infos=numbers, rate=math.inf, eta_s=math.nan))["runs"]
    for key, value in numbers.items():
        assert run["scalars"][key]["value"] == run["scalars"][key]["count"] == run["infos"][key] == key
        assert repr(float(key)) == repr(value)
    assert (run["rate"], run["eta_s"]) == ("inf", "nan")


def test_json_keeps_texts_of_other_programs() -> None:
    evil = "\x1b[2J[red]\ud800\n"
    (run,) = written(Run(Path("a"), 1, "live", infos={"experiment_name": evil}, loop_stage=evil))["runs"]
    assert run["experiment_name"] == run["loop_stage"] == evil
