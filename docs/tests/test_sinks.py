"""What docs/sinks.md says is tried: its code runs, and makes what it shows."""

import contextlib
import doctest
import inspect
import io
import re
import subprocess
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


def test_the_code_makes_what_the_page_shows(folder):
    training, reading = blocks("python")
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

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(reading, scope)
    assert output.getvalue().strip() == re.search(r"print\(.*\)  # (.*)", reading)[1]


def test_the_table_names_each_sink_and_its_extra():
    rows = re.findall(r"^\| `(\w+)\((\w*)\)` \| (\S+) \|", PAGE, flags=re.MULTILINE)
    assert {name for name, _, _ in rows} == {name for name in sinks.__all__ if not name.startswith("Sink")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name, argument, extra in rows:
        parameters = inspect.signature(getattr(sinks, name)).parameters
        assert not argument or next(iter(parameters)) == argument
        module = inspect.getsource(inspect.getmodule(getattr(sinks, name)))
        named = re.findall(r'extra="(\w+)"', module)
        assert re.findall(r"\[(\w+)\]", extra) == list(dict.fromkeys(named))
        assert set(named) <= extras.keys()


def test_the_defaults_are_as_said():
    for name in ("CSVWriter", "JSONLWriter", "TensorBoardWriter"):
        assert inspect.signature(getattr(sinks, name)).parameters["interval"].default == 10
    assert inspect.signature(sinks.ProgressBar).parameters["mininterval"].default == 0.1
