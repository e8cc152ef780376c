from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimeinfo.board import BoardReader
from runtimeinfo_adapters import MessageHub


@pytest.fixture(autouse=True)
def folder(board_folder: Path) -> Path:
    return board_folder


@pytest.fixture
def hub() -> Iterator[MessageHub]:
    hub = MessageHub("shared")
    yield hub
    hub.unshare()


@pytest.fixture
def reader(hub: MessageHub) -> BoardReader:
    return hub.share()
