from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from runtimeinfo import BoardError
from runtimeinfo.board import FOLDER_VARIABLE, _folder, board_files, board_folder, board_name, make_board_folder, pid_in
from runtimeinfo.board._folder import make_private_folder, open_unfollowed, read_at, use_folder


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


def test_files_of_another_folder_are_listed_with_the_same_checks(chosen: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / board_name(4711, 0)).touch()
    assert (board_files(), board_files(other)) == ([], [other / board_name(4711, 0)])
    other.chmod(0o777)
    with pytest.raises(BoardError, match="open to others"):
        board_files(str(other))


def test_relative_folder_is_that_of_its_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_folder, "_in_force", {})
    monkeypatch.setenv(FOLDER_VARIABLE, "boards")
    monkeypatch.chdir(tmp_path)
    assert board_folder() == tmp_path / "boards"
    monkeypatch.chdir("/")
    assert board_folder() == tmp_path / "boards"


def test_folder_in_force_is_used_until_the_variable_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_folder, "_in_force", {})
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    default = board_folder()
    use_folder(tmp_path / "boards")
    assert make_board_folder() == board_folder() == tmp_path / "boards" != default
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "named"))
    assert board_folder() == tmp_path / "named"


def test_private_folder_is_closed_to_others_and_made_only_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_folder, "_in_force", {})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "named"))
    assert make_private_folder() is None
    monkeypatch.delenv(FOLDER_VARIABLE)
    private = make_private_folder()
    assert private is not None
    assert private == board_folder() == make_board_folder()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_taken_default_gives_way_to_the_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_folder, "_in_force", {})
    monkeypatch.setattr(os, "access", lambda *_: False)  # no /dev/shm
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    default = tmp_path / f"runtimeinfo-{os.geteuid()}"
    assert board_folder() == default
    default.symlink_to(tmp_path)
    assert board_folder() == default
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert board_folder() == default
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    assert board_folder() == tmp_path / "runtime" / "runtimeinfo"
    (tmp_path / "runtime").symlink_to(tmp_path / "file")
    (tmp_path / "file").touch()
    assert board_folder() == default  # whose fault the error tells


def test_open_and_read_follow_no_link_without_flags_and_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / board_name(1, 0)
    path.write_bytes(b"abc\r\ndef")
    (tmp_path / "link").symlink_to(path)
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "pread"):
        monkeypatch.delattr(os, name)
    for other in (tmp_path / "link", tmp_path):
        with pytest.raises(OSError, match="not a plain file"):
            open_unfollowed(other)
    descriptor = open_unfollowed(path)
    assert (read_at(descriptor, 4, 2), read_at(descriptor, 3, 0)) == (b"c\r\nd", b"abc")
    os.close(descriptor)
