"""Many boards that come, go and are replaced while they are read, boards of other users, and few descriptors."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtimeinfo import BoardError
from runtimeinfo.board import _folder, _open_board, board_name, layout, make_board_folder, read_board
from runtimeinfo.board.process import started
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.top import Run, Runs, Timestamp

OTHER_USER = 65_534

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to have files of several users")


def image_of(name: str, iteration: int, *, created: int = 0) -> bytes:
    """Return the content of a real board of this process."""
    hub = MessageHub(name, runtime_info={"experiment_name": name, "loop_stage": "train", "iter": iteration})
    hub.update_scalar("train/loss", iteration / 2)
    try:
        content = bytearray(hub.share().path.read_bytes())
    finally:
        hub.unshare()
    if created:
        set_cell(content, layout.CREATED_NS, created)
    return bytes(content)


def set_cell(content: bytearray, cell: int, value: int) -> None:
    struct.pack_into("=q", content, cell * layout.CELL, value)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Boards:
    """Files that are made, written in part, replaced and removed, as their names say what is on them."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.whole: dict[str, int] = {}  # the iteration on each board that is in order
        self.template = image_of("board", 0)

    def content(self, iteration: int) -> bytearray:
        content = bytearray(self.template)
        set_cell(content, layout.ITER, iteration)
        set_cell(content, layout.UPDATED_NS, iteration + 1)
        set_cell(content, layout.CREATED_NS, self.chance.getrandbits(60))
        return content

    def put(self, name: str, content: bytes | bytearray, *, in_place: bool = False) -> None:
        path = self.folder / name
        made = path if in_place else path.with_suffix(".new")
        made.touch(mode=0o600)
        made.write_bytes(content)
        os.utime(made, (1, 1))  # not one that is being made
        if not in_place:
            made.rename(path)

    def change(self, name: str, iteration: int) -> None:
        """Do something to a board."""
        kind = self.chance.choice(["write", "replace", "remove", "half", "garbage", "cell", "link", "folder"])
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        if path.is_symlink():
            path.unlink()
        self.whole.pop(name, None)
        if kind in ("write", "replace"):
            self.put(name, self.content(iteration), in_place=kind == "write")
            self.whole[name] = iteration
        elif kind == "half":
            self.put(name, self.content(iteration)[: self.chance.randrange(layout.SIZE)], in_place=True)
        elif kind == "garbage":
            self.put(name, self.chance.randbytes(layout.SIZE))
        elif kind == "cell":
            content = self.content(iteration)
            set_cell(content, self.chance.randrange(3), self.chance.getrandbits(62))
            self.put(name, content)
        else:
            path.unlink(missing_ok=True)
            if kind == "link":
                path.symlink_to("/etc/passwd")
                os.utime(path, (1, 1), follow_symlinks=False)
            elif kind == "folder":
                path.mkdir()
                os.utime(path, (1, 1))


def test_500_boards_that_change_between_the_looks_are_told_as_they_are() -> None:
    boards = Boards(make_board_folder(), random.Random(0))
    names = [board_name(os.getpid(), number) for number in range(500)]
    runs, now = Runs(), Timestamp.now()
    before = descriptors()
    for look in range(1, 5):
        for name in names if look == 1 else boards.chance.sample(names, 150):
            boards.change(name, look)
        now = Timestamp(now.monotonic_s + 10, now.wall_ns + 10**10)  # a damaged board is read only now and then
        found = {run.path.name: run for run in runs.look(now) if run.state != "ended"}
        assert {name: run.iter for name, run in found.items() if run.state == "live"} == boards.whole
        there = {path.name for path in boards.folder.iterdir() if path.suffix == ".board"}
        assert {name for name, run in found.items() if run.state == "damaged"} == there - boards.whole.keys()
        assert descriptors() - before == len(boards.whole)
    for name in names:
        path = boards.folder / name
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    assert {run.state for run in runs.look(now)} == {"ended"}
    assert descriptors() == before


