from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo._user_warning import _installed, warn_user


class Warned(UserWarning):
    """Of these tests."""


def test_warning_points_at_the_line_that_is_not_of_an_installed_package() -> None:
    own = {"__name__": "runtimeinfo_adapters.something", "warn_user": warn_user, "Warned": Warned}
    exec("def warn(*_): warn_user('message', Warned)", own)

    @contextlib.contextmanager
    def scope() -> Generator[None]:
        own["warn"]()
        yield

    def through_the_standard_library() -> None:
        json.JSONEncoder(default=own["warn"]).encode(object())

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.ExitStack() as stack:
            stack.enter_context(scope())
        through_the_standard_library()
    assert [each.filename for each in caught] == [__file__] * 2
    lines = Path(__file__).read_text().splitlines()
    assert "own[" in lines[caught[0].lineno - 1]
    assert "JSONEncoder" in lines[caught[1].lineno - 1]


def test_warning_is_shown_once_a_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn_user("message", Warned)
    assert len(caught) == 1


def raise_it(*_: object, **__: object) -> None:
    raise ValueError("of the user")


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_warning_that_is_an_error_is_written_and_not_raised(stderr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_user("message", Warned)
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", raise_it)
        warn_user("another", Warned)
    if stderr is not None:
        assert [line.split(": ", 1)[1] for line in stderr.getvalue().splitlines() if "Warned:" in line] == [
            "Warned: message",
            "Warned: another",
        ]


def test_warning_is_given_without_the_modules_that_find_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed.cache_clear()
    monkeypatch.setitem(sys.modules, "sysconfig", None)
    try:
        with pytest.warns(Warned, match="message"):
            warn_user("message", Warned)
    finally:
        _installed.cache_clear()
