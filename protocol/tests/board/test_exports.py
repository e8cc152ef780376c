from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from types import FunctionType, ModuleType

import pytest

from runtimeinfo import board
from runtimeinfo.board import layout, process, text

PUBLIC = {"layout", "process", "text"}

EXPORTS = {
    name: value for name, value in vars(board).items() if not name.startswith("_") and not inspect.ismodule(value)
}


def test_only_modules_that_a_writer_needs_are_public() -> None:
    modules = {module.name for module in pkgutil.iter_modules(board.__path__)}
    assert {name for name in modules if not name.startswith("_")} == PUBLIC


def test_package_has_all_and_only_the_names_that_it_exports() -> None:
    assert set(EXPORTS) == set(board.__all__)
    assert len(board.__all__) == len(set(board.__all__))


@pytest.mark.parametrize("module", [layout, process, text])
def test_public_module_exports_all_that_it_defines(module: ModuleType) -> None:
    defined = {
        name
        for name, value in vars(module).items()
        if name[0] != "_"
        and name != "annotations"
        and not inspect.ismodule(value)
        and getattr(value, "__module__", module.__name__) == module.__name__
    }
    assert set(module.__all__) == defined


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_and_its_members_are_documented(name: str) -> None:
    value = EXPORTS[name]
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__
    members = vars(value) if inspect.isclass(value) else {}
    public = [what for member, what in members.items() if not member.startswith("_")]
    assert all(what.__doc__ for what in public if isinstance(what, property | FunctionType))


@pytest.mark.parametrize("module", [layout, process, text])
def test_every_function_of_a_public_module_is_documented(module: object) -> None:
    assert all(what.__doc__ for name, what in vars(module).items() if isinstance(what, FunctionType) and name[0] != "_")


def test_the_board_is_loaded_only_where_it_is_needed() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys, runtimeinfo; print('runtimeinfo.board' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "False\n"


def test_the_parts_of_a_board_do_not_overlap_and_fill_it() -> None:
    assert layout.HEADER_SIZE == 1024
    assert layout.entry_cell(0) * layout.CELL == layout.HEADER_SIZE
    assert layout.entry_cell(layout.MAX_ENTRIES) * layout.CELL == layout.INFO_OFFSET
    assert layout.INFO_OFFSET + layout.INFO_CAPACITY == layout.IDENTITY_OFFSET
    assert layout.IDENTITY_OFFSET + layout.IDENTITY_CAPACITY == layout.SIZE
    assert layout.NAME * layout.CELL + layout.MAX_NAME == layout.ENTRY_SIZE
    header = [value for name, value in vars(layout).items() if name in HEADER]
    assert len(header) == len(HEADER) == len(set(header))
    assert max(header) + layout.MAX_CLAIMS == layout.HEADER_CELLS
    assert min(header) > 0  # where the magic is


HEADER = {
    *("IS_VERSION", "IS_SIZE", "SEQUENCE", "PID", "PID_NAMESPACE", "STARTED", "CURRENT", "CLOSED"),
    *("CREATED_NS", "UPDATED_NS", "EPOCH", "ITER", "MAX_EPOCHS", "MAX_ITERS", "LOOP_STAGE"),
    *("ENTRIES", "UNSHARED_NUMBERS", "INFO_SEQUENCE", "INFO_LENGTH"),
    *("HUB", "RUN", "OTHER_RUN", "GENERATION", "CLAIMS", "IDENTITY_SEQUENCE", "IDENTITY_LENGTH", "FIRST_CLAIM"),
}
