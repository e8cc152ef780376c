"""Whatever fails around a board: the training goes on, with one warning, and the next run is shared again."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mmengine.logging import MessageHub as SeedHub

from runtimeinfo import BoardError, use_hub
from runtimeinfo.board import BoardReader, UnsharedWarning, board_files, find_board, layout, read_board
from runtimeinfo.board import _folder as folders
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.sharing import Board, SharingHook
from runtimeinfo_adapters.sharing._board import Latest

HERE = Path(__file__).parent


class UsersError(Exception):
    """What user code raises in a run."""


def train_with_own_hub() -> None:
    """Train with two hubs, one inside the other, and fail at the end."""
    outer, inner = MessageHub("outer"), MessageHub("inner")
    with use_hub(outer):
        outer.update_info_dict({"epoch": 0, "iter": 0})
        with use_hub(inner):
            inner.update_info("iter", 1)
        outer.update_info("name", "text")
        raise UsersError


def train_with_hook() -> None:
    """Train as a framework does whose hub is mmengine's."""
    hook, runner = SharingHook(), type("Runner", (), {"message_hub": SeedHub("seed")})()
    try:
        hook.on_event("before_run", runner, {})
        runner.message_hub.update_info("iter", 1)
        hook.on_event("before_train_iter", runner, {})
        hook.on_event("before_train_epoch", runner, {})
        raise UsersError
    finally:
        hook.on_event("after_run", runner, {})


