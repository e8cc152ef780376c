"""The code of docs/several-processes.md runs; adapters/tests/several_processes tries what the page says."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtimeinfo.authoring import on_any_event

PAGE = (Path(__file__).resolve().parents[1] / "several-processes.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))


def run_as_shown(script, folder, aborted_by_torch):
    """Run a script of the page, demand that it prints what the page says, and return that."""
    (folder / script).write_text(FILES[script], encoding="utf-8")
    blocks = re.findall(r"```console\n\$ (.*?)\n(.*?)```", PAGE, flags=re.DOTALL)
    ((command, shown),) = [block for block in blocks if block[0].endswith(f" {script}")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if sys.platform == "linux":  # the name of this machine may not resolve
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    for _ in range(2):
        for written in folder.glob("*.jsonl"):
            written.unlink()
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, cwd=folder, env=environment, timeout=180, check=False
        )
        if not aborted_by_torch(done.stderr):
            break
    assert done.returncode == 0, done.stderr
    assert lines_of_ranks(done.stdout) == lines_of_ranks(shown) == shown.splitlines()
    return shown


def lines_of_ranks(text):
    """Return the lines, sorted: torchrun's ranks write a line and its end apart, so that those of two get mixed."""
    return sorted(re.findall(r"rank \d.*?(?=rank \d|$)", text.replace("\n", "")))


def test_the_script_prints_and_writes_what_the_page_says(tmp_path, aborted_by_torch):
    shown = run_as_shown("train.py", tmp_path, aborted_by_torch)
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["metrics.jsonl"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["iter"] for row in rows] == [0, 1, 2, 3]
    assert f"rank 0: 4 of 4 iterations, loss {rows[-1]['train/loss']:.3f}" in shown


def test_reduce_prints_what_the_page_says(tmp_path, aborted_by_torch):
    run_as_shown("evaluate.py", tmp_path, aborted_by_torch)


@on_any_event(by="note")
class Recorder:
    def __init__(self):
        self.events = []

    def note(self, event, runner, arguments):
        self.events.append((event, arguments.get("exception")))


def test_a_rank_that_lets_sigterm_raise_closes_its_scopes():
    from runtimeinfo_adapters.pytorch import Loop

    recorder = Recorder()
    before = signal.getsignal(signal.SIGTERM)
    try:
        exec(FILES["on_sigterm.py"], {})
        loop = Loop(train_loader=[1.0, 2.0], max_epochs=1, hooks=[recorder])
        with pytest.raises(SystemExit) as caught, loop.run():  # noqa: PT012
            for _ in loop.train():
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 143
    announced = [exception for event, exception in recorder.events if event == "on_exception"]
    assert announced == [caught.value]
    assert recorder.events[-1][0] == "after_run"
    assert loop.message_hub.get_info("loop_stage") is None


def test_a_rank_that_does_not_closes_nothing():
    script = """if True:
        import signal
        from runtimeinfo_adapters.pytorch import Loop

        class Prints:
            def before_train_iter(self, *_, **__): print("begun", flush=True)
            def on_exception(self, *_, **__): print("raised", flush=True)
            def after_run(self, *_): print("closed", flush=True)

        with Loop(train_loader=[1.0], hooks=[Prints()]).run() as loop:
            for _ in loop.train():
                signal.raise_signal(signal.SIGTERM)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert done.stdout.split() == ["begun"]
