"""When a hub is shared, and which one is the current one of its process."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import BoardError, current_hub, use_hub
from runtimeinfo.authoring import SupportsSharing, resolve_hub
from runtimeinfo.board import BoardReader, UnsharedWarning, board_files, find_board, layout, read_board
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.sharing import SHARE_VARIABLE


def in_child(ask: Callable[[], object]) -> Any:
    """Return what a function returns in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            answer = ask()
        except BaseException as error:  # it is raised in the parent
            answer = error
        os.write(write, pickle.dumps(answer))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    if isinstance(answer, BaseException):
        raise answer
    return answer


def test_a_hub_is_shared_while_it_is_the_current_one(hub: MessageHub, folder: Path) -> None:
    assert isinstance(hub, SupportsSharing)
    assert hub.board_path is None
    with use_hub(hub):
        path = hub.board_path
        assert path is not None
        assert board_files() == [path] == [find_board(os.getpid())]
        assert read_board(path).is_current
        assert read_board(path).state == "live"
    assert hub.board_path is None
    assert list(folder.iterdir()) == []


def test_hub_is_unshared_after_an_exception(hub: MessageHub) -> None:
    with pytest.raises(KeyboardInterrupt), use_hub(hub):
        raise KeyboardInterrupt
    assert board_files() == []


def test_hub_entered_twice_is_shared_until_it_is_left_twice(hub: MessageHub) -> None:
    with use_hub(hub):
        with use_hub(hub):
            path = hub.board_path
        assert find_board(os.getpid()) == path == hub.board_path
    assert board_files() == []


def test_the_current_one_is_the_last_one_entered(hub: MessageHub) -> None:
    other = MessageHub("other")
    with use_hub(hub):
        with use_hub(other):
            assert find_board(os.getpid()) == other.board_path
            assert len(board_files()) == 2
        assert find_board(os.getpid()) == hub.board_path


def test_scopes_may_be_left_in_any_order(hub: MessageHub) -> None:
    other = MessageHub("other")
    first, second = use_hub(hub), use_hub(other)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert find_board(os.getpid()) == other.board_path
    assert hub.board_path is None
    second.__exit__(None, None, None)
    assert board_files() == []


def test_hub_shared_on_request_is_current_only_while_in_use(hub: MessageHub) -> None:
    path = hub.share().path
    assert find_board(os.getpid()) is None
    with use_hub(hub):
        assert find_board(os.getpid()) == path == hub.share().path
        hub.unshare()
        assert find_board(os.getpid()) == path
    assert board_files() == []
    hub.unshare()  # which it is


