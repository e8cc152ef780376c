from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType
from typing import Any, get_type_hints

import pytest

import runtimeinfo_adapters
from runtimeinfo import RunnerError
from runtimeinfo_adapters import RunOptions
from runtimeinfo_adapters._framework import FRAMEWORKS

ADAPTERS = ("accelerate", "ignite", "keras", "lightning", "mmengine", "transformers")
WITH_CALLBACK = ("ignite", "keras", "lightning", "transformers")
OPTIONS = {"hub": None, "hooks": (), "cfg": None, "seed": None, "experiment_name": None}


def adapter(name: str) -> Any:
    return importlib.import_module(f"runtimeinfo_adapters.{name}")


def public_modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(runtimeinfo_adapters.__path__, "runtimeinfo_adapters.")
    names = [module.name for module in found if "._" not in module.name]
    return [runtimeinfo_adapters, *map(importlib.import_module, names)]


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_a_public_module_says_what_it_exports(module: Any) -> None:
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__) > 0
    undocumented = [name for name in module.__all__ if not getattr(module, name).__doc__]
    assert undocumented == []
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }
    assert own <= set(module.__all__)


@pytest.mark.parametrize("name", ["top", "export"])
def test_board_readers_load_no_hub(name: str) -> None:
    code = (
        f"import sys, runtimeinfo_adapters.{name}; print({{'numpy', 'runtimeinfo_adapters.hub'}} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_package_has_its_exports_alone() -> None:
    assert set(runtimeinfo_adapters.__all__) <= set(dir(runtimeinfo_adapters))
    with pytest.raises(AttributeError, match="module 'runtimeinfo_adapters' has no attribute 'MesageHub'"):
        _ = runtimeinfo_adapters.MesageHub  # type: ignore[attr-defined]


def test_every_framework_is_a_module_or_the_loop() -> None:
    assert set(FRAMEWORKS) == {*ADAPTERS, "torch"}


@pytest.mark.parametrize("name", ADAPTERS)
def test_attach_has_one_shape(name: str) -> None:
    parameters = list(inspect.signature(adapter(name).attach).parameters.values())
    assert parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters[0].default is inspect.Parameter.empty
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    assert "RunOptions" in str(parameters[-1].annotation)
    assert set(get_type_hints(RunOptions)) == set(OPTIONS)
    (target,) = inspect.signature(adapter(name).detach).parameters.values()
    assert target.name == parameters[0].name


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("target", [object(), None, "trainer", type], ids=["object", "None", "text", "class"])
def test_a_wrong_target_is_one_class_of_error(name: str, target: Any) -> None:
    with pytest.raises(RunnerError):
        adapter(name).attach(target)


@pytest.mark.parametrize("name", WITH_CALLBACK)
def test_a_callback_takes_every_run_option(name: str) -> None:
    adapter(name).RuntimeInfoCallback(**OPTIONS)
    with pytest.raises(TypeError, match="unexpected keyword argument 'experiment': did you mean 'experiment_name'"):
        adapter(name).RuntimeInfoCallback(experiment="digits")
