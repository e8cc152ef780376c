from __future__ import annotations

import ast
import importlib
import tomllib
import warnings
from importlib import metadata
from pathlib import Path

import pytest

from runtimeinfo_adapters._framework import FRAMEWORKS, UntestedVersionWarning, import_framework, load_framework

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = ROOT / "adapters" / "runtimeinfo_adapters"


def test_a_missing_framework_is_named_with_its_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"needs nowhere-at-all: pip install 'runtimeinfo\[nowhere\]'"):
        import_framework("nowhere_at_all", distribution="nowhere-at-all", extra="nowhere", at_least="1", below="2")


def test_a_missing_dependency_of_a_framework_raises_its_own_error(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "half_a_framework.py").write_text("import what_it_lacks")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'what_it_lacks'"):
        import_framework("half_a_framework", distribution="half", extra="half", at_least="1", below="2")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_missing_torch_is_named_with_the_extra_of_the_framework(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def import_without_torch(_: str) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(importlib, "import_module", import_without_torch)
    with pytest.raises(ModuleNotFoundError, match=rf"this adapter needs torch: pip install 'runtimeinfo\[{name}\]'"):
        load_framework(name)


def test_an_untried_version_warns_at_the_line_that_imports_the_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "an_adapter.py").write_text(
        "from runtimeinfo_adapters._framework import load_framework\nload_framework('torch')\n"
    )
    (tmp_path / "a_script.py").write_text("import an_adapter\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(metadata, "version", lambda _: "0.1")
    with pytest.warns(UntestedVersionWarning, match=r"torch 0\.1 is installed, .* 2\.6 or newer, below 3") as caught:
        importlib.import_module("a_script")
    assert caught[0].filename == str(tmp_path / "a_script.py")


@pytest.mark.parametrize(("at_least", "below"), [("999", "1000"), ("0.1", "0.2")])
def test_an_untried_version_is_reported_with_the_bounds(at_least: str, below: str) -> None:
    said = f"numpy {metadata.version('numpy')} is installed, .* tried with {at_least} or newer, below {below}"
    with pytest.warns(UntestedVersionWarning, match=said):
        import_framework("numpy", distribution="numpy", extra="none", at_least=at_least, below=below)


def test_a_tried_version_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert import_framework("numpy", distribution="numpy", extra="none", at_least="1.26", below="99").__name__


def bounds_of_calls() -> list[tuple[str, str]]:
    """Return the distribution and the lower bound of each call of `import_framework`, outside of its own module."""
    bounds: list[tuple[str, str]] = []
    for path in sorted(set(ADAPTERS.rglob("*.py")) - {ADAPTERS / "_framework.py"}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_framework":
                given = {each.arg: each.value for each in node.keywords}
                bounds.append((ast.literal_eval(given["distribution"]), ast.literal_eval(given["at_least"])))
    return bounds


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def test_lower_bounds_agree_with_the_extras() -> None:
    asked = {requirement for requirements in EXTRAS.values() for requirement in requirements}
    bounds = bounds_of_calls() + [(each.distribution, each.at_least) for each in FRAMEWORKS.values()]
    assert len(bounds) >= 8
    assert [f"{name}>={at_least}" for name, at_least in bounds if f"{name}>={at_least}" not in asked] == []


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_framework_is_in_the_extra_of_its_name(name: str) -> None:
    assert f"{FRAMEWORKS[name].distribution}>={FRAMEWORKS[name].at_least}" in EXTRAS[name]
