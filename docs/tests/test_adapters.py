"""The table of features in docs/adapters.md is that of the adapters."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- features:begin -->\n")[2].partition("\n<!-- features:end -->")[0]
HEADER, _, *ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.split("\n\n")[1].splitlines()
]
CELLS = {title: dict(zip(HEADER[1:], cells, strict=True)) for title, *cells in ROWS}
# The loop stands in the table as `pytorch`, the framework that it is tried with.
ADAPTERS = sorted({path.stem for path in (ROOT / "adapters" / "runtimeinfo_adapters").glob("[!_]*.py")} - {"loop"})


@pytest.fixture(scope="module")
def features():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import adapter_features
    finally:
        sys.path.pop(0)
    return adapter_features


def test_table_is_fresh_and_has_each_adapter(features):
    assert features.feature_table() == TABLE, "run `make docs`"
    assert HEADER[1:] == sorted(features.COPIES) == ADAPTERS


@pytest.mark.parametrize("name", ADAPTERS)
def test_attach_and_its_keywords_are_those_of_the_module(name):
    module = importlib.import_module(f"runtimeinfo_adapters.{name}")
    taker = getattr(module, "attach", getattr(module, "Loop", None))
    target, *own, options = inspect.signature(taker).parameters
    assert options == "options"
    own = own if hasattr(module, "attach") else [target, *own]
    assert re.findall(r"`(\w+)`", CELLS["keywords of its own"][name]) == own
    assert (CELLS["`attach` and `detach`"][name] == "✓") == hasattr(module, "attach") == hasattr(module, "detach")


@pytest.mark.parametrize("name", ADAPTERS)
def test_class_that_works_alone_is_public(name):
    module = importlib.import_module(f"runtimeinfo_adapters.{name}")
    for alone in re.findall(r"`(\w+)`", CELLS["alone, without `attach`"][name]):
        assert alone in module.__all__


@pytest.mark.parametrize("name", ADAPTERS)
def test_private_members_stand_in_the_module(name):
    source = (ROOT / "adapters" / "runtimeinfo_adapters" / f"{name}.py").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)`", CELLS["private members that it relies on"][name])
    assert bool(named) == ("_PRIVATE" in source)
    assert all(f'"{member}"' in source for member in named)
