"""The project's own tests, which have to stay as they are beside the kit's."""

from __future__ import annotations

import os
import unittest
from pathlib import Path

import myfw
from hypothesis import given, settings
from hypothesis import strategies as st

drawn: list[int] = []


@given(number=st.integers())
def test_its_own_search(number: int) -> None:
    drawn.append(number)


def test_its_own_profile() -> None:
    assert len(drawn) <= 2
    assert settings.default.max_examples == 2
    assert settings.default.deadline.total_seconds() == 0.001
    assert settings.default.database.path == Path(__file__).parent / "examples"


def test_its_own_environment(tmp_path: Path) -> None:
    assert Path.cwd() == tmp_path
    assert os.environ["MYFW_DEBUG"] == "1"
    assert "HOME" not in os.environ


class TestAsUnittest(unittest.TestCase):
    def test_rate(self) -> None:
        assert myfw.SGD(0.5).get_lr() == {"lr": [0.5]}
