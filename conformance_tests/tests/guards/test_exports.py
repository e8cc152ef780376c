from __future__ import annotations

import pytest

from runtimeinfo_conformance import guards


@pytest.mark.parametrize("name", guards.__all__)
def test_every_export_is_there(name: str) -> None:
    assert getattr(guards, name) is not None
