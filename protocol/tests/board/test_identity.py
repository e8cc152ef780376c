"""The identity as the environment of a process tells it, and as a board has it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from runtimeinfo.board import BoardIdentity, layout
from runtimeinfo.board._identity import parse_identity

RANK = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SLURM = {"SLURM_PROCID": "5", "SLURM_LOCALID": "2", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "4711"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}
LIGHTNING = {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}
MEETING = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "digits-0"}


def of(environment: dict[str, str]) -> tuple[Any, ...]:
    found = BoardIdentity.of_process(environment=environment)
    return found.rank, found.local_rank, found.world_size, found.job, found.scheduler


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (None, None, None, None, None)),
        (RANK, (3, 1, 4, None, None)),
        (SLURM, (5, 2, 8, "4711", "slurm")),
        (OPEN_MPI, (1, 0, 2, None, None)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1"}, (1, 1, 2, None, None)),
        (LIGHTNING | MEETING, (1, 1, 2, "node1:29500", "torch")),
        (LIGHTNING | SLURM, (1, 1, 2, "4711", "slurm")),
        (LIGHTNING | {"NODE_RANK": "1", "WORLD_SIZE": "4"}, (None, 1, 4, None, None)),
        (LIGHTNING | RANK, (3, 1, 4, None, None)),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, (None, None, None, None, None)),
        (SLURM | RANK | MEETING, (3, 1, 4, "4711", "slurm")),
        (RANK | MEETING, (3, 1, 4, "node1:29500", "torch")),
        (MEETING, (None, None, None, None, None)),
        (RANK | MEETING | {"TORCHELASTIC_RUN_ID": "none"}, (3, 1, 4, "node1:29500", "torch")),
        (RANK | MEETING | {"TORCHELASTIC_RUN_ID": "sweep-7"}, (3, 1, 4, "sweep-7", "torchelastic")),
        (SLURM | {"TORCHELASTIC_RUN_ID": "sweep-7", "RUNTIMEINFO_JOB": "mine"}, (5, 2, 8, "mine", None)),
        (POD, (None, None, None, "digits-0", "kubernetes")),
        (POD | {"POD_NAME": "digits-pod"}, (None, None, None, "digits-pod", "kubernetes")),
        ({"HOSTNAME": "digits-0", "POD_NAME": "x"}, (None, None, None, None, None)),
        ({"LSB_JOBID": "12"}, (None, None, None, "12", "lsf")),
        ({"PBS_JOBID": "12.server"}, (None, None, None, "12.server", "pbs")),
        ({"JOB_ID": "12", "SGE_TASK_ID": "undefined"}, (None, None, None, "12", "sge")),
        ({"JOB_ID": "12"}, (None, None, None, None, None)),
    ],
)
def test_environment_of_each_launcher_is_understood(environment: dict[str, str], expected: tuple[Any, ...]) -> None:
    assert of(environment) == expected


@pytest.mark.parametrize("text", ["", "-1", "4", "one", "1.0", "9" * 5_000, "\u0663", "0x1", " 1"])
def test_rank_that_cannot_be_is_unknown(text: str) -> None:
    assert of(RANK | {"RANK": text})[:3] == (None, 1, 4)


def test_texts_of_the_environment_are_cleaned_and_bounded() -> None:
    found = BoardIdentity.of_process("run\n1", {"RUNTIMEINFO_JOB": "\x1b[31mred\udcff" + "x" * 500})
    assert found.job is not None
    assert found.job.startswith("\ufffd[31mred\ufffdxxx")
    assert len(found.job) == 128
    assert found.run_id == "run\ufffd1"


def test_command_is_that_of_this_process() -> None:
    assert BoardIdentity.of_process().command[0] == sys.orig_argv[0]


@pytest.mark.parametrize(
    "identity",
    [
        BoardIdentity("node1"),
        BoardIdentity("node1", 0, 0, 1, "4711", "slurm", "run-1", ("python", "train.py", "--lr=0.1"), is_check=True),
        BoardIdentity("r\u00e4chner \U0001f600", rank=2, command=("\u2026",)),
    ],
)
def test_identity_comes_back_from_its_json(identity: BoardIdentity) -> None:
    assert parse_identity(identity.to_json()) == identity


@pytest.mark.parametrize("arguments", [1, 2, 3, 7, 200, 5_000])
@pytest.mark.parametrize("argument", ["\U0001f600" * 250, "a" * 250, '"' * 250, "x"])
def test_long_command_is_cut_to_the_place_that_it_has(argument: str, arguments: int) -> None:
    longest = "\U0001f600" * 128
    for identity in (BoardIdentity("node1"), BoardIdentity(longest, 1, 1, 2, longest, "slurm", longest)):
        raw = BoardIdentity(
            identity.host, 1, job=identity.job, run_id=identity.run_id, command=(argument,) * arguments
        ).to_json()
        assert len(raw) <= layout.IDENTITY_CAPACITY
        found = parse_identity(raw)
        assert found is not None
        assert (found.host, found.rank) == (identity.host, 1)
        assert found.command == (argument,) * arguments or found.command[-1] == "\u2026"


def test_identity_without_room_is_left_out() -> None:
    assert BoardIdentity("x" * 5_000).to_json() == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b"[" * 2_000,
        b'{"a":' * 340,
        b"9" * 2_000,
        bytes(2_000),
        b'{"host": "\xff"}',
    ],
)
def test_text_that_is_not_an_identity_is_none(raw: bytes) -> None:
    assert parse_identity(raw) is None


def test_members_that_are_wrong_are_left_out() -> None:
    wrong = [True, -1, 2**70, 1.0, "1", None, [1], {"a": 1}]
    for value in wrong:
        members = {"host": "node1", "rank": value, "local_rank": value, "world_size": value}
        assert parse_identity(json.dumps(members).encode()) == BoardIdentity("node1")
    for value in (True, 7, None, ["a"], {"a": "b"}):
        found = parse_identity(json.dumps(dict.fromkeys(("host", "job", "scheduler", "run_id"), value)).encode())
        assert found == BoardIdentity("")
    for value in ("python", 7, {"a": 1}, [1, None, ["x"]]):
        found = parse_identity(json.dumps({"host": "node1", "command": value, "is_check": value}).encode())
        assert found == BoardIdentity("node1")


def test_texts_of_a_board_are_cleaned_and_bounded() -> None:
    hostile = "\x1b]0;title\x07\u202e\ud800" + "y" * 300
    found = parse_identity(json.dumps({"host": hostile, "command": [hostile] * 300}).encode())
    assert found is not None
    for text in (found.host, *found.command):
        assert text.isprintable()
        assert text.startswith("\ufffd]0;title\ufffd\ufffd\ufffdyyy") or text == "\u2026"
    assert len(found.host) == 128
    assert len(found.command) == 201
