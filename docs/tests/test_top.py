"""The commands of docs/top.md print what the page shows, beside its training."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtimeinfo.board import FOLDER_VARIABLE
from runtimeinfo_adapters import top
from runtimeinfo_adapters.top._json import VERSION, json_document

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "top.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def shape(text):
    """Return what is shown, whatever the numbers, the bars and the curves are, and where the boards are."""
    title, *lines = text.splitlines()
    shown = "\n".join((title.partition(" live")[0], *lines))
    for pattern, mark in ((r"[\d.]+(e[+-]\d+)?", "#"), ("[━┄]+", "-"), ("[▁-█]+", "~"), (" +", " ")):
        shown = re.sub(pattern, mark, shown)
    return shown


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "boards"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def training(folder):
    script = folder / "train.py"
    script.write_text(re.search(r"<!-- file: train.py -->\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1])
    with subprocess.Popen([sys.executable, str(script)]) as process:
        try:
            deadline = time.monotonic() + 60
            runs = top.Runs()
            while not any(run.rate and run.scalars for run in runs.look()):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def test_beside_the_training_of_the_page_its_commands_print_what_it_shows(training):
    (shown,) = [block for block in blocks("console") if "--once" in block]
    command, expected = shown.removeprefix("$ ").split("\n", 1)
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, encoding="utf-8", check=True)
    assert shape(done.stdout) == shape(expected), done.stdout

    (script,) = [block for block in blocks("python") if "--json" in block]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(script, {})
    assert output.getvalue().strip() == re.search(r"print\(.*\)  # (.*)", script)[1]


def test_each_member_of_the_document_is_described():
    run = top.Run(Path("4711-0.board"), 4711, "live")
    found = json_document([run], 0)
    table = PAGE.partition("| member | is |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", [*row.split("|"), ""][1])]
    assert named == list(found["runs"][0])
    (sentence,) = [line for line in PAGE.splitlines() if line.startswith("The document has ")]
    assert set(re.findall(r"`(\w+)`", sentence)) == found.keys()
    assert f"`version`, which is {VERSION} and" in sentence


def test_each_key_of_the_help_is_on_the_page():
    from runtimeinfo_adapters.top._screens import KEYS

    def words(text):
        return {word for word in re.split(r"[\s,]+", text.replace("\\\\", "\\").replace("`", "")) if word}

    for name, rows in KEYS.items():
        table = PAGE.partition(f"| in the {name} | |")[2].partition("\n\n")[0]
        said = set().union(*(words(row.split("|")[1]) for row in table.splitlines()[2:]))
        helped = set().union(*(words(keys) for keys, _ in rows)) - {"second"}
        spelled = {",": "comma", ".": "period"}
        assert {spelled.get(word, word) for word in helped if word not in ("D", "*", "u")} <= said


def test_the_figures_are_those_of_the_code():
    from runtimeinfo_adapters.top import _json, _show, _watch

    for said, value in (
        ("as seen in the last {} seconds", _watch._RATE_WINDOW_S),
        ("texts of at most {:,} characters", _json._LONGEST_TEXT),
        ("there it is {} times as many seconds", _watch._OUTSIDE_TRAINING),
    ):
        assert said.format(int(value)) in PAGE
    assert (_watch._TIMES_USUAL, _watch._LINGERS_S, _show._ONCE_S, _show._ONCE_WITHOUT_RATE_S) == (10, 8, 0.5, 2)


def test_the_options_that_are_named_are_there():
    from typer.main import get_command

    from runtimeinfo_conformance.command_line._commands import app

    options = {option for each in get_command(app).commands["top"].params for option in each.opts}
    without_shell = re.sub(r"^```bash\n.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)  # other programs' options
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", without_shell)) <= options
