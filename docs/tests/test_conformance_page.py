"""What docs/conformance.md says is tried: its files are written, its commands run, and what they print is compared.

The blocks of a section run one after the other, in a folder that has all files of the page. ``# exits with N`` behind
a command tells its exit code, which is 0 otherwise; ``...`` in what it prints stands for anything.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from runtimeinfo.spec import CAPABILITIES
from runtimeinfo_conformance import Batch, Plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import EX_USAGE, ExitCode, Verdict

ROOT = Path(__file__).resolve().parents[2]
FRAMEWORK = ROOT / "docs" / "examples" / "third_party" / "myfw.py"

# A waiver on the page must not expire here.
IN_A_YEAR = (datetime.now(UTC).date() + timedelta(days=365)).isoformat()
PAGE = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8").replace("2027-03-31", IN_A_YEAR)

# How far it is, every so often: which of these lines there are depends on the machine.
PROGRESS = re.compile(r"^\w+: .* \d+/\d+ \(\d+ s\)\n", flags=re.MULTILINE)


class Block(NamedTuple):
    """A block of the page; `file` is where it belongs, if it says so."""

    file: str | None
    language: str
    text: str


def blocks_of(text):
    marked = r"(?:<!-- file: (\S+) -->\n)?(?:<!-- [^\n]* -->\n)?```(\w+)\n(.*?)^```$"
    found = re.findall(marked, text, flags=re.MULTILINE | re.DOTALL)
    return [Block(file or None, language, content) for file, language, content in found]


def sections():
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        yield pytest.param(blocks_of(text), id=title)


FILES = [block for block in blocks_of(PAGE) if block.file]


def commands_of(block):
    """Yield each command of a console block, its exit code, and what it must print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        exits = re.search(r"# exits with (\d+)$", line)
        yield line, int(exits[1]) if exits else 0, shown


def steps_of(recipe):
    """Return the command lines of a recipe for GitHub or GitLab."""
    jobs = recipe.get("jobs", recipe).values()
    return [line for job in jobs for line in job.get("script") or [s["run"] for s in job["steps"] if "run" in s]]


RECIPES = [block for block in FILES if block.language == "yaml"]

# How often each command line is there. What is there twice is run once: nothing that it needs has changed.
COMMANDS = Counter(
    [
        *(line for block in blocks_of(PAGE) if block.language == "console" for line, _, _ in commands_of(block)),
        *(line for recipe in RECIPES for line in steps_of(yaml.safe_load(recipe.text))),
    ]
)


def write_project(folder):
    for block in FILES:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """A project with the files of the page."""
    write_project(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(scope="module")
def ran():
    """What came out of a command line that is there more than once, and the project in which it was run."""
    return {}


@pytest.fixture
def run(folder, tmp_path, tmp_path_factory, ran):
    """Run a command line in the project, with the framework installed."""
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(FRAMEWORK, site)

    def in_folder(line, project):
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV", "GITHUB"))
        }
        environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{site}{os.pathsep}{project / 'tests'}",
            "PYTHONDONTWRITEBYTECODE": "",  # without its bytecode, pytest would rewrite all of Hypothesis each time
            "NO_COLOR": "1",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        }
        return subprocess.run(
            ["bash", "-c", line],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def in_project(line):
        if COMMANDS[line] < 2:
            return in_folder(line, folder)
        if line not in ran:
            project = tmp_path_factory.mktemp("shared")
            write_project(project)
            ran[line] = in_folder(line, project), project
        done, project = ran[line]
        shutil.copytree(project, folder, dirs_exist_ok=True)
        return done

    return in_project


def named_extras(line):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set(re.findall(r"runtimeinfo\[(\w+)\]", line))
    assert named, line
    return named <= extras.keys()


def run_console(run, block):
    for line, code, shown in commands_of(block):
        if line.startswith("pip install "):  # there is nothing to install from; the extra has to be there
            assert named_extras(line)
            continue
        ran = run(line)
        assert ran.returncode == code, f"{line}\n{ran.stdout}"
        printed = PROGRESS.sub("", ran.stdout)
        is_as_shown = doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)
        assert not shown or is_as_shown, f"{line}\nprinted:\n{printed}\nthe page shows:\n{shown}"


