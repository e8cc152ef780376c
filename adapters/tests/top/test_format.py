from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo_adapters.top._format import (
    format_count,
    format_duration,
    format_rate,
    format_value,
    learning_rates,
    printable,
    shown_scalars,
)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("digits/resnet-18 [red]", "digits/resnet-18 [red]"),
        ("résumé 数字", "résumé 数字"),
        ("\x1b[2J\x07\r\n\x9b1m", r"\x1b[2J\x07\r\n\x9b1m"),
        ("a\u202eb\ud800\u200b", r"a\u202eb\ud800\u200b"),
        ("non\u00a0breaking", "non breaking"),
        ("x" * 5000, "x" * 200),
        ("heart \u2764\ufe0f", "heart \u2764"),
        ("q" + "\u0332" * 4 + "w\u0332", "q\u0332\u0332" + r"\u0332\u0332" + "w\u0332"),
    ],
)
def test_printable_escapes_what_a_terminal_obeys(given: str, shown: str) -> None:
    assert printable(given) == shown


def test_printable_in_ascii() -> None:
    assert printable("résumé 数", is_ascii=True) == r"r\xe9sum\xe9 \u6570"


@settings(deadline=None, derandomize=True, database=None)
@given(st.text(st.characters()), st.booleans())
def test_printable_text_contains_nothing_that_a_terminal_obeys(text: str, is_ascii: bool) -> None:
    shown = printable(text, is_ascii=is_ascii)
    assert shown.isprintable()
    shown.encode("ascii" if is_ascii else "utf-8")


@settings(deadline=None, derandomize=True, database=None)
@given(st.floats(), st.integers(-(2**63), 2**63))
def test_any_number_is_short(number: float, whole: int) -> None:
    shown = [format_value(number), format_rate(abs(number) or 1.0), format_duration(number), format_count(whole)]
    assert max(map(len, shown)) <= 18
    assert all(each.isascii() for each in shown)


@pytest.mark.parametrize(
    ("keys", "rates"),
    [
        (["train/loss", "train/lr"], {"train/lr"}),
        (["train/lr/head", "train/lr_1", "train/clr_loss"], {"train/lr/head", "train/lr_1"}),
        (["train/head.lr", "train/loss", "lr/loss"], {"train/head.lr"}),
        (["lr", "loss"], {"lr"}),
        ([], set()),
    ],
)
def test_keys_of_learning_rates(keys: list[str], rates: set[str]) -> None:
    assert learning_rates(keys) == rates


def test_scalars_are_ordered_by_stage_then_losses_then_first_update() -> None:
    keys = ["b", "a", "test/acc", "val/z", "val/loss", "train/z", "train/a", "train/aux_loss", "train/lr"]
    shown = ["train/lr", "train/aux_loss", "train/z", "train/a", "val/loss", "val/z", "test/acc", "b", "a"]
    assert shown_scalars(keys) == shown
