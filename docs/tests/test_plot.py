"""The code and the commands of docs/plot.md make what the page shows."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plot.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def shape(text):
    """Return what is drawn, whatever the numbers and the curves are."""
    for pattern, mark in ((r"[\d.]+", "#"), ("[\u2800-\u28ff]+", "~"), ("~ +", "~"), (" +", " ")):
        text = re.sub(pattern, mark, text)
    return [line.rstrip(" ~") for line in text.splitlines()]


def test_code_and_commands_of_the_page_make_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name, value in (("OMP_NUM_THREADS", "1"), ("PYTHONIOENCODING", "utf-8"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "RANK"):
        monkeypatch.delenv(name, raising=False)
    training, *scripts = blocks("python")
    exec(training, {})

    commands = [block for block in blocks("console") if "metrics.csv" in block]
    shown = [command.removeprefix("$ ").split("\n", 1) for command in commands if not command.startswith("$ pip")]
    assert len(shown) == 2
    for command, expected in shown:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, encoding="utf-8", check=True)
        assert shape(done.stdout) == shape(expected), done.stdout
    with Image.open("losses.png") as made, Image.open(ROOT / "docs" / "plot.png") as picture:
        assert made.size == picture.size

    for script, printed in zip(scripts, blocks("text"), strict=True):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(script, {})
        assert shape(output.getvalue()) == shape(printed), output.getvalue()
    with Image.open("one.png") as made:
        assert made.format == "PNG"


def test_each_option_is_in_the_table():
    from typer.main import get_command

    from runtimeinfo_conformance.command_line._commands import app

    table = PAGE.partition("| option | |")[2].partition("\n\n")[0]
    options = {option for each in get_command(app).commands["plot"].params for option in each.opts if "-" in option}
    assert set(re.findall(r"`(-[\w-]+)`", table)) == options


def test_each_axis_and_each_usual_column_is_named():
    from runtimeinfo_adapters.plot import _curves, _panels, _table

    assert all(f"`{axis}`" in PAGE for axis in _curves.AXES)
    assert "`, `".join(_table._STEPS[:3]) in PAGE
    assert f"the first {_panels.MOST_PANELS} have a panel" in PAGE


@pytest.mark.parametrize("name", ["read_source", "picture_of", "figure_of"])
def test_functions_that_are_named_are_exported(name):
    import runtimeinfo_adapters.plot as plot

    assert name in plot.__all__
    assert f"`{name}`" in PAGE
