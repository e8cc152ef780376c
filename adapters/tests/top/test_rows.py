from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.board import BoardIdentity, BoardScalar
from runtimeinfo_adapters.top import Run
from runtimeinfo_adapters.top._rows import ORDERS, as_rows, in_order, is_match, visible


def ranked(rank: int, job: str | None = "job", *, size: int = 4, hub: int = 0, **about: Any) -> Run:
    command, scheduler = about.pop("command", ("python", "train.py")), about.pop("scheduler", "torchelastic")
    return Run(
        Path(f"boards/{4710 + rank}-{hub}.board"),
        4710 + rank,
        about.pop("state", "live"),
        started_ns=about.pop("started_ns", 10**9),
        identity=BoardIdentity("node1", rank, rank, size, job, scheduler, command=command),
        **about,
    )


def alone(number: int = 1, **about: Any) -> Run:
    return Run(Path(f"boards/{number}-0.board"), number, about.pop("state", "live"), **about)


def ranks(*runs: Run) -> list[list[int]]:
    """Return the ranks of each row."""
    return [
        [run.identity.rank for run in row.runs if run.identity and run.identity.rank is not None]
        for row in as_rows(runs)
    ]


def test_ranks_of_a_job_are_one_row_in_the_order_of_their_ranks() -> None:
    rows = as_rows([alone(), ranked(2), ranked(0), ranked(3), ranked(1)])
    assert [len(row.runs) for row in rows] == [1, 4]
    assert [run.pid for run in rows[1].ranks] == [4710, 4711, 4712, 4713]
    assert rows[1].run.pid == 4710


def test_runs_of_different_jobs_are_apart() -> None:
    assert ranks(ranked(0, "a"), ranked(1, "a"), ranked(0, "b"), ranked(1, "b")) == [[0, 1], [0, 1]]
    assert ranks(ranked(0), ranked(1, command=("python", "other.py"))) == [[0], [1]]
    assert ranks(ranked(0, size=2), ranked(1, size=4)) == [[0], [1]]


def test_command_that_tells_each_rank_its_number_is_one_command() -> None:
    runs = [ranked(rank, command=("python", "train.py", f"--local-rank={rank}")) for rank in range(3)]
    assert ranks(*runs) == [[0, 1, 2]]


def test_ranks_that_meet_at_an_address_are_one_job_whatever_their_commands() -> None:
    first = ranked(0, "node1:29500", scheduler="torch", command=("python", "-W", "ignore", "train.py"))
    second = ranked(1, "node1:29500", scheduler="torch", command=("python", "/home/train.py"))
    assert ranks(first, second) == [[0, 1]]
    assert ranks(first, ranked(1, "node1:29501", scheduler="torch")) == [[0], [1]]


def test_second_run_of_a_rank_is_in_another_row() -> None:
    assert ranks(ranked(0), ranked(1), ranked(0, hub=1), ranked(1, hub=1)) == [[0, 1], [0, 1]]


def test_job_that_is_begun_once_more_keeps_its_ranks_together() -> None:
    first, second = ranked(1, started_ns=1), ranked(0, started_ns=2)
    again = ranked(0, hub=1, started_ns=3)
    assert [[run.path for run in row.runs] for row in as_rows([again, first, second])] == [
        [again.path],
        [second.path, first.path],
    ]
    assert ranks(again, first, second, ranked(1, hub=1, started_ns=4)) == [[0, 1], [0, 1]]
    assert ranks(second, again, ranked(1, hub=1, started_ns=4)) == [[0], [0, 1]]  # a rank of the first time has gone


def test_runs_without_a_rank_or_of_one_process_are_not_folded() -> None:
    same = BoardIdentity("node1", job="4711", scheduler="slurm")
    one = replace(same, rank=0, world_size=1)
    assert len(as_rows([alone(1, identity=same), alone(2, identity=same)])) == 2
    assert len(as_rows([alone(1, identity=one), alone(2, identity=one)])) == 2
    assert len(as_rows([alone(1), alone(2, state="damaged")])) == 2


def test_job_shows_the_rank_that_is_furthest_behind_and_the_worst_state() -> None:
    (row,) = as_rows(
        [
            ranked(0, iter=30, epoch=3, rate=9.5, eta_s=5.0, age_s=0.1),
            ranked(1, iter=12, epoch=1, rate=9.6, eta_s=7.0, age_s=0.2),
        ]
    )
    assert (row.run.iter, row.run.epoch, row.run.rate, row.run.eta_s, row.run.age_s) == (12, 1, 9.5, 7.0, 0.1)
    (row,) = as_rows([ranked(0), ranked(1, is_stalled=True, age_s=45.0)])
    assert (row.run.state, row.run.is_stalled, row.run.age_s, row.worst.pid) == ("live", True, 45.0, 4711)
    (row,) = as_rows([ranked(0, iter=5), ranked(1, state="dead", iter=3), ranked(2, is_stalled=True)])
    assert (row.run.state, row.worst.pid, row.run.iter) == ("dead", 4711, 5)
    (row,) = as_rows([ranked(0, state="dead", age_s=1.0), ranked(1, state="dead", age_s=2.0)])
    assert (row.worst.pid, row.run.age_s) == (4711, 2.0)  # that which was killed, before its launcher ended the other
    (row,) = as_rows([ranked(0, state="ended"), ranked(1)])
    assert row.run.state == "live"
    (row,) = as_rows([ranked(0, state="ended"), ranked(1, state="ended")])
    assert row.run.state == "ended"


