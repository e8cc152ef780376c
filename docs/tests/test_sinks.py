"""The code of docs/sinks.md runs, and makes what the page shows."""

import contextlib
import doctest
import inspect
import io
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runtimeinfo_adapters import sinks

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sinks.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    return tmp_path


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_code_of_the_page_makes_what_it_shows(folder):
    if "PYTEST_XDIST_WORKER" in os.environ:  # its signals and its stderr need a process without other tests
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        arguments = ["-q", "-p", "no:cacheprovider", f"{__file__}::test_code_of_the_page_makes_what_it_shows"]
        alone = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments], capture_output=True, text=True, env=environment, cwd=ROOT
        )
        assert alone.returncode == 0, alone.stdout + alone.stderr
        return
    training, reading, interrupted, stopped, own_sink = blocks("python")
    scope = {}
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown):
        exec(training, scope)
    assert shown.getvalue().startswith("train: 100% 40/40 ")
    assert sorted(path.name for path in (folder / "run").iterdir()) == ["metrics.csv", "metrics.jsonl", "tensorboard"]

    (block,) = blocks("console")
    command, expected = block.removeprefix("$ ").split("\n", 1)
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS), printed

    for script in (reading, own_sink):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(script, scope)
        assert output.getvalue().strip() == re.search(r"print\(.*\)  # (.*)", script)[1]

    handler = signal.getsignal(signal.SIGTERM)
    for script, printed in zip((interrupted, stopped), blocks("text"), strict=True):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(script, scope)
        assert output.getvalue() == printed
    assert signal.getsignal(signal.SIGTERM) is handler


def test_table_names_each_sink_and_its_extra():
    rows = re.findall(r"^\| `([A-Z]\w+)\((\w*)\)` \| (\S+) \|", PAGE, flags=re.MULTILINE)
    written = {name for name in sinks.__all__ if hasattr(getattr(sinks, name), "after_train_iter")} - {"RowSink"}
    assert {name for name, _, _ in rows} == written
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name, argument, extra in rows:
        parameters = inspect.signature(getattr(sinks, name)).parameters
        assert not argument or next(iter(parameters)) == argument
        module = inspect.getsource(inspect.getmodule(getattr(sinks, name)))
        named = re.findall(r'extra="(\w+)"', module)
        assert re.findall(r"\[(\w+)\]", extra) == list(dict.fromkeys(named))
        assert set(named) <= extras.keys()


def test_table_of_a_sinks_methods_names_each_public_one():
    table = PAGE.partition("| method | called | purpose |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)\((.*)\)` \|", table, flags=re.MULTILINE)
    hook_points = ("before_", "after_", "on_")
    public = [
        (name, ", ".join([*inspect.signature(method).parameters][1:]))
        for name, method in vars(sinks.RowSink).items()
        if inspect.isfunction(method) and not name.startswith(("_", *hook_points))
    ]
    assert named == public
    assert {name for name, _ in named[:2]} == sinks.RowSink.__abstractmethods__


def test_defaults_are_those_of_the_page():
    for name in ("CSVWriter", "JSONLWriter", "TensorBoardWriter"):
        assert inspect.signature(getattr(sinks, name)).parameters["interval"].default == 10
    assert inspect.signature(sinks.ProgressBar).parameters["mininterval"].default == 0.1
