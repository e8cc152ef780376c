"""The files, commands and targets that CONTRIBUTING.md and RELEASING.md name are there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "conformance_tests" / "runtimeinfo_conformance"
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RELEASING = (ROOT / "RELEASING.md").read_text(encoding="utf-8")

FRAMEWORKS = sorted(
    path.stem for path in (KIT / "subjects").glob("[!_]*.py") if not re.match(r"reference_|\w+_hub$", path.stem)
)

# A path has a slash, or is a file; those of the kit, and of the registry, are told without the way there.
NAMES = re.findall(r"[`(]([\w./-]+)[`)]", PAGE + RELEASING)
PATHS = sorted(
    {name for name in NAMES if ("/" in name and name != ".venv/bin") or re.search(r"\.(py|txt|md|toml)$", name)}
)
BEGINNINGS = (ROOT, KIT, ROOT / "protocol" / "runtimeinfo")


@pytest.mark.parametrize("path", PATHS)
def test_each_path_is_there(path):
    assert any((beginning / path).exists() for beginning in BEGINNINGS)


# Lines that a reader types.
COMMANDS = [line.partition("#")[0].strip() for line in re.findall(r"^ *\$ (.+)$", PAGE, flags=re.MULTILINE)]
TARGETS = {*re.findall(r"`make ([\w-]+)`", PAGE + RELEASING)}
TARGETS |= {target for line in COMMANDS if line.startswith("make ") for target in line.split()[1:]}


def test_each_command_names_what_is_there():
    from runtimeinfo_conformance.command_line._target import find_subjects

    others = [line.split() for line in COMMANDS if not line.startswith("make ")]
    assert [words[0] for words in others] == [".venv/bin/python", ".venv/bin/runtimeinfo"]
    assert (ROOT / others[0][-1]).exists()
    (subject,) = find_subjects(others[1][-1])
    assert subject.name in FRAMEWORKS


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_each_make_target_is_there(target):
    done = subprocess.run(["make", "--dry-run", target], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_each_folder_of_the_kit_is_on_the_map():
    folders = {path.parent.name for path in KIT.glob("*/__init__.py")}
    assert {name for name in folders if f"| `{name}/` |" in PAGE} == folders


def test_each_folder_of_the_other_packages_is_on_the_map():
    packages = (ROOT / "protocol" / "runtimeinfo", ROOT / "adapters" / "runtimeinfo_adapters")
    folders = [path.parent for package in packages for path in package.glob("*/__init__.py")]
    assert [folder for folder in folders if f"| `{folder.relative_to(ROOT).as_posix()}/` |" not in PAGE] == []


@pytest.mark.parametrize("page", ["RELEASING.md", "SECURITY.md"])
def test_each_link_has_its_file(page):
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert "://" in target or (ROOT / target).exists(), target


DESIGN = [path for path in sorted((ROOT / "docs" / "design").glob("*.md")) if path.stem != "index"]


@pytest.mark.parametrize("page", DESIGN, ids=lambda path: path.stem)
def test_a_design_note_has_context_choice_and_what_was_rejected(page):
    headings = re.findall(r"^\*\*(.+?)\.\*\*", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == "Context"
    assert "Choice" in headings
    assert any(heading.lower().endswith("rejected") for heading in headings)


# What the files of a worked example have in common.
WORKED = {"LIFE-12": r"LIFE-12|early_stop|stop_after|stopped early", "Accelerate": r"[Aa]ccelerate"}


@pytest.mark.parametrize(("example", "sign"), WORKED.items())
def test_the_files_of_a_worked_example_are_about_it(example, sign):
    told = re.search(rf"worked example: {example}.*?\n\n((?:\|[^\n]*\n)+)", PAGE, re.DOTALL)[1]
    paths = [path for row in told.splitlines()[2:] for path in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(paths) >= 9
    for path in paths:
        assert re.search(sign, (ROOT / path).read_text(encoding="utf-8")), path


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_that_is_shown_is_that_of_the_kit(code):
    sources = [path.read_text(encoding="utf-8") for path in KIT.rglob("*.py")]
    assert any(code.strip() in source for source in sources)


def test_each_word_about_the_registry_is_an_argument_of_a_rule():
    import inspect

    from runtimeinfo.spec._requirements._rule import rule
    from runtimeinfo_conformance.mutants import Mutant

    named = set(re.findall(r"`(\w+)=`", PAGE))
    assert named == {"example", "needs", "party", "since", "when"}
    assert named <= {*inspect.signature(rule).parameters, *inspect.signature(Mutant).parameters}


def lacking(name):
    """Yield what an adapter lacks of that which CONTRIBUTING.md asks for."""
    for folder, prefix in (("adapters/runtimeinfo_adapters", ""), ("adapters/tests", "test_")):
        # The tests of the loop are a folder: they are the longest.
        if not ((ROOT / folder / f"{prefix}{name}.py").exists() or (prefix and (ROOT / folder / name).is_dir())):
            yield f"{folder}/{prefix}{name}.py"
    if not (ROOT / "docs" / "examples" / "digits" / f"train_{name}.py").exists():
        yield f"docs/examples/digits/train_{name}.py"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras, dev = project["project"]["optional-dependencies"], project["dependency-groups"]["dev"]
    pins = re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    extra = "torch" if name == "pytorch" else name
    if extra not in extras or extra not in dev[0]:
        yield f"an extra {extra!r} in pyproject.toml, which the group 'dev' has too"
    elif re.match(r"[\w-]+", extras[extra][0])[0] not in pins:
        yield f"a pin of {extras[extra][0]} in constraints.txt"
    for file, told in (
        ("adapters/runtimeinfo_adapters/_framework.py", f'"{extra}": Framework('),
        ("docs/api/frameworks.rst", f"automodule:: runtimeinfo_adapters.{'loop' if name == 'pytorch' else name}\n"),
        ("adapters/runtimeinfo_adapters/__init__.py", f"{name}`"),
        ("docs/adapters.md", f" {name} |"),
    ):
        if told not in (ROOT / file).read_text(encoding="utf-8"):
            yield f"{told.strip()!r} in {file}"


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_adapter_has_all_that_is_asked_for(name):
    missing = list(lacking(name))
    assert not missing, "\n".join(["CONTRIBUTING.md asks of an adapter for", *missing])


def test_an_adapter_that_lacks_all_is_told_each():
    assert len(list(lacking("nowhere"))) == len(set(lacking("nowhere"))) == 8
