from __future__ import annotations

import pytest

from runtimeinfo_conformance import observation


@pytest.mark.parametrize("name", observation.__all__)
def test_every_export_is_there(name: str) -> None:
    assert getattr(observation, name) is not None
