from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimeinfo.board.text import NotTextError, decode, encode

plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(plain)
def test_encoded_data_decodes_to_the_same_data(value: Any) -> None:
    found = decode(encode(value, max_length=10**9))
    assert found == value
    assert repr(found) == repr(value)  # a tuple is not a list, and 1 is not True


def test_nan_and_infinity_are_encoded() -> None:
    assert math.isnan(decode(encode(math.nan, max_length=10)))
    assert decode(encode([math.inf], max_length=100)) == [math.inf]


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), [1, [object()]], {"a": range(3)}])
def test_other_than_plain_data_is_refused(value: object) -> None:
    with pytest.raises(NotTextError):
        encode(value, max_length=10**9)


def test_data_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotTextError):
        encode(value, max_length=10**9)


def test_too_long_data_is_refused() -> None:
    with pytest.raises(NotTextError, match="too long"):
        encode([0] * 10**6, max_length=1000)
    with pytest.raises(NotTextError, match="too long"):
        encode("x" * 1001, max_length=1000)
    with pytest.raises(NotTextError, match="1,002 characters of 1,000"):  # with its quotes
        encode("x" * 1000, max_length=1000)
    assert encode("x" * 998, max_length=1000) == json.dumps("x" * 998)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "nul", '{"t": 1}', '{"t": [], "d": []}', '{"x": []}', '{"d": [[1]]}', '{"d": [[[1], 2]]}'),
        *("[" * 100_000, b"\xff"),
    ],
)
def test_other_text_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotTextError):
        decode(text)


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(NotTextError):
        encode(10**5000, max_length=10**9)
    with pytest.raises(NotTextError):
        decode("1" * 5000)


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}])
def test_depth_is_limited_so_that_a_reader_deep_in_calls_can_read_it(make: Any) -> None:
    value: Any = 1
    for _ in range(100):
        value = make(value)
    assert decode(encode(value, max_length=10**9)) == value
    with pytest.raises(NotTextError, match="nested more than 100 deep"):
        encode(make(value), max_length=10**9)


def test_int_is_limited_to_what_any_process_can_read() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(NotTextError, match="an int of 2,001 bits"):
            encode([2**2000], max_length=10**9)
        text = encode(2**2000 - 1, max_length=10**9)
        sys.set_int_max_str_digits(sys.int_info.str_digits_check_threshold)  # the lowest limit there is
        assert decode(text) == 2**2000 - 1
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("make", [lambda text: text, lambda text: [text], lambda text: {text: 1}])
def test_text_that_json_cannot_tell_from_another_is_refused(make: Any) -> None:
    halves = "\ud83d\ude00"
    assert decode(json.dumps(halves)) == "\U0001f600" != halves
    with pytest.raises(NotTextError, match="surrogate pair"):
        encode(make(halves), max_length=100)
    for text in ("\U0001f600", "\ude00\ud83d", "\ud83d \ude00"):
        assert decode(encode(make(text), max_length=100)) == make(text)
