"""The identity of a run: on which machine, as which rank of which job, and by which command it trains.

It is on the board of the run, as JSON. The environment variables of launchers and schedulers tell it, so that no
framework has to be imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from runtimeinfo.board import layout

JOB_VARIABLE = "RUNTIMEINFO_JOB"
"""The environment variable that names the job, whatever the launcher and the scheduler say."""

CHECK_VARIABLE = "RUNTIMEINFO_CHECK"
"""The environment variable that the conformance kit sets to ``1``: see `BoardIdentity.is_check`."""

# Each launcher's rank, local rank and world size. PyTorch's come first: under torchrun, a scheduler knows of one task
# for each machine alone.
_RANKS = (
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
)
_LIGHTNING = {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"}
# Each scheduler's id of a job, and what else tells that it is this scheduler's, where the name could be anybody's.
_SCHEDULERS = (
    ("slurm", "SLURM_JOB_ID", ""),
    ("torchelastic", "TORCHELASTIC_RUN_ID", ""),
    ("kubernetes", "POD_NAME", "KUBERNETES_SERVICE_HOST"),
    ("kubernetes", "HOSTNAME", "KUBERNETES_SERVICE_HOST"),
    ("lsf", "LSB_JOBID", ""),
    ("pbs", "PBS_JOBID", ""),
    ("sge", "JOB_ID", "SGE_TASK_ID"),
)

_MOST_RANKS = 2**31
# In characters, of at most 4 bytes each: without a command, an identity always has room.
_LONGEST_TEXT = 128
_LONGEST_ARGUMENT = 256
_MOST_ARGUMENTS = 200
_CUT = "\u2026"


@dataclass(frozen=True, slots=True)
class BoardIdentity:
    """The identity of a run: its machine, its job, and its command.

    Texts come from other programs: characters that are not printable are replaced, and long texts are cut.

    Attributes:
        host: The name of the machine, or of the container.
        rank: The number of the process among all of its job, from 0; None without a launcher that tells it.
        local_rank: The number of the process among those of its job on this machine, from 0.
        world_size: The number of processes of its job.
        job: The job: what ``RUNTIMEINFO_JOB`` says, or else the id that the scheduler or the launcher gave. Under a
            launcher of PyTorch that gives none, it is the address where its ranks meet.
        scheduler: The origin of `job`: ``"slurm"``, ``"torchelastic"``, ``"kubernetes"``, ``"lsf"``, ``"pbs"``,
            ``"sge"``, or ``"torch"`` for an address; None where ``RUNTIMEINFO_JOB`` names the job, or there is none.
        run_id: The id of the run, which a resumed training keeps; "" if it has none.
        command: The command line, with its end left out where it is long.
        is_check: Whether the conformance kit makes the run, to check an adapter.

    Example:
        >>> identity = BoardIdentity("node1", rank=3, world_size=4, job="4711", scheduler="slurm")
        >>> identity.rank, identity.job, identity.local_rank
        (3, '4711', None)

    Source: SHARE-06.
    """

    host: str
    rank: int | None = None
    local_rank: int | None = None
    world_size: int | None = None
    job: str | None = None
    scheduler: str | None = None
    run_id: str = ""
    command: tuple[str, ...] = ()
    is_check: bool = False

    @classmethod
    def of_process(cls, run_id: str = "", environment: Mapping[str, str] | None = None) -> BoardIdentity:
        """Return the identity of a run in this process, as its environment tells it.

        Args:
            run_id: The id of the run.
            environment: The environment variables; those of this process by default.
        """
        variables = os.environ if environment is None else environment
        rank, local_rank, world_size = _ranks(variables)
        job, scheduler = _job(variables)
        return cls(
            host=_cleaned(_host()),
            rank=rank,
            local_rank=local_rank,
            world_size=world_size,
            job=job,
            scheduler=scheduler,
            run_id=_cleaned(run_id),
            command=_command(getattr(sys, "orig_argv", None) or getattr(sys, "argv", ())),
            is_check=variables.get(CHECK_VARIABLE) == "1",
        )

    def to_json(self) -> bytes:
        """Return the identity as it is on a board: JSON of at most `layout.IDENTITY_CAPACITY` bytes.

        Arguments at the end of the command that have no room are left out.
        """
        raw, arguments = _encoded(self), len(self.command)
        while len(raw) > layout.IDENTITY_CAPACITY and arguments:
            arguments //= 2
            raw = _encoded(replace(self, command=(*self.command[:arguments], _CUT)))
        # One that was made by hand, with texts of any length, might have no room without a command.
        return raw if len(raw) <= layout.IDENTITY_CAPACITY else b""


def parse_identity(raw: bytes) -> BoardIdentity | None:
    """Return the identity on a board, or None if it is missing or invalid.

    It raises nothing. A member that is of the wrong type, or out of range, is left out.

    Args:
        raw: The JSON.
    """
    try:
        found = json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    members = cast("dict[str, Any]", found)
    rank, local_rank, world_size = _checked_ranks(*map(members.get, ("rank", "local_rank", "world_size")))
    return BoardIdentity(
        host=_text(members.get("host")) or "",
        rank=rank,
        local_rank=local_rank,
        world_size=world_size,
        job=_text(members.get("job")) or None,
        scheduler=_text(members.get("scheduler")) or None,
        run_id=_text(members.get("run_id")) or "",
        command=_command(members.get("command")),
        is_check=members.get("is_check") is True,
    )


def _encoded(identity: BoardIdentity) -> bytes:
    members = {name: getattr(identity, name) for name in BoardIdentity.__slots__}
    known = {name: value for name, value in members.items() if value not in (None, "", ()) and value is not False}
    return json.dumps(known, ensure_ascii=False).encode(errors="replace")


def _host() -> str:
    # `socket` and `platform` would take milliseconds to import.
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _ranks(variables: Mapping[str, str]) -> tuple[int | None, int | None, int | None]:
    if "RANK" not in variables and _LIGHTNING.issubset(variables):
        # Its own launcher tells no rank. On the first machine it is the local one, and elsewhere it is not known here.
        rank = "LOCAL_RANK" if variables["NODE_RANK"] == "0" else ""
        return _checked_ranks(*(_number(variables.get(name)) for name in (rank, "LOCAL_RANK", "WORLD_SIZE")))
    for names in _RANKS:
        if names[0] in variables:
            return _checked_ranks(*(_number(variables.get(name)) for name in names))
    return None, None, None


def _checked_ranks(rank: Any, local_rank: Any, world_size: Any) -> tuple[int | None, int | None, int | None]:
    """Return the numbers that can be true."""
    size = world_size if type(world_size) is int and 0 < world_size <= _MOST_RANKS else None
    limit = _MOST_RANKS if size is None else size
    number, local = (each if type(each) is int and 0 <= each < limit else None for each in (rank, local_rank))
    return number, local, size


def _number(text: str | None) -> int | None:
    if text is None or len(text) > len(str(_MOST_RANKS)) or not (text.isascii() and text.isdigit()):
        return None
    return int(text)


def _job(variables: Mapping[str, str]) -> tuple[str | None, str | None]:
    named = _cleaned(variables.get(JOB_VARIABLE, ""))
    if named:
        return named, None
    for scheduler, name, proof in _SCHEDULERS:
        job = _cleaned(variables.get(name, ""))
        # torchrun says "none" where it was given no id.
        if job and (not proof or proof in variables) and (scheduler, job) != ("torchelastic", "none"):
            return job, scheduler
    if "RANK" in variables or _LIGHTNING.issubset(variables):
        address, port = (_cleaned(variables.get(name, "")) for name in ("MASTER_ADDR", "MASTER_PORT"))
        if address and port:
            return f"{address}:{port}", "torch"
    return None, None


def _command(arguments: Any) -> tuple[str, ...]:
    if not isinstance(arguments, list | tuple):
        return ()
    texts = [each for each in cast("Sequence[object]", arguments)[: _MOST_ARGUMENTS + 1] if isinstance(each, str)]
    kept = [_cleaned(each, _LONGEST_ARGUMENT) for each in texts[:_MOST_ARGUMENTS]]
    return (*kept, _CUT) if len(texts) > _MOST_ARGUMENTS else tuple(kept)


def _text(value: object) -> str | None:
    return _cleaned(value) if isinstance(value, str) else None


def _cleaned(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text without control characters and lone surrogates, cut to a length."""
    cut = text if len(text) <= longest else text[: longest - 1] + _CUT
    return cut if cut.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in cut)
