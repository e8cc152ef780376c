"""The identity on the boards of real processes, of former boards, and of files that anybody might have written."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.logging import MessageHub as SeedHub

from runtimeinfo import BoardError, use_hub
from runtimeinfo.board import BoardIdentity, BoardReader, board_files, layout, make_board_folder, read_board
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.sharing import SharingHook
from runtimeinfo_adapters.top import Runs

HERE = Path(__file__).parent

SHARES = """
import os, signal
from runtimeinfo_adapters import MessageHub
hub = MessageHub("child")
hub.share()
os.kill(os.getpid(), signal.SIGKILL)
"""

OF_VERSION_2 = (
    "c-rmL!Ab%_7zgmR4ua6lLq{110)@bXhdOu@x)emWWeLGO2)c?c(NXX%dO9B<$Oj0FY?mmE5W>^%cbNaoHv=<#Fn9OYH@(}F+EG-hY{z=Bdai!v"
    "+h+6nk@@m5+NHT{U!ARAPN$chZ5|i(^Y6zNKeD*(OZkrQ%YO7n9oW~ZTiN-q*4=VeD>9$;huOtwGN0=j0000000000000000002|mpG0?`ZP^v!"
    "*QDB4_SYlhE^j?MuU(ftwx+AdISIf000000000000000000000000000000000000000000000000000002M;k*OaA0e6"
)
"""A board that a run of the release before has written, compressed: of a hub with an epoch of 3 and one scalar."""


def child(**environment: str) -> BoardIdentity | None:
    subprocess.run([sys.executable, "-c", SHARES], env=os.environ | environment, check=False)
    (path,) = board_files()
    found = read_board(path)
    path.unlink()
    return found.identity


def test_process_of_a_scheduler_tells_its_rank_and_job() -> None:
    slurm = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "4711"}
    found = child(**slurm, RUNTIMEINFO_RUN_ID="run-1")
    assert found is not None
    assert (found.rank, found.local_rank, found.world_size) == (5, 1, 8)
    assert (found.job, found.scheduler, found.run_id) == ("4711", "slurm", "run-1")
    assert found.host == os.uname().nodename
    assert found.command == (sys.executable, "-c", SHARES.replace("\n", "\ufffd"))


def test_hostile_environment_does_not_keep_a_run_from_being_shared() -> None:
    found = child(RANK="-3", WORLD_SIZE="9" * 100, RUNTIMEINFO_JOB="\x1b[2J" + "j" * 100_000, SLURM_JOB_ID="1")
    assert found is not None
    assert (found.rank, found.world_size, found.scheduler) == (None, None, None)
    assert found.job == "\ufffd[2J" + "j" * 123 + "\u2026"


def test_four_ranks_of_a_real_torchrun_are_one_job(folder: Path, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    noted.mkdir()
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]  # a free port
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4", *meeting]
    done = subprocess.run(
        [*launcher, str(HERE / "rank_of_job.py"), str(noted)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((noted / f"{rank}.json").read_text()) for rank in range(4)]
    assert [(each["rank"], each["local_rank"], each["world_size"]) for each in ranks] == [(n, n, 4) for n in range(4)]
    assert len({each["job"] for each in ranks}) == 1
    assert {each["scheduler"] for each in ranks} == {"torch"}  # no id was given to torchrun, so it is an address
    assert [each["run_id"] for each in ranks] == [each["of_hub"] for each in ranks]
    assert all(str(HERE / "rank_of_job.py") in each["command"] for each in ranks)


def test_board_has_the_run_id_of_its_hub(hub: MessageHub) -> None:
    path = hub.share().path
    assert run_id_on(path) == hub.run_id
    renewed = hub.renew_run_id()
    assert run_id_on(path) == hub.run_id == renewed
    resumed = MessageHub("resumed")
    resumed.load_state_dict(hub.state_dict())
    with use_hub(resumed):
        assert run_id_on(resumed.board_path) == hub.run_id
        resumed.load_state_dict(MessageHub("another").state_dict())
        assert run_id_on(resumed.board_path) == resumed.run_id != hub.run_id


def run_id_on(path: Any) -> str:
    identity = read_board(path).identity
    assert identity is not None
    return identity.run_id


@pytest.mark.parametrize("given", ["run-7", None])
def test_hub_without_a_run_id_gets_one(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    if given is not None:
        monkeypatch.setenv("RUNTIMEINFO_RUN_ID", given)
    hook, runner = SharingHook(), type("Runner", (), {"message_hub": SeedHub("seed")})()
    hook.on_event("before_run", runner, {})
    (path,) = board_files()
    run_id = run_id_on(path)
    hook.on_event("after_run", runner, {})
    assert run_id == given if given else len(run_id) == 32


# -- a former board


@pytest.fixture
def put(folder: Path) -> Callable[[bytes], Path]:
    def put(content: bytes) -> Path:
        path = make_board_folder() / "4711-0.board"
        path.touch(mode=0o600)
        path.write_bytes(content)
        os.utime(path, (0, 0))  # not one that is being made
        return path

    return put


def test_board_of_the_former_version_is_refused(put: Callable[[bytes], Path]) -> None:
    path = put(zlib.decompress(base64.b85decode(OF_VERSION_2)))
    for read in (read_board, lambda path: BoardReader(path).get_info("epoch")):
        with pytest.raises(BoardError, match="has version 2, and this runtimeinfo reads version 3: update the older"):
            read(path)
    (run,) = Runs().look()
    assert run.state == "damaged"
    assert run.error is not None
    assert "has version 2" in run.error
    assert run.identity is None


def test_board_of_the_former_version_is_removed_with_its_dead_process(put: Callable[[bytes], Path]) -> None:
    path = put(zlib.decompress(base64.b85decode(OF_VERSION_2)))
    content = bytearray(path.read_bytes())
    cells = memoryview(content).cast("q")
    cells[layout.PID_NAMESPACE] = Path("/proc/self/ns/pid").stat().st_ino
    cells.release()
    path.write_bytes(content)
    with use_hub(MessageHub("next")):
        assert not path.exists()


# -- an identity that anybody might have written


@pytest.fixture
def image(hub: MessageHub) -> bytes:
    hub.update_info("epoch", 3)
    hub.update_scalar("train/loss", 0.5)
    hub.update_info("loop_stage", "train")
    return hub.share().path.read_bytes()


def with_identity(image: bytes, raw: bytes, length: int | None = None, sequence: int = 0) -> bytes:
    content = bytearray(image)
    content[layout.IDENTITY_OFFSET :] = raw.ljust(layout.IDENTITY_CAPACITY, b"\0")
    cells = memoryview(content).cast("q")
    cells[layout.IDENTITY_LENGTH] = len(raw) if length is None else length
    cells[layout.IDENTITY_SEQUENCE] = sequence
    cells.release()
    return bytes(content)


@pytest.mark.parametrize("length", [0, -1, -(2**63), layout.IDENTITY_CAPACITY + 1, 2**63 - 1])
def test_impossible_length_of_an_identity_means_none(image: bytes, put: Callable[[bytes], Path], length: int) -> None:
    check_rest(put(with_identity(image, b'{"host": "node1"}', length)), None)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{" * layout.IDENTITY_CAPACITY, None),
        (b"[" * layout.IDENTITY_CAPACITY, None),
        (b"\xff" * 100, None),
        (b'{"host": "a\\u001b[2Jb"}', BoardIdentity("a\ufffd[2Jb")),
        (b'{"host": 7, "rank": "1", "command": [[1]], "job": {}}', BoardIdentity("")),
        (b'{"host": "n", "rank": ' + b"9" * 1_900 + b"}", BoardIdentity("n")),
        (b'{"host": "n", "command": [' + b'"",' * 500 + b'""]}', BoardIdentity("n", command=("",) * 200 + ("\u2026",))),
    ],
)
def test_hostile_identity_is_none_or_cleaned(
    image: bytes, put: Callable[[bytes], Path], raw: bytes, expected: BoardIdentity | None
) -> None:
    check_rest(put(with_identity(image, raw)), expected)


def check_rest(path: Path, expected: BoardIdentity | None) -> None:
    """Check the identity of a board, and that the rest is read."""
    found = read_board(path)
    assert found.identity == expected
    assert (found.is_whole, found.infos["epoch"], found.scalars["train/loss"].value) == (True, 3, 0.5)
    assert BoardReader(path).get_info("epoch") == 3
    run = next(run for run in Runs().look() if run.path == path)
    assert run.identity == expected
    assert (run.epoch, run.is_check) == (3, False)


def test_identity_that_is_being_written_is_not_whole(image: bytes, put: Callable[[bytes], Path]) -> None:
    found = read_board(put(with_identity(image, b'{"host": "no', sequence=3)))
    assert (found.identity, found.is_whole, found.infos["epoch"]) == (None, False, 3)
