from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimeinfo_adapters.top import _text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("digits/resnet-18 [red]", "digits/resnet-18 [red]"),
        ("résumé 数字", "résumé 数字"),
        ("\x1b[2J\x07\r\n\x9b1m", r"\x1b[2J\x07\r\n\x9b1m"),
        ("a\u202eb\ud800\u200b", r"a\u202eb\ud800\u200b"),
        ("non\u00a0breaking", "non breaking"),
        ("x" * 5000, "x" * 200),
    ],
)
def test_a_text_of_somebody_else(given: str, shown: str) -> None:
    assert _text.plain(given) == shown


def test_where_there_is_nothing_but_ascii() -> None:
    assert _text.plain("résumé 数", is_ascii=True) == r"r\xe9sum\xe9 \u6570"


@settings(deadline=None, derandomize=True, database=None)
@given(st.text(st.characters()), st.booleans())
def test_whatever_it_is_a_terminal_obeys_nothing_in_it(text: str, is_ascii: bool) -> None:
    shown = _text.plain(text, is_ascii=is_ascii)
    assert shown.isprintable()
    shown.encode("ascii" if is_ascii else "utf-8")


@settings(deadline=None, derandomize=True, database=None)
@given(st.floats(), st.integers(-(2**63), 2**63))
def test_whatever_the_number_is_it_is_short(number: float, whole: int) -> None:
    shown = [_text.value(number), _text.rate(abs(number) or 1.0), _text.duration(number), _text.count(whole)]
    assert max(map(len, shown)) <= 18
    assert all(each.isascii() for each in shown)
