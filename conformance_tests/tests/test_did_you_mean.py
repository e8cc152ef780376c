from __future__ import annotations

import pytest

from runtimeinfo_conformance._did_you_mean import did_you_mean


@pytest.mark.parametrize(
    ("word", "said"), [("vall", "did you mean 'val'?"), ("x", "there are val, test"), (7, "there are val, test")]
)
def test_something_close_or_all_that_there_is(word: object, said: str) -> None:
    assert did_you_mean(word, iter(("val", "test"))) == said


def test_what_is_said_otherwise() -> None:
    assert did_you_mean("x", ["val"], "nothing like it") == "nothing like it"
    assert did_you_mean("vall", ["val"], "nothing like it") == "did you mean 'val'?"