def test_board_that_is_replaced_by_a_file_of_the_same_time_is_another_run() -> None:
    folder = make_board_folder()
    boards = Boards(folder, random.Random(0))
    boards.put("1-0.board", image_of("one", 1, created=7))
    runs = Runs()
    assert [run.experiment_name for run in runs.look()] == ["one"]
    boards.put("1-0.board", image_of("two", 2, created=7))
    assert sorted((str(run.experiment_name), run.state) for run in runs.look()) == [("one", "ended"), ("two", "live")]


def test_file_that_was_written_in_place_is_read_again_without_a_sequence() -> None:
    boards = Boards(make_board_folder(), random.Random(0))
    content = image_of("one", 1)
    boards.put("1-0.board", content)
    runs = Runs()
    assert [run.scalars["train/loss"].value for run in runs.look()] == [0.5]
    changed = bytearray(content)
    struct.pack_into("=d", changed, layout.entry_cell(0) * layout.CELL, 0.25)
    (boards.folder / "1-0.board").write_bytes(changed)
    assert [run.scalars["train/loss"].value for run in runs.look()] == [0.25]


def test_header_that_is_read_while_it_is_written_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MessageHub("one", runtime_info={"epoch": 1, "max_epochs": 1})
    runs = Runs()
    path = hub.share().path
    runs.look()
    before = path.read_bytes()
    hub.update_info_dict({"epoch": 2, "max_epochs": 2})
    torn = bytearray(before)
    set_cell(torn, layout.EPOCH, 2)
    real = _open_board.read_at
    reads: list[int] = []

    def read_at(descriptor: int, length: int, offset: int) -> bytes:
        reads.append(offset)
        return bytes(torn[:length]) if len(reads) == 1 else real(descriptor, length, offset)

    monkeypatch.setattr(_open_board, "read_at", read_at)
    (run,) = runs.look()
    assert (run.epoch, run.max_epochs) == (2, 2)
    hub.unshare()


def test_writer_that_died_since_the_last_look_is_dead() -> None:
    parent, child = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        hub = MessageHub("child", runtime_info={"iter": 1})
        hub.share()
        os.write(parent[1], b"1")
        os.read(child[0], 1)
        hub.update_info("iter", 2)
        os.kill(os.getpid(), signal.SIGKILL)
    os.read(parent[0], 1)
    runs = Runs()
    assert [(run.iter, run.state) for run in runs.look()] == [(1, "live")]
    os.write(child[1], b"1")
    os.waitpid(pid, 0)
    assert [(run.iter, run.state) for run in runs.look()] == [(2, "dead")]
    for descriptor in (*parent, *child):
        os.close(descriptor)


def test_id_of_a_later_process_does_not_keep_a_run_alive() -> None:
    content = bytearray(image_of("one", 1))
    set_cell(content, layout.STARTED, started(os.getpid()) - 1)
    boards = Boards(make_board_folder(), random.Random(0))
    boards.put("1-0.board", content)
    assert [run.state for run in Runs().look()] == ["dead"]


@pytest.fixture
def few_files() -> Iterator[int]:
    """Let this process have few files open, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 2 * (descriptors() + 10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_boards_than_files_that_may_be_open_are_all_seen(few_files: int) -> None:
    boards = Boards(make_board_folder(), random.Random(0))
    for number in range(few_files):
        boards.put(f"{os.getpid()}-{number}.board", boards.content(number))
    runs, before, kept = Runs(), descriptors(), few_files // 2
    for _ in range(2):
        assert sorted(run.iter or 0 for run in runs.look()) == list(range(few_files))
        assert descriptors() - before == kept
    for path in sorted(boards.folder.iterdir()):
        set_cell(changed := bytearray(path.read_bytes()), layout.ITER, 1000)
        path.write_bytes(changed)
        path.unlink()
    # Of those that stayed open the last content is known, of the others that of the last look.
    ended = runs.look()
    assert {run.state for run in ended} == {"ended"}
    assert sum(run.iter == 1000 for run in ended) == kept
    assert descriptors() == before


def test_run_is_as_its_constructor_makes_it() -> None:
    folder = make_board_folder()
    Boards(folder, random.Random(0)).put("1-0.board", image_of("one", 1))
    (run,) = Runs().look()
    assert Run(**vars(run)) == run
    snapshot = read_board(folder / "1-0.board")
    assert type(snapshot)(**vars(snapshot)) == snapshot


# -- boards of other users


@pytest.fixture
def shared_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which all users make the folders for their boards."""
    parent = Path(tempfile.mkdtemp())
    parent.chmod(0o1777)
    monkeypatch.setattr(_folder, "_MEMORY", parent)
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    yield parent
    shutil.rmtree(parent)


