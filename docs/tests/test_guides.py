"""The code of the guides runs, and prints what they show."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(GUIDES.glob("*.md"))}
del PAGES["run-without-a-change"]  # it has its own tests, in other processes
PAGES["index"] = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
EXAMPLES = [
    pytest.param(code, shown, id=f"{page}-{number}")
    for page, text in PAGES.items()
    if page != "index"
    for number, (code, shown) in enumerate(
        re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize(("code", "shown"), EXAMPLES)
def test_a_block_prints_what_the_page_shows(code, shown, capsys):
    if "import jax" in code:
        pytest.importorskip("jax", reason="JAX is not installed")
        pytest.importorskip("optax", reason="optax is not installed")
    exec(compile(code, "block", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == shown


def test_the_versions_that_the_page_names_are_those_that_the_block_of_jax_was_run_with():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    optax = pytest.importorskip("optax", reason="optax is not installed")
    said = PAGES["publish"].partition("<!-- jax:begin -->")[2].partition("<!-- jax:end -->")[0].strip()
    assert said == f"This block was run with JAX {jax.__version__} and optax {optax.__version__}."


def test_the_loop_of_numpy_runs_where_pytorch_cannot_be_imported():
    (code, shown) = next(each.values for each in EXAMPLES if "import numpy as np\n" in each.values[0])
    without = "import sys\nfor name in ('torch', 'jax'):\n    sys.modules[name] = None\n"
    done = subprocess.run([sys.executable, "-c", without + code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (shown, "", 0)


def test_every_block_is_tried():
    assert len(EXAMPLES) == sum(text.count("```python") for page, text in PAGES.items() if page != "index")


def test_the_start_page_prints_what_it_says(capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGES["index"], flags=re.MULTILINE | re.DOTALL)
    exec(compile(code, "block", "exec"), {})
    assert capsys.readouterr().out.strip() == code.rpartition("# ")[2].strip()


def test_the_commands_of_the_start_page_are_those_of_the_readme():
    (commands,) = re.findall(r"^```console\n(.*?)^```", PAGES["index"], flags=re.MULTILINE | re.DOTALL)
    assert commands in (ROOT / "README.md").read_text(encoding="utf-8")


ROWS = re.findall(r"^\| \S.*? \| `(\w+)` \| `(.+)` \| \[(\w+\.py)\]\((\S+)\) \|$", PAGES["publish"], flags=re.MULTILINE)


@pytest.mark.parametrize(("extra", "line", "name", "path"), ROWS, ids=[row[0] for row in ROWS])
def test_the_line_of_a_framework_stands_in_its_example(extra, line, name, path):
    example = GUIDES / path
    assert example.name == name == f"train_{extra}.py"
    assert line in example.read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]


def test_each_adapter_has_its_line():
    examples = {path.stem.removeprefix("train_") for path in (ROOT / "docs" / "examples" / "digits").glob("train_*.py")}
    assert {row[0] for row in ROWS} == examples - {"pytorch"}


def test_each_key_that_is_named_is_published():
    from runtimeinfo import use_hub
    from runtimeinfo_adapters import MessageHub
    from runtimeinfo_adapters.pytorch import Loop

    table = PAGES["read-the-hub"].partition("| key | is | from |")[2].partition("\n\n")[0]
    named = {key for row in table.splitlines() for key in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")}

    class Dataset(list):
        metainfo = property(lambda self: {"classes": ["a"]})

    hub = MessageHub("guide")
    loop = Loop(train_loader=Dataset([1.0]), max_epochs=1, seed=0, cfg="", experiment_name="guide", hub=hub)
    seen = set()
    with use_hub(hub), loop.run():
        for _ in loop.train():
            seen |= hub.runtime_info.keys()
    assert named <= seen
