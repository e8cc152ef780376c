from __future__ import annotations

import pytest

from runtimeinfo_conformance.guards import Guard


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def impatient() -> Guard:
    return Guard(hang_seconds=0.3)