@contextmanager
def as_other_user(share: Callable[[], object]) -> Iterator[int]:
    """Run a function in a child process of another user, which then waits."""
    parent, child = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(OTHER_USER)
            os.setuid(OTHER_USER)
            kept = share()
            os.write(parent[1], b"1")
            os.close(child[1])
            os.read(child[0], 1)
            del kept
        finally:
            os._exit(0)
    os.close(parent[1])
    assert os.read(parent[0], 1) == b"1"
    try:
        yield pid
    finally:
        for descriptor in (parent[0], *child):
            os.close(descriptor)
        os.waitpid(pid, 0)


@root_only
def test_root_sees_the_runs_of_all_users(shared_memory: Path, folder: Path) -> None:
    def share() -> MessageHub:
        os.environ["RUNTIMEINFO_FOLDER"] = str(shared_memory / f"runtimeinfo-{OTHER_USER}")
        hub = MessageHub("theirs", runtime_info={"experiment_name": "theirs"})
        hub.share()
        return hub

    ours = MessageHub("ours", runtime_info={"experiment_name": "ours"})
    ours.share()
    with as_other_user(share) as pid:
        assert [run.experiment_name for run in Runs().look()] == ["ours"]
        found = {run.experiment_name: run for run in Runs(all_users=True).look()}
    assert found.keys() == {"ours", "theirs"}
    assert (found["theirs"].pid, found["theirs"].state, found["theirs"].user_id) == (pid, "live", OTHER_USER)
    assert found["ours"].user_id == 0
    ours.unshare()


@root_only
def test_user_without_the_rights_of_root_gets_an_error(shared_memory: Path) -> None:
    def ask() -> None:
        with pytest.raises(BoardError, match="can be read by root alone: run this with sudo"):
            Runs(all_users=True)

    with as_other_user(ask):
        pass


@root_only
def test_root_trusts_no_folder_and_no_file_of_another_user(shared_memory: Path) -> None:
    content = image_of("theirs", 1)

    def put(folder: str, *, owner: int = OTHER_USER, mode: int = 0o700, file_owner: int = OTHER_USER) -> Path:
        path = shared_memory / folder
        path.mkdir()
        board = path / "1-0.board"
        board.touch(mode=0o600)
        board.write_bytes(content)
        os.utime(board, (1, 1))
        os.chown(board, file_owner, -1)
        path.chmod(mode)
        os.chown(path, owner, -1)
        return path

    good = put(f"runtimeinfo-{OTHER_USER}")
    put("runtimeinfo-1001", owner=1002, file_owner=1001)  # the name says another user
    put("runtimeinfo-1003", owner=1003, file_owner=1003, mode=0o755)  # open to others
    stolen = put("runtimeinfo-1004", owner=1004, file_owner=1005)  # a file of a third user
    (shared_memory / "runtimeinfo-1006").symlink_to(good)
    (shared_memory / "runtimeinfo-1007").write_text("a file")
    put("runtimeinfo-notes")
    (good / "2-0.board").symlink_to("/etc/shadow")
    os.utime(good / "2-0.board", (1, 1), follow_symlinks=False)
    runs = Runs(all_users=True)
    for _ in range(2):
        found = {run.path: run for run in runs.look()}
        assert found.keys() == {good / "1-0.board", good / "2-0.board", stolen / "1-0.board"}
        assert found[good / "1-0.board"].user_id == OTHER_USER
        assert found[good / "2-0.board"].state == "damaged"
        assert "belongs to user 1005" in str(found[stolen / "1-0.board"].error)
