from __future__ import annotations

import pytest

from runtimeinfo_conformance.guards import Guard, _leftovers, _signals


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def impatient() -> Guard:
    return Guard(hang_seconds=0.3)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give threads that do not end a tenth of their time."""
    monkeypatch.setattr(_leftovers, "_GRACE_SECONDS", 0.1)


@pytest.fixture
def long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give threads that end enough time on any machine."""
    monkeypatch.setattr(_leftovers, "_GRACE_SECONDS", 60.0)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the alarm ring again after a fifth of its time."""
    monkeypatch.setattr(_signals, "_AGAIN_SECONDS", 0.2)