@pytest.mark.parametrize("blocks", [each for each in sections() if any(not block.file for block in each.values[0])])
def test_the_blocks_of_a_section_run(blocks, run, folder):
    for number, block in enumerate(blocks):
        if block.language == "console":
            run_console(run, block)
        elif block.language == "python" and block.file is None:
            (folder / f"block_{number}.py").write_text(block.text, encoding="utf-8")
            ran = run(f"python -W error block_{number}.py")
            assert ran.returncode == 0, ran.stdout


def test_each_block_is_of_a_kind_that_is_tried():
    assert {block.language for block in blocks_of(PAGE)} == {"console", "markdown", "python", "toml", "yaml"}
    assert PAGE.count("```") == 2 * len(blocks_of(PAGE))
    assert all(block.file for block in blocks_of(PAGE) if block.language in {"toml", "yaml"})


def test_the_waivers_are_without_trouble(folder):
    from runtimeinfo_conformance._waivers import load_waivers

    for block in FILES:
        if block.language == "toml":
            waivers = load_waivers(folder / block.file)
            assert waivers.troubles == ()
            assert len(waivers.entries) == block.text.count("[[waiver]]")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda block: block.file)
def test_the_commands_of_a_recipe_run(recipe, run, folder, tmp_path):
    data = yaml.safe_load(recipe.text)
    for line in steps_of(data):
        if line.startswith("pip install "):
            assert named_extras(line)
        elif "nightly" in line:  # minutes: that it is understood has to do
            ran = run(line.replace("tests/test_conformance.py", "nowhere.py"))
            assert ran.returncode == 4
            assert ran.stdout.startswith("runtimeinfo: there is no file nowhere.py; give")
        else:
            ran = run(line)
            assert ran.returncode == 0, f"{line}\n{ran.stdout}"
    for kept in re.findall(r"path: (\S+)$|paths: \[(\S+)\]$|junit: (\S+)$", recipe.text, flags=re.MULTILINE):
        assert (folder / "".join(kept)).exists()
    if "GITHUB_STEP_SUMMARY" in recipe.text:
        assert "myfw 1.0: Conformant" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def rows_below(header):
    table = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def code_in(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_plans_has_each_capability_and_names_what_is_there():
    rows = rows_below("| declared |")
    declared = [name for row in rows for name in code_in(row[0])]
    assert sorted(declared) == sorted(CAPABILITIES)
    for name in [re.split(r"[(]", name)[0] for row in rows for name in code_in(row[1])]:
        owner = Batch("train", 0, {}) if name.startswith("batch.") else Plan(metainfo={}).train_dataset()
        owner = owner if name.startswith("batch.") or name == "metainfo" else Plan()
        assert hasattr(owner, name.removeprefix("batch.")), name


def test_the_tables_of_profiles_verdicts_and_exit_codes_are_whole():
    assert [(row[0].strip("`"), int(row[1].replace(",", ""))) for row in rows_below("| profile |")] == [
        (name, profile.plans) for name, profile in PROFILES.items()
    ]
    assert [row[0].strip("`") for row in rows_below("| verdict |")] == [verdict.value for verdict in Verdict]
    assert [int(row[0]) for row in rows_below("| code |")] == [*ExitCode, EX_USAGE]


def test_tables_of_the_json_have_its_fields():
    from runtimeinfo_conformance.command_line._explain import registry

    data = registry()
    assert [name for row in rows_below("| field | what") for name in code_in(row[0])] == list(data)
    told = [name for row in rows_below("| field of a requirement |") for name in code_in(row[0])]
    assert sorted(told) == sorted(data["requirements"][0])


def test_the_order_of_several_verdicts_is_as_said():
    from runtimeinfo_conformance.command_line._commands import _GRAVITY

    said = re.search(r"the worst decides: (\d), then (\d), (\d), (\d), (\d)\.", PAGE)
    assert [int(code) for code in said.groups()] == list(_GRAVITY)
