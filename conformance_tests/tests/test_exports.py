from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

import runtimeinfo_conformance as kit
from runtimeinfo_conformance import guards, observation, plans, search

each_export = pytest.mark.parametrize("name", kit.__all__)


@each_export
def test_an_export_is_there_and_documented(name: str) -> None:
    value: Any = getattr(kit, name)
    assert value.__module__.startswith(f"{kit.__name__}.")
    assert "._" in value.__module__
    assert inspect.getdoc(value)
    assert getattr(kit, name) is value
    assert name in dir(kit)


@pytest.mark.parametrize("package", [guards, observation, plans, search], ids=lambda package: package.__name__)
def test_a_package_of_the_kit_has_its_exports(package: Any) -> None:
    assert len(set(package.__all__)) == len(package.__all__) > 0
    assert [name for name in package.__all__ if getattr(package, name, None) is None] == []


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    (block,) = [node for node in ast.parse(Path(kit.__file__).read_text()).body if isinstance(node, ast.If)][:1]
    imported = {
        alias.name: str(node.module).removeprefix(f"{kit.__name__}.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == sorted(kit.__all__)
    assert imported == kit._HOMES


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'runtimeinfo_conformance' has no attribute 'subjcet'"):
        kit.subjcet  # noqa: B018


def test_importing_it_loads_nothing_else(in_process: Any) -> None:
    code = "import sys; before = set(sys.modules); import runtimeinfo_conformance; print(*set(sys.modules) - before)"
    loaded = in_process("-c", code).stdout.split()
    assert "runtimeinfo_conformance" in loaded
    assert not {"numpy", "hypothesis", "pytest", "runtimeinfo", "runtimeinfo_adapters"} & set(loaded)