@pytest.mark.parametrize(
    ("counters", "rates", "slowest", "slowness"),
    [
        ((100, 100, 100), (10.0, 10.0, 10.0), None, ""),
        ((101, 100, 101), (10.0, 10.0, 10.0), None, ""),  # read one after another
        ((101, 100, 100), (10.0, 8.0, 10.0), None, ""),  # in step: the rates are rough
        ((140, 100, 140), (10.0, 10.0, 9.8), 1, "40 behind"),
        ((140, 100, 140), (10.0, 10.0, 7.0), 2, "30% slower"),  # that which is behind has begun later
        ((1030, 1000, 1000), (1000.0, 1000.0, 1000.0), None, ""),  # as many as between two reads
        ((7, 3, None), (None, None, None), 1, "4 behind"),
        ((None, 3, None), (None, None, None), None, ""),
    ],
)
def test_slowest_rank(counters: Any, rates: Any, slowest: int | None, slowness: str) -> None:
    pairs = enumerate(zip(counters, rates, strict=True))
    (row,) = as_rows([ranked(rank, iter=iter, rate=rate) for rank, (iter, rate) in pairs])
    assert (row.slowest and row.slowest.pid) == (None if slowest is None else 4710 + slowest)
    assert row.slowness == slowness
    marked = [each.run.pid for each in row.rank_rows if each.slowest is not None]
    assert marked == ([] if slowest is None else [4710 + slowest])


def test_rank_that_an_iteration_is_missing_of_is_the_slowest_while_all_wait() -> None:
    (row,) = as_rows([ranked(0, iter=8, is_stalled=True), ranked(1, iter=7, is_stalled=True)])
    assert row.slowest is not None
    assert (row.slowest.pid, row.slowness) == (4711, "1 behind")


def test_unfolded_jobs_are_followed_by_their_ranks() -> None:
    rows = as_rows([alone(), ranked(0), ranked(1)])
    assert [row.key for row in visible(rows, ())] == [row.key for row in rows]
    shown = visible(rows, {rows[1].key})
    assert [row.run.pid for row in shown] == [1, 4710, 4710, 4711]
    assert [row.job is not None for row in shown] == [False, False, True, True]
    assert len({row.key for row in shown}) == 4


# -- orders and filters


def pids(*runs: Run, order: str, is_reversed: bool = False) -> list[int]:
    return [row.run.pid for row in in_order(as_rows(runs), order, is_reversed=is_reversed)]


def test_rows_without_a_value_come_last_in_both_directions() -> None:
    runs = alone(1), alone(2, rate=5.0), alone(3, rate=50.0), alone(4)
    assert pids(*runs, order="rate") == [3, 2, 1, 4]
    assert pids(*runs, order="rate", is_reversed=True) == [2, 3, 1, 4]


def test_loss_that_is_not_a_number_is_the_worst() -> None:
    losses = {1: 2.0, 2: float("nan"), 3: 0.5, 4: float("-inf")}
    runs = [alone(pid, scalars={"train/loss": BoardScalar(loss, 1.0, 1)}) for pid, loss in losses.items()]
    assert pids(*runs, order="loss") == [4, 3, 1, 2]


def test_each_order_puts_any_runs_in_order() -> None:
    full = alone(
        9,
        started_ns=1,
        loop_stage="train",
        epoch=1,
        iter=2,
        max_iters=4,
        rate=1.0,
        eta_s=2.0,
        age_s=1.0,
        infos={"experiment_name": "name"},
        scalars={"train/loss": BoardScalar(1.0, 1.0, 1)},
    )
    runs = [alone(1), full, alone(3, state="damaged"), ranked(0), ranked(1), alone(5, state="dead")]
    for order in ORDERS:
        for is_reversed in (False, True):
            assert sorted(pids(*runs, order=order, is_reversed=is_reversed)) == [1, 3, 5, 9, 4710]


@pytest.mark.parametrize(
    ("words", "is_found"),
    [
        ("", True),
        ("|", True),
        ("DIG", True),
        ("mnist|digits", True),
        ("4712", True),
        ("train.py", True),
        ("node1", True),
        ("4711-job", True),
        ("val", True),
        ("stalled", False),
        ("mnist", False),
        (".*", False),
    ],
)
def test_filter(words: str, is_found: bool) -> None:
    about: Any = {"infos": {"experiment_name": "digits"}, "loop_stage": "val"}
    (row,) = as_rows([ranked(0, "4711-job", **about), ranked(2, "4711-job", **about)])
    assert is_match(row, words) is is_found
