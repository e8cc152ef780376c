from __future__ import annotations

from types import ModuleType

import pytest

from runtimeinfo_conformance.guards._replacement import Replacement


@pytest.fixture
def module() -> ModuleType:
    module = ModuleType("module")
    module.name = "original"  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(("first", "between"), [("a", "b"), ("b", "a")])
def test_stand_ins_leave_in_any_order(module: ModuleType, first: str, between: str) -> None:
    replacement = Replacement(module, "name")
    replacement.push("a")
    replacement.push("b")
    assert module.name == "b"
    replacement.remove(first)
    assert module.name == between
    replacement.remove(between)
    assert module.name == "original"


def test_the_original_is_what_was_there_at_the_first_push(module: ModuleType) -> None:
    replacement = Replacement(module, "name")
    module.name = "patched by the user"  # type: ignore[attr-defined]
    replacement.push("a")
    module.name = "patched by the subject"  # type: ignore[attr-defined]
    replacement.remove("a")
    assert module.name == "patched by the user"
    assert replacement.original == "patched by the user"


def test_the_same_may_stand_in_twice(module: ModuleType) -> None:
    replacement = Replacement(module, "name")
    for _ in range(2):
        replacement.push("a")
    replacement.remove("a")
    assert module.name == "a"
    replacement.remove("a")
    assert module.name == "original"
