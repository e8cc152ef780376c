from __future__ import annotations

import ast
import tomllib
import warnings
from importlib import metadata
from pathlib import Path

import pytest

from runtimeinfo_adapters._framework import UntestedVersionWarning, import_framework

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = ROOT / "adapters" / "runtimeinfo_adapters"


def test_what_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"needs nowhere-at-all: pip install 'runtimeinfo\[nowhere\]'"):
        import_framework("nowhere_at_all", distribution="nowhere-at-all", extra="nowhere", at_least="1", below="2")


def test_what_the_framework_itself_lacks_is_its_own_error(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "half_a_framework.py").write_text("import what_it_lacks")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'what_it_lacks'"):
        import_framework("half_a_framework", distribution="half", extra="half", at_least="1", below="2")


@pytest.mark.parametrize(("at_least", "below"), [("999", "1000"), ("0.1", "0.2")])
def test_a_version_that_was_not_tried_is_said_with_both(at_least: str, below: str) -> None:
    said = f"numpy {metadata.version('numpy')} is installed, .* tried with {at_least} or newer, below {below}"
    with pytest.warns(UntestedVersionWarning, match=said):
        import_framework("numpy", distribution="numpy", extra="none", at_least=at_least, below=below)


def test_a_version_that_was_tried_is_no_news() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert import_framework("numpy", distribution="numpy", extra="none", at_least="1.26", below="99").__name__


def bounds_in_the_code() -> list[tuple[str, str]]:
    """Return the distribution and the lower bound of each call of `import_framework`."""
    bounds: list[tuple[str, str]] = []
    for path in sorted(ADAPTERS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_framework":
                given = {each.arg: each.value for each in node.keywords}
                bounds.append((ast.literal_eval(given["distribution"]), ast.literal_eval(given["at_least"])))
    return bounds


def test_what_the_code_was_tried_with_is_what_the_extras_ask_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = {requirement for requirements in extras.values() for requirement in requirements}
    bounds = bounds_in_the_code()
    assert len(bounds) >= 8
    assert [f"{name}>={at_least}" for name, at_least in bounds if f"{name}>={at_least}" not in asked] == []
