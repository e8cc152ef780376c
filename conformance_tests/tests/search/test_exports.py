from __future__ import annotations

import pytest

from runtimeinfo_conformance import search


@pytest.mark.parametrize("name", search.__all__)
def test_every_export_is_there(name: str) -> None:
    assert getattr(search, name) is not None
