from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtimeinfo import BoardError
from runtimeinfo.board import make_board_folder
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.top._held_board import HeldBoard


@pytest.fixture
def board() -> Path:
    """A board that was taken away, and put back."""
    hub = MessageHub("held", runtime_info={"epoch": 3})
    image = hub.share().path.read_bytes()
    hub.unshare()
    path = make_board_folder() / "1-0.board"
    path.touch(mode=0o600)
    path.write_bytes(image)
    return path


def test_what_it_says_last_is_read_after_it_is_gone(board: Path) -> None:
    held = HeldBoard(board)
    board.unlink()
    assert held.last_words().infos == {"epoch": 3}
    held.close()


def test_what_has_become_of_it_may_be_damage(board: Path) -> None:
    held = HeldBoard(board)
    with board.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(BoardError, match="has 100 bytes"):
        held.last_words()
    held.close()


def test_neither_a_link_nor_a_pipe_nor_a_folder_is_opened(board: Path) -> None:
    link, pipe, folder = (board.with_name(name) for name in ("2-0.board", "3-0.board", "4-0.board"))
    link.symlink_to(board)
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (link, board.with_name("5-0.board")):
        with pytest.raises(BoardError, match="cannot be opened"):
            HeldBoard(path)
    for path in (pipe, folder):
        with pytest.raises(BoardError, match="is no plain file"):
            HeldBoard(path).last_words()