def warned(train: Callable[[], object]) -> list[str]:
    """Return the warnings of a training that must raise the user's error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(UsersError) as raised:
            train()
    assert raised.value.__context__ is None
    assert all(each.category is UnsharedWarning and each.filename == __file__ for each in caught)
    return [str(each.message) for each in caught]


CALLS = (
    *("open", "close", "write", "fstat", "lstat", "stat", "mkdir", "rename", "unlink", "utime", "pread", "fchmod"),
    "listdir",
)


@contextmanager
def failing_call(monkeypatch: pytest.MonkeyPatch, number: int, error: int) -> Iterator[list[str]]:
    """Let one of the system calls fail, counted from 0. Yields the names of those that were made."""
    made: list[str] = []

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            made.append(name)
            if len(made) == number + 1:
                if name == "close":
                    real(*arguments)
                raise OSError(error, os.strerror(error))
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        patch.setattr(mmap, "mmap", wrapped("mmap", mmap.mmap))
        yield made


@pytest.mark.parametrize("train", [train_with_own_hub, train_with_hook])
def test_any_failing_system_call_costs_at_most_one_warning_a_hub(
    train: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: set[str] = set()
    dead = folder / f"{2**22 + 1}-0.board"  # of a process that cannot be, for the run to remove
    for error in (errno.ENOSPC, errno.EACCES, errno.ENOENT, errno.EIO, errno.EEXIST):
        for is_there in (True, False):
            number = unshared = 0
            while True:
                shutil.rmtree(folder, ignore_errors=True)
                if is_there:
                    folder.mkdir(mode=0o700)
                    dead.touch(mode=0o600)
                with failing_call(monkeypatch, number, error) as made:
                    messages = warned(train)
                where = (errno.errorcode[error], made[number : number + 1], number, messages)
                assert len(set(messages)) == len(messages) <= 2, where
                assert warned(train) == [], where  # the next run is shared
                assert [path for path in folder.iterdir() if path != dead] == [], where
                tried.update(made[number : number + 1])
                if number >= len(made):
                    break
                unshared += bool(messages)
                number += 1
            assert number > 15
            assert unshared > number // 3
            assert messages == []  # nothing has failed
    assert tried >= {"open", "close", "write", "fstat", "mkdir", "rename", "unlink", "utime", "pread", "fchmod", "mmap"}


def test_another_process_sees_a_whole_board_or_none_at_any_moment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that looks for a run while another one begins must not take its board for a damaged one."""
    seen: list[str] = []
    real = {name: getattr(os, name) for name in CALLS} | {"mmap": mmap.mmap}

    def look_and(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with monkeypatch.context() as patch:
                for each in CALLS:
                    patch.setattr(os, each, real[each])
                patch.setattr(mmap, "mmap", real["mmap"])
                seen.extend(read_board(path).state for path in board_files())
            return real[name](*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, look_and(name))
        patch.setattr(mmap, "mmap", look_and("mmap"))
        with use_hub(MessageHub("x")):
            patch.undo()
    assert set(seen) == {"live"}


def test_board_that_was_being_made_when_its_process_died_is_removed(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for pid in (2**22 + 1, 1):
        (folder / f"{pid}-0.board.new").touch(mode=0o600)
    assert board_files() == []
    with use_hub(MessageHub("x")):
        assert sorted(path.name for path in folder.iterdir()) == sorted(["1-0.board.new", f"{os.getpid()}-0.board"])


def test_any_failing_system_call_of_a_reader_is_a_board_error(hub: MessageHub, monkeypatch: pytest.MonkeyPatch) -> None:
    number = refused = 0
    with use_hub(hub):
        hub.update_info_dict({"epoch": 3, "name": "text"})
        while True:
            with failing_call(monkeypatch, number, (errno.EIO, errno.ENOENT, errno.EACCES)[number % 3]) as made:
                try:
                    path = find_board(os.getpid())
                    if path is not None:
                        reader = BoardReader(path)
                        assert (reader.get_info("epoch"), reader.get_info("name")) == (3, "text")
                        assert reader.snapshot().infos == {"epoch": 3, "name": "text"}
                except BoardError:
                    refused += 1
            if number >= len(made):
                break
            number += 1
        assert find_board(os.getpid()) == hub.board_path
    assert refused > 5


def states(folder: Path) -> dict[str, Callable[[], object]]:
    """Return what may become of the folder."""

    def replace(make: Callable[[], object]) -> Callable[[], object]:
        def replaced() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            make()

        return replaced

    other = folder.parent / "other"
    other.mkdir(mode=0o700, exist_ok=True)
    return {
        "removed": replace(lambda: None),
        "a file": replace(folder.touch),
        "a link": replace(lambda: folder.symlink_to(other)),
        "another folder": replace(lambda: folder.mkdir(mode=0o700)),
        "open to others": lambda: folder.chmod(0o777),
        "unreadable": lambda: folder.chmod(0),
        "read-only": lambda: folder.chmod(0o500),
    }


def restore(folder: Path) -> None:
    """Make the folder what it was, with what is in it."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)


STEPS = ("before", "entered", "nested", "left")


def train_while(folder_becomes: Callable[[], object], at: str) -> None:
    """Train, and let the folder change at a step."""

    def step(name: str) -> None:
        if name == at:
            folder_becomes()

    outer, inner = MessageHub("outer"), MessageHub("inner")
    step("before")
    with use_hub(outer):
        step("entered")
        outer.update_info_dict({"epoch": 0, "iter": 0})
        with use_hub(inner):
            step("nested")
            inner.update_info("iter", 1)
        step("left")
        outer.update_info("name", "text")
        assert outer.runtime_info == {"epoch": 0, "iter": 0, "name": "text"}
        raise UsersError


def try_all_states(folder: Path) -> None:
    """Train with each change of the folder at each step."""
    os.environ[folders.FOLDER_VARIABLE] = str(folder)
    for name, becomes in states(folder).items():
        for at in STEPS:
            restore(folder)
            messages = warned(lambda: train_while(becomes, at))  # noqa: B023  # called at once
            hubs = 2 if at in ("before", "entered", "nested") else 1
            assert len(messages) <= hubs, (name, at, messages)
            if name in ("removed", "a file", "another folder"):
                assert messages or (name, at) in {("removed", "before"), ("another folder", "before")}, (name, at)
            if name == "a file":
                assert folder.read_bytes() == b""
            else:
                assert folder.exists() or name == "removed", (name, at)
            assert list((folder.parent / "other").iterdir()) == []
            restore(folder)
            hub = MessageHub("next")
            with use_hub(hub):
                assert find_board(os.getpid()) == hub.board_path is not None
            assert list(folder.iterdir()) == [], (name, at)


def test_folder_that_changes_at_any_step_costs_at_most_one_warning_a_hub(tmp_path: Path) -> None:
    if os.geteuid():
        try_all_states(tmp_path / "boards")
        return
    # To root nothing is unreadable or read-only: another user tries it, in a child of this process.
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 54321, 54321)
    for above in (tmp_path, *tmp_path.parents):
        if above.owner() == "root" and above not in (Path("/"), Path("/tmp")):  # pytest's own
            above.chmod(above.stat().st_mode | 0o011)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgid(54321)
            os.setuid(54321)
            try_all_states(home / "boards")
            os._exit(0)
        except BaseException as error:  # it is reported by the parent
            os.write(write, repr(error).encode()[:4000])
        os._exit(1)
    os.close(write)
    with os.fdopen(read) as pipe:
        fault = pipe.read()
    assert (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), fault) == (0, "")


def test_removed_folder_costs_one_warning_and_no_file_takes_its_name(folder: Path) -> None:
    def train() -> None:
        hub = MessageHub("removed")
        with use_hub(hub):
            shutil.rmtree(folder)
            hub.update_info("epoch", 1)
            raise UsersError

    (message,) = warned(train)
    assert "no longer seen from worker processes" in message
    assert "another program has removed" in message
    assert not folder.exists()


def test_board_made_under_the_name_of_a_removed_one_is_not_taken_away(folder: Path) -> None:
    first, second = MessageHub("first"), MessageHub("second")
    old = first.share().path
    shutil.rmtree(folder)
    assert second.share().path == old
    with pytest.warns(UnsharedWarning, match="another program has removed"):
        first.unshare()
    assert old.exists()
    second.unshare()
    assert not old.exists()


def test_relative_folder_stays_where_it_is_if_the_process_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(folders.FOLDER_VARIABLE, "boards")
    monkeypatch.setattr(folders, "_in_force", {})
    hub = MessageHub("relative")
    with use_hub(hub):
        hub.update_info("epoch", 3)
        monkeypatch.chdir(tmp_path / "there")
        path = find_board(os.getpid())
        assert path == tmp_path / "here" / "boards" / f"{os.getpid()}-0.board"
        child = os.fork()
        if not child:
            from runtimeinfo import current_hub

            os._exit(current_hub().get_info("epoch", 9))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert not path.exists()
    assert list((tmp_path / "there").iterdir()) == []


def test_stale_board_that_cannot_be_removed_does_not_stop_a_run(
    hub: MessageHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(mode=0o700)
    dead = folder / f"{2**22 + 1}-0.board"
    dead.touch(mode=0o600)
    real = os.unlink

    def unlink(path: Any, **options: Any) -> None:
        if Path(path) == dead:
            raise PermissionError(errno.EPERM, "immutable")
        real(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    with use_hub(hub):
        assert hub.board_path is not None
    assert dead.exists()


def test_board_that_could_not_be_removed_is_removed_by_the_next_run_of_its_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = MessageHub("first"), MessageHub("second")

    def unlink(path: Any, **_: Any) -> None:
        raise PermissionError(errno.EACCES, "in use", str(path))

    with monkeypatch.context() as patch:
        path = first.share().path
        patch.setattr(os, "unlink", unlink)
        with pytest.warns(UnsharedWarning, match="in use"):
            first.unshare()
    assert read_board(path).state == "ended"
    with use_hub(second):
        assert board_files() == [second.board_path] == [path]


def test_disk_that_fills_up_is_an_error_and_leaves_nothing(hub: MessageHub, folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (layout.SIZE // 2, limits[1]))
    try:
        with pytest.raises(BoardError, match=r"no board can be made in .*File too large.*RUNTIMEINFO_FOLDER"):
            hub.share()
        with pytest.warns(UnsharedWarning, match="File too large"), use_hub(hub):
            hub.update_info("epoch", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(folder.iterdir()) == []
    with use_hub(hub):
        assert hub.board_path is not None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k,mode=0755", "tmpfs", str(place)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_second_board_on_a_disk_for_one_is_an_error_and_the_first_goes_on(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(folders.FOLDER_VARIABLE, str(small_disk / "boards"))
    first, second = MessageHub("first"), MessageHub("second")
    with use_hub(first):
        with pytest.warns(UnsharedWarning, match="No space left"), use_hub(second):
            first.update_info("text", "x" * 16_000)
        assert BoardReader(first.board_path or "").get_info("text") == "x" * 16_000
        assert board_files() == [first.board_path]
    with use_hub(second):
        assert second.board_path is not None


@pytest.mark.parametrize("system", ["macOS", "Windows"])
def test_run_is_shared_without_what_only_linux_has(system: str, folder: Path) -> None:
    """In 3 s: PyTorch is imported, and a second process reads."""
    ended = subprocess.run(
        [sys.executable, str(HERE / "other_system.py"), system], check=False, capture_output=True, text=True
    )
    seen = [line for line in ended.stdout.splitlines() if line]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert seen == ["1 | 1 ünï 0.0 live 1", "1 | 1 ünï 0.0 live 1", "True []"]


def test_warning_that_is_an_error_does_not_end_a_training(folder: Path) -> None:
    folder.touch()
    code = """
import contextlib, os
from runtimeinfo import use_hub
from runtimeinfo_adapters import MessageHub
hub = MessageHub("x")
with contextlib.ExitStack() as stack:
    stack.enter_context(use_hub(hub))
    hub.update_info("epoch", 1)
os.unlink(os.environ["RUNTIMEINFO_FOLDER"])
with use_hub(hub):
    print(hub.board_path is not None)
"""
    ended = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert ended.stdout == "True\n"
    assert ended.stderr.count("UnsharedWarning") == 1
    assert ended.stderr.startswith("<string>:7: UnsharedWarning: this run is not seen from worker processes")


# -- another user's folder


def as_user(uid: int, code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run code as another user. Imports come first: that user might not be able to read this one's Python."""
    imports = "import os, stat, tempfile\nfrom runtimeinfo.board import board_folder, find_board\n"
    imports += (
        "from runtimeinfo import current_hub, use_hub, _worker_run\nfrom runtimeinfo_adapters import MessageHub\n"
    )
    become = f"{imports}os.setgid({uid}); os.setuid({uid})\n"
    return subprocess.run(
        [sys.executable, "-c", become + code], check=False, capture_output=True, text=True, env=environment
    )


PLANTED = """
for _ in range(2):
    hub = MessageHub("x")
    with use_hub(hub):
        hub.update_info("epoch", 3)
        child = os.fork()
        if not child:
            os._exit(current_hub().get_info("epoch", 9))
        answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = stat.filemode(board_folder().lstat().st_mode)
        print(hub.board_path.parent == board_folder(), find_board(os.getpid()) == hub.board_path, found, answer)
print(board_folder())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant a folder that belongs to another user")
def test_run_is_shared_elsewhere_if_another_user_has_planted_the_folder(tmp_path: Path) -> None:
    uid = 54321
    planted = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp") / f"runtimeinfo-{uid}"
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    runtime = Path(f"/tmp/runtimeinfo-test-{os.getpid()}")  # pytest's folder is root's alone
    runtime.mkdir(mode=0o700)
    os.chown(runtime, uid, uid)
    environment = {key: value for key, value in os.environ.items() if key != folders.FOLDER_VARIABLE}
    try:
        in_runtime = as_user(uid, PLANTED, environment | {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(runtime)})
        in_private = as_user(uid, PLANTED, environment | {"XDG_RUNTIME_DIR": "", "TMPDIR": str(runtime)})
        left = sorted(path.name for path in runtime.iterdir())
    finally:
        shutil.rmtree(planted)
        shutil.rmtree(runtime)
    shared = ["True True drwx------ 3"] * 2
    assert in_runtime.stderr == ""
    assert in_runtime.stdout.splitlines() == [*shared, str(runtime / "runtimeinfo")]
    *seen, private = in_private.stdout.splitlines()
    assert seen == shared
    assert Path(private).parent == runtime
    assert in_private.stderr.count("UnsharedWarning") == 1
    assert f"the private folder {private}, because {planted} belongs to user 12345" in in_private.stderr
    assert "Set RUNTIMEINFO_FOLDER for both" in in_private.stderr
    assert left == ["runtimeinfo"]  # the private one is gone


# -- interrupts and threads


def test_interrupt_of_the_user_comes_out_and_what_it_interrupted_is_written() -> None:
    class InterruptedOnce:
        def __init__(self) -> None:
            self.left = [KeyboardInterrupt]

        def latest(self) -> Latest:
            if self.left:
                raise self.left.pop()
            return Latest(0.5, 1, 1)

    infos = {"epoch": 1}
    board = Board(infos, {"loss": InterruptedOnce()}, on_fault=pytest.fail)
    infos["epoch"] = 2
    with pytest.raises(KeyboardInterrupt):
        board.write_info("epoch", infos["epoch"])
    found = read_board(board.path)
    board.close()
    assert (found.infos, found.scalars["loss"].value, found.is_whole) == ({"epoch": 2}, 0.5, True)


def test_signals_that_interrupt_writes_leave_the_board_as_the_hub_is(hub: MessageHub, reader: BoardReader) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    keys = [f"key{number}" for number in range(200)] + ["epoch", "iter", "name"]
    gc.disable()  # Hypothesis has a callback there, out of which no interrupt comes
    try:
        for number in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + number % 20 * 0.00003)
                for round_ in range(1000):
                    key = keys[(number + round_) % len(keys)]
                    hub.update_info(key, round_ if round_ % 3 else f"text{round_}")
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert interrupted > 100
    assert hub.board_path == reader.path
    for key in keys:  # an interrupt between the hub and the board is made up for by the next write
        hub.update_info(key, hub.get_info(key))
    found = read_board(reader.path)
    assert (found.is_whole, found.infos) == (True, hub.runtime_info)


def test_thread_that_publishes_while_the_run_ends_is_not_disturbed(hub: MessageHub) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    def publish() -> None:
        number = 0
        try:
            while not done.is_set():
                hub.update_info("iter", number)
                hub.update_info_dict({"epoch": number, "name": str(number)})
                number += 1
        except BaseException as error:  # it is reported by the test
            errors.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(200):
            with use_hub(hub):
                assert hub.board_path is not None
    done.set()
    thread.join()
    assert (errors, caught) == ([], [])
    assert board_files() == []


def test_hub_that_raises_when_it_is_read_costs_one_warning() -> None:
    class Failing(SeedHub):
        fails = False

        @property
        def runtime_info(self) -> Any:
            if self.fails:
                raise RuntimeError("of the hub")
            return super().runtime_info

    runner = type("Runner", (), {"message_hub": Failing("failing")})()
    hook = SharingHook()
    hook.on_event("before_run", runner, {})
    runner.message_hub.fails = True
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for event in ("before_train_epoch", "before_train_iter", "after_train_epoch", "after_run"):
            hook.on_event(event, runner, {})
    (message,) = [str(each.message) for each in caught]
    assert "no longer seen from worker processes and other terminals: RuntimeError: of the hub" in message
    assert board_files() == []


def test_docs_name_the_systems_that_are_simulated_and_what_they_lack() -> None:
    page = (HERE.parents[2] / "docs" / "other-processes.md").read_text()
    simulated: dict[str, list[str]] = runpy.run_path(str(HERE / "other_system.py"))["MISSING"]
    rows = dict(re.findall(r"^\| (macOS|Windows|Linux on x86-64) \| (.*) \|$", page, re.MULTILINE))
    assert rows.keys() == {"Linux on x86-64", *simulated}
    for system, missing in simulated.items():
        named = re.findall(r"`os\.(\w+)`", rows[system])
        assert named
        assert set(named) <= set(missing)
