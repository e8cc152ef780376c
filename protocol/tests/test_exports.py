from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import runtimeinfo

_EVERY_MODULE = [
    importlib.import_module(module.name) for module in pkgutil.walk_packages(runtimeinfo.__path__, "runtimeinfo.")
]
# The board has exports of its own: see board/test_exports.py.
MODULES = [module for module in _EVERY_MODULE if not module.__name__.startswith("runtimeinfo.board")]

# What only the modules of this package share.
GROUPS = {"LIFE", "STAGE", "COUNT", "META", "SCALAR", "HUB", "RESUME", "FAIL", "ORDER", "SHARE", "DIST"}
INTERNAL = {"Level", "Parent", "ParentsRun", "Party", "SCALAR_OF", "missing_between", "rule", *GROUPS}

EXPORTS: dict[str, Any] = {name: getattr(runtimeinfo, name) for name in runtimeinfo.__all__}

each_callable = pytest.mark.parametrize(
    "name", [name for name, value in EXPORTS.items() if inspect.isclass(value) or inspect.isfunction(value)]
)


def defined_in(module: ModuleType) -> set[str]:
    """Return the public names which a module defines, not those which it imports."""
    tree = ast.parse(inspect.getsource(module))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_") or name == "__version__"}


def test_the_package_has_all_and_only_the_names_it_exports() -> None:
    names = {
        name for name, value in vars(runtimeinfo).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert names | {"__version__"} == set(runtimeinfo.__all__)
    assert len(runtimeinfo.__all__) == len(set(runtimeinfo.__all__))


def test_nothing_public_is_missing() -> None:
    defined = set().union(*map(defined_in, MODULES))
    assert defined - INTERNAL == set(runtimeinfo.__all__)
    assert defined >= INTERNAL


def test_every_module_is_private_and_documented() -> None:
    assert MODULES
    assert all(module.__name__.rpartition(".")[2].startswith("_") and module.__doc__ for module in MODULES)


@each_callable
def test_a_class_or_function_is_documented(name: str) -> None:
    value = EXPORTS[name]
    documented = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert documented
    assert not documented.startswith(f"{name}("), "a dataclass or tuple has made this up"


@each_callable
def test_its_public_members_are_documented(name: str) -> None:
    value = EXPORTS[name]
    members: dict[str, Any] = vars(value) if inspect.isclass(value) else {}
    undocumented = [
        member
        for member, what in members.items()
        if isinstance(what, property | FunctionType) and not member.startswith("_") and not what.__doc__
    ]
    assert undocumented == []


def test_a_constant_is_documented() -> None:
    undocumented = set()
    for module in MODULES:
        body = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8")).body
        for node, following in zip(body, [*body[1:], ast.Pass()], strict=True):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                text = following.value if isinstance(following, ast.Expr) else None
                if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
                    undocumented.add(node.targets[0].id)
    assert undocumented & set(runtimeinfo.__all__) == {"__version__"}
