from __future__ import annotations

import pytest

from runtimeinfo_conformance.reports._text import fit, shown, shown_beside


@pytest.mark.parametrize("text", ["", "plain", "κ 😀 é", "two\nlines\tand a tab", "x" * 4000])
def test_valid_names_are_unchanged(text: str) -> None:
    assert fit(text) == text


def test_invalid_characters_are_escaped() -> None:
    assert fit("\x00\x1b[31m\r\x85\u202e\ud800\uffff") == r"\x00\x1b[31m\r\x85\u202e\ud800\uffff"


def test_a_long_text_is_cut_and_says_so() -> None:
    assert fit("x" * 5000) == f"{'x' * 4000} ... (1000 characters more)"


def test_a_broken_repr_is_told() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    assert shown(Broken()) == "<Broken: its repr raised ValueError>"


@pytest.mark.parametrize(
    ("expected", "observed", "texts"),
    [
        ("train", None, ("train", "None")),
        ("None", None, ("'None'", "None")),
        (1, "1", ("1", "'1'")),
        (1.0, 1, ("1.0", "1")),
        ({"lr": 0.5}, {}, ("{'lr': 0.5}", "{}")),
        ({"lr": 0.5}, {"lr": 0.25}, ("lr 0.5", "lr 0.25")),
        ({"epoch": 0, "stage": "val"}, {"epoch": 0, "stage": None}, ("epoch 0, stage 'val'", "epoch 0, stage None")),
        ({"where": {"epoch": 1}}, {"where": {}}, ("where {'epoch': 1}", "where {}")),
    ],
)
def test_different_values_are_told_apart(expected: object, observed: object, texts: tuple[str, str]) -> None:
    assert shown_beside(expected, observed) == texts
