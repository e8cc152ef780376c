from __future__ import annotations

import pytest

from runtimeinfo_conformance import plans


@pytest.mark.parametrize("name", plans.__all__)
def test_every_export_is_there(name: str) -> None:
    assert getattr(plans, name) is not None
