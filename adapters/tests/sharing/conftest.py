from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimeinfo.board import FOLDER_VARIABLE, BoardReader
from runtimeinfo_adapters import MessageHub


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the boards of this test alone."""
    folder = tmp_path / "boards"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture
def hub() -> Iterator[MessageHub]:
    hub = MessageHub("shared")
    yield hub
    hub.unshare()


@pytest.fixture
def reader(hub: MessageHub) -> BoardReader:
    return hub.share()
