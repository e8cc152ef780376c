from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from runtimeinfo_adapters.export._labels import MAX_LENGTH, label_value

TEXTS = st.text(st.characters(categories=None, exclude_categories=()), max_size=200) | st.text(r"\x0un", max_size=12)


@given(TEXTS)
def test_a_label_is_printable_bounded_and_can_be_encoded(text: str) -> None:
    value = label_value(text)
    value.encode()
    assert value.isprintable()
    assert len(value) <= MAX_LENGTH


@given(TEXTS, TEXTS)
@example("\x00", r"\x00")
@example("\\", r"\\")
@example("\n", r"\n")
@example("a" * 200, "a" * 199)
@example("\ud800", r"\ud800")
@example("\ud800", "\ud801")
def test_different_texts_stay_apart(first: str, second: str) -> None:
    assert (label_value(first) == label_value(second)) is (first == second)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"], exclude_characters="\\"), max_size=MAX_LENGTH))
def test_an_ordinary_name_stays_as_it_is(text: str) -> None:
    assert label_value(text) == text
