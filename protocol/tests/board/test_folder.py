from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from runtimeinfo import BoardError
from runtimeinfo.board import FOLDER_VARIABLE, board_files, board_folder, board_name, make_board_folder, pid_in


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "above" / "boards"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


def test_each_user_has_a_folder_in_memory_or_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert str(os.geteuid()) in board_folder().name
    assert str(board_folder().parent) in ("/dev/shm", tempfile.gettempdir())


def test_the_folder_is_made_for_the_owner_alone_whatever_the_umask(chosen: Path) -> None:
    assert board_files() == []
    before = os.umask(0)
    try:
        assert make_board_folder() == chosen
    finally:
        os.umask(before)
    assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
    assert make_board_folder() == chosen  # which is there by now


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o722, 0o777])
def test_a_folder_that_is_open_to_others_is_not_used(chosen: Path, mode: int) -> None:
    make_board_folder().chmod(mode)
    for use in (make_board_folder, board_files):
        with pytest.raises(BoardError, match=f"open to others.*{mode:04o}.*{FOLDER_VARIABLE}") as caught:
            use()
        assert caught.value.path == chosen
        assert caught.value.requirement == "SHARE-05"


def test_a_link_to_a_folder_is_not_followed(chosen: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    chosen.parent.mkdir()
    chosen.symlink_to(tmp_path / "elsewhere")
    for use in (make_board_folder, board_files):
        with pytest.raises(BoardError, match="is not a folder"):
            use()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_user_is_not_used(chosen: Path) -> None:
    os.chown(make_board_folder(), 12345, -1)
    for use in (make_board_folder, board_files):
        with pytest.raises(BoardError, match="belongs to user 12345"):
            use()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file" / "boards"))
    with pytest.raises(BoardError, match="cannot be made"):
        make_board_folder()


def test_only_files_with_the_name_of_a_board_are_listed(chosen: Path) -> None:
    make_board_folder()
    names = [board_name(4711, 0), board_name(4711, 12)]
    others = [
        "4711.board",
        "0-1.board",
        "4711-0.board.tmp",
        "x-0.board",
        "04711-0.board",
        "4711-01.board",
        "\uff14-0.board",
    ]
    for name in (*names, *others):
        (chosen / name).touch()
    assert board_files() == [chosen / name for name in names]
    assert [pid_in(Path(name)) for name in (*names, *others)] == [4711, 4711, *(0 for _ in others)]
