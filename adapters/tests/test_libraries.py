"""The scripts of `make libraries`, which trains with libraries that are not installed here: what is seen of them."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtimeinfo import use_hub
from runtimeinfo_adapters import MessageHub

FOLDER = Path(__file__).parents[2] / "libraries"
PAGE = FOLDER.parent / "docs" / "libraries.md"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "argv", [name])
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_script_pins_its_packages_and_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    run = load("run", monkeypatch)
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"run", "compare", "tiny"}
    assert scripts == set(run.ADAPTERS)
    page = PAGE.read_text(encoding="utf-8")
    for name in scripts:
        packages = run.packages_of(FOLDER / f"{name}.py")
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", package) for package in packages), name
        assert f"| `{name}` | {', '.join(packages).replace('==', ' ')} |" in page


def test_the_page_has_no_wrong_answer() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "wrong**" not in page
    assert page.count("`runtimeinfo run` |") == len(list(FOLDER.glob("*.py"))) - 3


@pytest.mark.parametrize(
    ("infos", "loss", "expected"),
    [
        (
            {"loop_stage": "train", "iter": 1, "epoch": 0},
            0.5,
            ["stage right", "iter right", "epoch right", "loss right"],
        ),
        ({"loop_stage": "val", "iter": 2, "epoch": 1}, 0.6, ["stage wrong", "iter wrong", "epoch wrong", "loss wrong"]),
        ({"iter": True}, None, ["stage absent", "iter wrong", "epoch absent", "loss absent"]),
    ],
)
def test_an_answer_is_right_absent_or_wrong(
    infos: dict[str, Any], loss: float | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = load("compare", monkeypatch).Comparison(iterations_per_epoch=2)
    hub = MessageHub("x")
    hub.update_info_dict(infos)
    if loss is not None:
        hub.update_scalar("train/loss", loss)
    comparison.finished(loss=0.5)
    with use_hub(hub):
        comparison.ask()
    assert comparison.answers == dict.fromkeys(expected, 1)
    assert len(comparison.faults) == sum(each.endswith("wrong") for each in expected)
