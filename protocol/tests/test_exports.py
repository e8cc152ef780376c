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
import runtimeinfo.authoring
import runtimeinfo.spec

_EVERY_MODULE = [
    importlib.import_module(module.name) for module in pkgutil.walk_packages(runtimeinfo.__path__, "runtimeinfo.")
]
# The board has its own exports: see board/test_exports.py.
MODULES = [module for module in _EVERY_MODULE if not module.__name__.startswith("runtimeinfo.board")]
PUBLIC = {module.__name__: module for module in (runtimeinfo, runtimeinfo.spec, runtimeinfo.authoring)}

# What only the modules of this package share.
GROUPS = {"LIFE", "STAGE", "COUNT", "META", "SCALAR", "HUB", "RESUME", "FAIL", "ORDER", "SHARE", "SCOPE", "DIST"}
INTERNAL = {
    "NO_RUN",
    "Parent",
    "SCALAR_OF",
    "STATE_VERSION",
    "StandIn",
    "UNKNOWN_RUNS",
    "WorkerOrigin",
    "WorkerRunReader",
    "get_innermost",
    "ignore_generators",
    "is_entered",
    "leave_hub",
    "lock",
    "missing_between",
    "number_run",
    "origin_of",
    "own_hub",
    "reference",
    "rule",
    "run_count",
    "send_origin_to_workers",
    "shared_hubs",
    "warn_user",
    "was_entered_at_fork",
    *GROUPS,
}

EXPORTS: dict[str, Any] = {
    f"{module.__name__}.{name}": getattr(module, name) for module in PUBLIC.values() for name in module.__all__
}

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


@pytest.mark.parametrize("module", PUBLIC.values(), ids=PUBLIC)
def test_a_public_module_has_all_and_only_the_names_it_exports(module: ModuleType) -> None:
    names = {name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert names | ({"__version__"} & set(module.__all__)) == set(module.__all__)
    assert len(module.__all__) == len(set(module.__all__))


def test_each_name_is_public_in_one_place() -> None:
    exported = [name for module in PUBLIC.values() for name in module.__all__]
    assert sorted(exported) == sorted(set(exported))


def test_a_user_needs_few_names() -> None:
    assert len(runtimeinfo.__all__) <= 30


def test_nothing_public_is_missing() -> None:
    defined = set().union(*map(defined_in, MODULES))
    exported = {name for module in PUBLIC.values() for name in module.__all__}
    assert defined - INTERNAL == exported
    assert defined >= INTERNAL


def test_every_module_is_private_and_documented() -> None:
    assert MODULES
    private = [module for module in MODULES if module.__name__ not in PUBLIC]
    assert all(module.__name__.rpartition(".")[2].startswith("_") for module in private)
    assert all(module.__doc__ for module in MODULES)


@each_callable
def test_a_class_or_function_is_documented(name: str) -> None:
    value = EXPORTS[name]
    documented = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert documented
    assert not documented.startswith(f"{name.rpartition('.')[2]}("), "a dataclass or tuple has made this up"


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
    assert undocumented & {name for module in PUBLIC.values() for name in module.__all__} == {"__version__"}
