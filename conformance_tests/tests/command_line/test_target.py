from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimeinfo_conformance.command_line._target import TargetError, find_subjects

FILE = """
from runtimeinfo_conformance import HubSubject, Subject, conformance

def run(plan, hooks): ...

one = Subject("one", "1", run=run)
other = HubSubject("other", "1", make=run)
test_one = conformance(one)

def make():
    return Subject("made", "1", run=run)

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path, modules = sys.path[:], set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "some_target.py"
    path.write_text(FILE)
    return path


def names(target: str) -> list[str]:
    return [subject.name for subject in find_subjects(target)]


def test_each_subject_of_a_file_once(file: Path) -> None:
    assert names(str(file)) == ["one", "other"]


@pytest.mark.parametrize(("name", "found"), [("one", "one"), ("other", "other"), ("test_one", "one"), ("make", "made")])
def test_a_subject_by_its_name(file: Path, name: str, found: str) -> None:
    assert names(f"{file}:{name}") == [found]


def test_a_module(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(file.parent))
    assert names("some_target") == ["one", "other"]
    assert names("some_target:make") == ["made"]
    assert names("runtimeinfo_conformance.subjects.pytorch:subject") == ["pytorch"]


def test_a_file_is_loaded_once_and_finds_its_neighbours(folder: Path) -> None:
    (folder / "neighbour_of_target.py").write_text("name = 'here'\nloaded = []\n")
    path = folder / "loaded_once.py"
    path.write_text(
        "import neighbour_of_target as it\nfrom runtimeinfo_conformance import Subject\n"
        "it.loaded.append(1)\nsubject = Subject(it.name, '1', run=print)\n"
    )
    assert names(f"{path}:subject") == names(str(path)) == ["here"]
    assert sys.modules["neighbour_of_target"].loaded == [1]


def test_a_file_does_not_take_the_place_of_a_library(folder: Path) -> None:
    import hypothesis

    path = folder / "hypothesis.py"
    path.write_text(FILE)
    assert names(str(path)) == names(str(path)) == ["one", "other"]
    assert sys.modules["hypothesis"] is hypothesis


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py", "^there is no file nowhere.py; give the path from /.*$"),
        ("nowhere", "^there is no module nowhere; a file needs its .py$"),
        ("nowhere.at.all", "^there is no module nowhere.at.all: "),
        ("", "^there is no module : "),
        ("json", "^json has no Subject; make one there"),
        ("json:dumps_", "^json has no 'dumps_'; it has no subject at all: make one there$"),
        ("runtimeinfo_conformance.subjects.pytorch:torch", "is no Subject, HubSubject or ReduceSubject, and no"),
    ],
)
def test_missing_targets(target: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        find_subjects(target)


def test_a_wrong_name_is_answered_with_the_right_ones(file: Path) -> None:
    with pytest.raises(TargetError, match="has no 'on'; it has one, other, test_one"):
        find_subjects(f"{file}:on")
    with pytest.raises(TargetError, match=r":number is no Subject"):
        find_subjects(f"{file}:number")


def test_a_file_that_cannot_be_loaded(folder: Path) -> None:
    path = folder / "broken_target.py"
    path.write_text("import nothing_of_this_name")
    for _ in range(2):  # it is not taken for loaded the second time
        with pytest.raises(TargetError, match="cannot be loaded: ModuleNotFoundError: No module named") as caught:
            find_subjects(str(path))
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_function_that_cannot_be_called(folder: Path) -> None:
    path = folder / "broken_maker.py"
    path.write_text("def make(needed): ...")
    with pytest.raises(TargetError, match="TypeError: make\\(\\) missing 1 required"):
        find_subjects(f"{path}:make")