@pytest.mark.parametrize("value", ["0", "false", "NO", "Off"])
def test_environment_variable_turns_sharing_off(hub: MessageHub, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(SHARE_VARIABLE, value)
    with use_hub(hub):
        assert hub.board_path is None
        assert hub.share().path.exists()  # who asks for it gets it


def test_argument_turns_sharing_off() -> None:
    hub = MessageHub("private", share=False)
    with use_hub(hub):
        assert hub.board_path is None
        assert resolve_hub() is hub
    with use_hub(pickle.loads(pickle.dumps(hub))) as _:
        assert board_files() == []


def test_run_continues_with_one_warning_if_no_board_can_be_made(hub: MessageHub, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    running = use_hub(hub)
    with pytest.warns(UnsharedWarning, match=f"not seen from worker.*open to others.*{SHARE_VARIABLE}=0") as caught:
        running.__enter__()
    assert len(caught) == 1
    hub.update_info("epoch", 1)
    assert current_hub().get_info("epoch") == 1
    running.__exit__(None, None, None)
    with pytest.raises(BoardError, match="open to others"):
        hub.share()


def test_board_is_private_to_its_owner_with_any_umask(hub: MessageHub, folder: Path) -> None:
    before = os.umask(0)
    try:
        path = hub.share().path
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    hub.unshare()
    before = os.umask(0o777)
    try:
        path = hub.share().path
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_file_of_that_name_is_neither_used_nor_followed(hub: MessageHub, folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    somebodys = tmp_path / "precious"
    somebodys.write_text("data")
    (folder / f"{os.getpid()}-0.board").symlink_to(somebodys)
    (folder / f"{os.getpid()}-1.board").write_text("another")
    assert hub.share().path.name == f"{os.getpid()}-2.board"
    assert somebodys.read_text() == "data"
    assert (folder / f"{os.getpid()}-1.board").read_text() == "another"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda hub: pickle.loads(pickle.dumps(hub))])
def test_a_copy_is_not_shared_and_does_not_write_to_the_board(
    hub: MessageHub, reader: BoardReader, copied: Callable[[Any], Any]
) -> None:
    hub.update_info("epoch", 1)
    other = copied(hub)
    assert other.board_path is None
    other.update_info("epoch", 2)
    assert reader.get_info("epoch") == 1
    with use_hub(other):
        assert other.board_path not in (None, reader.path)


def test_a_reader_can_be_pickled_and_is_small(reader: BoardReader) -> None:
    reader.get_info("epoch")
    there = pickle.dumps(reader)
    assert len(there) < 300
    assert pickle.loads(there).path == reader.path


def test_the_board_goes_with_the_hub(folder: Path) -> None:
    hub = MessageHub("short-lived")
    hub.share()
    del hub
    gc.collect()
    assert list(folder.iterdir()) == []


def test_the_board_goes_with_the_process(folder: Path) -> None:
    code = "from runtimeinfo_adapters import MessageHub; hub = MessageHub('x'); print(hub.share().path.exists())"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "True\n"
    assert list(folder.iterdir()) == []


# -- a forked child


def test_a_forked_child_reads_what_its_parent_publishes_later(hub: MessageHub) -> None:
    with use_hub(hub):
        hub.update_info("epoch", 1)
        asked, answered = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            before = current_hub().get_info("epoch")
            os.write(answered[1], b"x")
            os.read(asked[0], 1)
            os._exit(10 * before + current_hub().get_info("epoch"))
        os.read(answered[0], 1)
        hub.update_info("epoch", 2)
        os.write(asked[1], b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 12


def test_a_child_that_was_forked_before_reads_the_run_that_begins_then(hub: MessageHub) -> None:
    asked, answered = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        reader = current_hub()
        before = reader.get_info("epoch", 5)
        os.write(answered[1], b"x")
        os.read(asked[0], 1)
        during = reader.get_info("epoch", 5)
        os.write(answered[1], b"x")
        os.read(asked[0], 1)
        os._exit(100 * before + 10 * during + reader.get_info("epoch", 5))
    os.read(answered[0], 1)
    with use_hub(hub):
        hub.update_info("epoch", 2)
        os.write(asked[1], b"x")
        os.read(answered[0], 1)
    os.write(asked[1], b"x")
    # exit codes have 8 bits: 525 % 256
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 525 % 256


def test_a_childs_own_copy_of_the_hub_does_not_write_to_the_parents_board(hub: MessageHub) -> None:
    with use_hub(hub):
        hub.update_info("epoch", 1)

        def publish() -> object:
            hub.update_info("epoch", 2)
            return hub.board_path, hub.get_info("epoch"), current_hub().get_info("epoch")

        assert in_child(publish) == (None, 2, 1)
        assert hub.board_path is not None
        assert read_board(hub.board_path).infos == {"epoch": 1}


def test_a_child_that_leaves_what_its_parent_entered_and_exits_leaves_the_parents_board() -> None:
    code = """
import os
from runtimeinfo import use_hub
from runtimeinfo_adapters import MessageHub

hub = MessageHub("x")
with use_hub(hub):
    hub.update_info("epoch", 1)
    path = hub.board_path
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print(path.exists())
if not child:
    print(path.exists(), hub.board_path, flush=True)
    hub.share()
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "True None\nTrue\n"


def test_a_child_may_train_itself(hub: MessageHub) -> None:
    def train() -> object:
        own = MessageHub("own")
        with use_hub(own):
            own.update_info("epoch", 7)
            assert own.board_path is not None
            return current_hub().get_info("epoch"), read_board(own.board_path).pid, find_board(os.getpid())

    with use_hub(hub):
        hub.update_info("epoch", 1)
        epoch, pid, path = in_child(train)
        assert epoch == 7
        assert pid != os.getpid()
        assert path != hub.board_path
        assert hub.board_path is not None


def test_the_child_of_a_worker_reads_the_run_of_its_grandparent(hub: MessageHub) -> None:
    with use_hub(hub):
        hub.update_info("epoch", 3)
        assert in_child(lambda: in_child(lambda: current_hub().get_info("epoch"))) == 3


def test_a_worker_publishes_nothing_and_takes_nothing_away(hub: MessageHub) -> None:
    def publish() -> object:
        reader = current_hub()
        reader.update_info("epoch", 4)
        return reader.pop_info("epoch", 7), reader.get_info("epoch"), dict(reader.runtime_info)

    with use_hub(hub):
        hub.update_info("epoch", 3)
        assert in_child(publish) == (7, 3, {"epoch": 3})


def test_without_sharing_a_child_has_what_its_parent_had_at_the_fork() -> None:
    hub = MessageHub("private", share=False)
    with use_hub(hub):
        hub.update_info("epoch", 3)
        assert in_child(lambda: current_hub().get_info("epoch")) == 3


def test_damaged_board_of_the_parent_answers_as_no_run_does_with_one_warning(hub: MessageHub) -> None:
    def ask() -> object:
        with pytest.warns(UnsharedWarning, match="does not begin like a board") as caught:
            answers = [current_hub().get_info("epoch", "default") for _ in range(3)]
        return answers, len(caught), caught[0].filename

    with use_hub(hub):
        hub.update_info("epoch", 3)
        path = hub.board_path
        assert path is not None
        with path.open("r+b") as file:
            file.write(b"garbage!")
        assert in_child(ask) == (["default"] * 3, 1, __file__)


def test_a_board_of_another_container_with_the_same_process_id_is_not_taken(hub: MessageHub) -> None:
    with use_hub(hub):
        hub.update_info("epoch", 3)
        assert hub.board_path is not None
        patch(hub.board_path, layout.PID_NAMESPACE, 1)
        assert find_board(os.getpid()) is None
        assert in_child(lambda: current_hub().get_info("epoch", "default")) == "default"  # as if the run had ended
        assert read_board(hub.board_path).state == "live"  # this container cannot know better
        MessageHub("another").share()  # which cleans up
        assert hub.board_path.exists()


def patch(path: Path, cell: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(cell * layout.CELL)
        file.write(value.to_bytes(layout.CELL, sys.byteorder, signed=True))


# -- a writer that was killed

KILLED = """
import sys, time
from runtimeinfo import use_hub
from runtimeinfo_adapters import MessageHub

hub = MessageHub("killed")
with use_hub(hub):
    hub.update_info("epoch", 3)
    hub.update_scalar("train/loss", 0.5)
    hub.update_info("loop_stage", "train")
    print(hub.board_path, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def killed() -> Path:
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    path = Path(process.stdout.readline().strip())
    assert read_board(path).state == "live"
    assert find_board(process.pid) == path
    process.kill()
    process.communicate()
    return path


def test_the_board_of_a_writer_that_was_killed_is_recognised_and_removed_by_the_next(
    killed: Path, hub: MessageHub
) -> None:
    found = read_board(killed)
    assert (found.state, found.infos, found.scalars["train/loss"].value) == (
        "dead",
        {"epoch": 3, "loop_stage": "train"},
        0.5,
    )
    assert find_board(found.pid) is None
    with use_hub(hub):
        assert board_files() == [hub.board_path]


def test_reader_does_not_wait_forever_for_a_writer_killed_amid_a_write(killed: Path) -> None:
    patch(killed, layout.SEQUENCE, 7)
    found = read_board(killed)
    assert (found.state, found.is_whole) == ("dead", False)
    reader = BoardReader(killed)
    assert reader.get_info("epoch") == 3  # one value is always whole
    with pytest.raises(BoardError, match=f"stale: process {found.pid} was stopped amid a write"):
        reader.position()


def test_empty_board_of_a_killed_writer_is_removed(killed: Path, hub: MessageHub, folder: Path) -> None:
    empty = folder / f"{read_board(killed).pid}-1.board"
    empty.touch()
    notes = folder / "notes.txt"
    notes.touch()
    mine = folder / f"{os.getpid()}-0.board"
    mine.touch()  # its process lives
    with use_hub(hub):
        assert sorted(folder.iterdir()) == sorted([notes, mine, hub.board_path])  # type: ignore[type-var]


# -- threads


def test_threads_that_publish_leave_the_board_as_the_hub_is(hub: MessageHub, reader: BoardReader) -> None:
    keys = ["epoch", "iter", "loop_stage", "temperature", "classes"]

    def publish(thread: int) -> None:
        for number in range(500):
            key = keys[(number + thread) % len(keys)]
            if number % 7:
                hub.update_info(key, f"{thread}" if key in ("loop_stage", "classes") else 1000 * thread + number)
            else:
                hub.pop_info(key)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert read_board(reader.path).infos == dict(hub.runtime_info)
    assert {key: reader.get_info(key, "no") for key in keys} == {key: hub.get_info(key, "no") for key in keys}


@pytest.fixture
def often_switched_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often_switched_threads")
def test_a_run_can_begin_while_other_threads_make_hubs() -> None:
    hub = MessageHub("run", share=False)
    others = [MessageHub(f"other {number}", share=False) for number in range(1000)]
    done = threading.Event()

    def make_hubs() -> None:
        while not done.is_set():
            MessageHub("new", share=False)

    threads = [threading.Thread(target=make_hubs) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(50):
            with use_hub(hub):
                hub.update_info("iter", number)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert hub.get_info("iter") == 49
    assert len(others) == 1000
