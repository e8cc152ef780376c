"""What CONTRIBUTING.md sends somebody to is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "conformance_tests" / "runtimeinfo_conformance"
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

# A path has a slash, or is a file; those of the kit, and of the registry, are told without the way there.
PATHS = sorted({name for name in re.findall(r"`([\w./]+)`", PAGE) if "/" in name or re.search(r"\.(py|txt)$", name)})
BEGINNINGS = (ROOT, KIT, ROOT / "protocol" / "runtimeinfo")


@pytest.mark.parametrize("path", PATHS)
def test_each_path_is_there(path):
    assert any((beginning / path).exists() for beginning in BEGINNINGS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)`", PAGE))))
def test_each_make_target_is_there(target):
    done = subprocess.run(["make", "--dry-run", target], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_each_folder_of_the_kit_is_on_the_map():
    folders = {path.parent.name for path in KIT.glob("*/__init__.py")}
    assert {name for name in folders if f"| `{name}/` |" in PAGE} == folders
    assert f"The kit has {['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven'][len(folders)]} rooms" in PAGE


def test_each_word_about_the_registry_is_an_argument_of_a_rule():
    import inspect

    from runtimeinfo._requirements._rule import rule
    from runtimeinfo_conformance.mutants import Mutant

    named = set(re.findall(r"`(\w+)=`", PAGE))
    assert named == {"example", "needs", "since", "when"}
    assert named <= {*inspect.signature(rule).parameters, *inspect.signature(Mutant).parameters}
