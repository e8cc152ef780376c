from __future__ import annotations

import pytest

from runtimeinfo.authoring import shown


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("it has none")


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), dict.fromkeys(range(200), "x" * 200)])
def test_what_is_long_is_cut(value: object) -> None:
    assert len(shown(value)) < 1_000


def test_what_is_short_is_shown_as_it_is() -> None:
    assert shown("7") == "'7'"
    assert shown([0.1, None]) == "[0.1, None]"


def test_a_repr_that_raises_does_not_hide_the_error() -> None:
    assert shown(Silent()).startswith("<Silent instance at ")


def test_an_int_that_has_no_repr_does_not_either() -> None:
    assert shown([10**9_000]) == "<list>"
