"""No page names what is not there: a symbol, a requirement, a command or an option, a make target."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.rst")),
]


@pytest.fixture(scope="module")
def unknown_names():
    sys.path.insert(0, str(ROOT / "docs" / "extensions"))
    try:
        from names import unknown_names
    finally:
        sys.path.pop(0)
    return unknown_names


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_on_a_page_are_there(page, unknown_names):
    assert list(unknown_names(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Ask `runtimeinfo.current_hubs()`.", "runtimeinfo.current_hubs cannot be imported"),
        ("from runtimeinfo_adapters.pytorchs import Loop", "runtimeinfo_adapters.pytorchs cannot be imported"),
        ("It is COUNT-99.", "COUNT-99 is not a requirement"),
        ("`runtimeinfo chek`", "runtimeinfo chek is not a command"),
        ("`runtimeinfo check --verbos x`", "runtimeinfo check has no option --verbos"),
        ("```console\n$ runtimeinfo check --reports=x y.py\n```", "runtimeinfo check has no option --reports"),
        ("`runtimeinfo top --onces`", "runtimeinfo top has no option --onces"),
        ("`pytest --runtimeinfo-rep=x`", "pytest has no option --runtimeinfo-rep of ours"),
        ("`make dogs`", "make has no target dogs"),
        ("`KeyDiffersError`", "KeyDiffersError is not one of our names"),
        ("`MessageHub.shares()`", "MessageHub has no shares"),
        ("`hub.shares()`", "MessageHub has no shares"),
        ("`loop.epoch_s()`", "Loop has no epoch_s"),
    ],
)
def test_unknown_name_is_reported(text, problem, unknown_names):
    assert list(unknown_names(text)) == [problem]
