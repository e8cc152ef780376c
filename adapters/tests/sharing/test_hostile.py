"""Files that are not boards, or no longer: each is a `BoardError`, and nothing else happens."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from runtimeinfo import BoardError, MissingScalarError
from runtimeinfo.board import BoardReader, layout, make_board_folder, read_board
from runtimeinfo_adapters import MessageHub

MUTATED = 3_000
"""`make nightly` tries 100,000: see FUZZ_VARIABLE."""

FUZZ_VARIABLE = "RUNTIMEINFO_MUTATED_BOARDS"


@pytest.fixture
def image() -> bytes:
    hub = MessageHub("image", runtime_info={"epoch": 3, "temperature": 0.5, "cfg": "lr = 0.1", "classes": ("a", "b")})
    hub.update_scalar("train/loss", 0.5)
    hub.update_info_dict({"loop_stage": "train", "big": object(), "flag": True})
    try:
        return hub.share().path.read_bytes()
    finally:
        hub.unshare()


@pytest.fixture
def write() -> Callable[[bytes], Path]:
    folder = make_board_folder()

    def write(content: bytes) -> Path:
        path = folder / "4711-0.board"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    return write


def read_all(path: Path) -> None:
    """Ask everything that can be asked."""
    reader = BoardReader(path)
    try:
        for key in ("epoch", "loop_stage", "max_iters", "temperature", "cfg", "classes", "big", "flag", "nothing"):
            reader.get_info(key)
        for key in ("train/loss", "nothing"):
            with suppress(MissingScalarError):
                reader.get_scalar(key).current()
        reader.position()
    finally:
        reader.close()


def set_cell(image: bytes, cell: int, value: int) -> bytes:
    at = cell * layout.CELL
    return image[:at] + value.to_bytes(layout.CELL, sys.byteorder, signed=True) + image[at + layout.CELL :]


ENTRY = layout.entry_cell(0)

DAMAGE = {
    "empty": (lambda image: b"", "has 0 bytes, where a board has 65,536"),
    "short": (lambda image: image[:-1], "has 65,535 bytes"),
    "long": (lambda image: image + b"x", "has 65,537 bytes"),
    "zeros": (lambda image: bytes(layout.SIZE), "does not begin like a board"),
    "text": (lambda image: b"hello world" * 10_000, "has 110,000 bytes"),
    "line ends": (lambda image: image.replace(b"\r\n", b"\n").ljust(layout.SIZE), "does not begin like a board"),
    "version": (lambda image: set_cell(image, layout.IS_VERSION, 99), "has version 99, and this runtimeinfo reads"),
    "size": (lambda image: set_cell(image, layout.IS_SIZE, 2**40), "says that it has 1,099,511,627,776"),
    "stage": (lambda image: set_cell(image, layout.LOOP_STAGE, 3), "the stage is number 3"),
    "entries": (lambda image: set_cell(image, layout.ENTRIES, 2**60), "at most 128 have a place"),
    "minus entries": (lambda image: set_cell(image, layout.ENTRIES, -1), "says that it has -1 entries"),
    "kind": (lambda image: set_cell(image, ENTRY + layout.KIND, 9), "an entry of kind 9"),
    "space": (lambda image: set_cell(image, ENTRY + layout.SPACE, 9), "an entry of space 9"),
    "name": (lambda image: set_cell(image, ENTRY + layout.NAME_LENGTH, 2**40), "a name has 1099511627776 bytes"),
    "no name": (lambda image: set_cell(image, ENTRY + layout.NAME_LENGTH, 0), "a name has 0 bytes"),
    "no UTF-8": (lambda image: set_cell(image, ENTRY + layout.NAME, -1), "a name is not UTF-8"),
    "json": (lambda image: image.replace(b"[[[", b"{{{"), "its JSON cannot be read"),
    "other json": (lambda image: image.replace(b"[[[", b"[[1"), "JSON"),
    "json length": (lambda image: set_cell(image, layout.INFO_LENGTH, 2**50), "bytes of JSON"),
    "minus json": (lambda image: set_cell(image, layout.INFO_LENGTH, -1), "says that it has -1 bytes of JSON"),
    "short json": (lambda image: set_cell(image, layout.INFO_LENGTH, 5), "its JSON cannot be read"),
}


@pytest.mark.filterwarnings("ignore::runtimeinfo.board.UnsharedWarning")
@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_board_is_an_error_with_the_reason(image: bytes, write: Callable[[bytes], Path], name: str) -> None:
    damage, message = DAMAGE[name]
    path = write(damage(image))
    for read in (read_board, read_all):
        with pytest.raises(BoardError, match=message) as caught:
            read(path)
        assert caught.value.path == path
        assert caught.value.requirement in ("SHARE-05", "SHARE-06")
        assert str(path) in str(caught.value)


def test_a_name_that_is_there_twice_is_an_error(image: bytes, write: Callable[[bytes], Path]) -> None:
    first, second = (layout.entry_cell(index) * layout.CELL for index in (0, 1))
    twice = image[:second] + image[first : first + layout.ENTRY_SIZE] + image[second + layout.ENTRY_SIZE :]
    with pytest.raises(BoardError, match="twice"):
        read_all(write(twice))


def test_missing_board_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "4711-0.board", tmp_path / "a\0b"):
        for read in (read_board, read_all):
            with pytest.raises(BoardError):
                read(path)


def test_none_instead_of_a_board_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"this is None: where find_board\(\) gives None, that process shares no"):
        BoardReader(None)  # type: ignore[arg-type]


def test_a_link_is_not_followed(image: bytes, write: Callable[[bytes], Path]) -> None:
    path = write(image)
    link = path.with_name("4711-1.board")
    link.symlink_to(path)
    for read in (read_board, read_all):
        with pytest.raises(BoardError, match="cannot be opened"):
            read(link)


def test_a_pipe_or_a_folder_is_neither_waited_for_nor_read(write: Callable[[bytes], Path]) -> None:
    path = write(b"")
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(BoardError, match="is not a plain file"):
        read_board(path)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(BoardError, match="is not a plain file"):
        read_board(path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666])
def test_board_open_to_others_is_not_read(image: bytes, write: Callable[[bytes], Path], mode: int) -> None:
    path = write(image)
    path.chmod(mode)
    for read in (read_board, read_all):
        with pytest.raises(BoardError, match=f"is open to others .mode {mode:04o}"):
            read(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_board_of_another_user_is_not_read(image: bytes, write: Callable[[bytes], Path]) -> None:
    path = write(image)
    os.chown(path, 12345, -1)
    for read in (read_board, read_all):
        with pytest.raises(BoardError, match="belongs to user 12345"):
            read(path)


def test_board_that_shrinks_during_a_read_is_an_error(
    image: bytes, write: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(image)
    real, calls = os.pread, 0

    def shrinking(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.truncate(path, 100)
        return real(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", shrinking)
    with pytest.raises(BoardError, match=r"it ends after 1\d\d bytes"):
        read_board(path)


@pytest.mark.filterwarnings("ignore::runtimeinfo.board.UnsharedWarning")
def test_mutated_boards_give_an_answer_or_an_error_and_take_no_memory(
    image: bytes, write: Callable[[bytes], Path]
) -> None:
    rounds = int(os.environ.get(FUZZ_VARIABLE, MUTATED))
    chance = random.Random(20261125)
    path = write(image)
    used = [*range(layout.HEADER_SIZE), *range(layout.HEADER_SIZE, layout.HEADER_SIZE + 4 * layout.ENTRY_SIZE)]
    used += range(layout.INFO_OFFSET, layout.INFO_OFFSET + 200)
    used += range(layout.IDENTITY_OFFSET, layout.IDENTITY_OFFSET + 200)
    answered = refused = 0
    tracemalloc.start()
    for _ in range(rounds):
        content = bytearray(image)
        for _ in range(chance.choice((1, 1, 2, 8, 64))):
            at = chance.choice(used)
            kind = chance.randrange(3)
            if kind == 0:
                content[at] = chance.randrange(256)
            elif kind == 1:  # a whole cell
                at -= at % layout.CELL
                value = chance.choice((0, 1, -1, 2**63 - 1, -(2**63), 2**32, chance.randrange(-200, 200)))
                content[at : at + layout.CELL] = value.to_bytes(layout.CELL, sys.byteorder, signed=True)
            else:
                content[at : at + 8] = chance.choice((b"[[[[[[[[", b"{{{{{{{{", b'"""""""', b"\xff" * 8, b"99999999"))
        # An odd sequence is a writer at work: readers wait for it, which is another test's matter.
        for sequence in (layout.SEQUENCE, layout.INFO_SEQUENCE, layout.IDENTITY_SEQUENCE):
            content[sequence * layout.CELL] &= 0xFE if sys.byteorder == "little" else 0xFF
        if chance.randrange(20) == 0:
            del content[chance.randrange(layout.SIZE) :]
        path.write_bytes(content)
        for read in (read_board, read_all):
            try:
                read(path)
                answered += 1
            except BoardError:
                refused += 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answered + refused == 2 * rounds
    assert answered > rounds // 10
    assert refused > rounds // 10
    assert peak < 4 * 2**20


def test_mapped_board_that_shrinks_ends_at_most_its_reader(image: bytes, write: Callable[[bytes], Path]) -> None:
    """As SECURITY.md says: only the user can do that, and `read_board` is safe from it."""
    path = write(image)
    code = f"""
import os
from runtimeinfo.board import BoardReader, read_board
reader = BoardReader({str(path)!r})
reader.get_info("epoch")
os.truncate({str(path)!r}, 0)
try:
    read_board({str(path)!r})
except Exception as error:
    print(type(error).__name__, flush=True)
"""
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.stdout == "BoardError\n"
