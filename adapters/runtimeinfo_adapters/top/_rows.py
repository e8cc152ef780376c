"""Bring runs into rows: the ranks of a job in one, in an order, and those that match a filter."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from runtimeinfo_adapters.top._format import format_count, fraction, name_text, shown_loss, status, user_text
from runtimeinfo_adapters.top._watch import Run

# Ranks are read one after another: one that is ahead by an iteration that it has just completed is not faster.
_IN_STEP = 1
_IN_STEP_S = 0.05
# A rank that is behind, but not slower by so much, may only have begun later.
_SLOWER = 0.9

# The worst first: what a job says of all its ranks.
_SEVERITY = ("dead", "damaged", "stalled", "live", "ended")


@dataclass(frozen=True)
class Row:
    """A run, or a job with its ranks.

    Attributes:
        run: The run. Of a job, the counters are those of the rank that is furthest behind, and the state is the
            worst; all else is that of the lowest rank.
        ranks: The runs of a job, by their rank; empty for a run.
        slowest: The rank that is slower than the others, or else behind them; None if they are in step.
        slowness: By how much, as a text.
        worst: The run whose state the row shows.
        job: The row of the job that this rank is shown under, if any.
    """

    run: Run
    ranks: tuple[Run, ...] = ()
    slowest: Run | None = None
    slowness: str = ""
    worst: Run = field(kw_only=True)
    job: Row | None = None

    @property
    def key(self) -> str:
        """The name of the row, which it keeps from one look to the next."""
        return f"{'job' if self.ranks else 'run'} {os.fspath(self.run.path)}"

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs in this row."""
        return self.ranks or (self.run,)

    @property
    def rank_rows(self) -> list[Row]:
        """The rows of its ranks."""
        return [
            Row(run, worst=run, job=self, slowest=self.slowest if run is self.slowest else None, slowness=self.slowness)
            for run in self.ranks
        ]


def rank_of(run: Run) -> int | None:
    """Return the rank of a run, None if it is not one of several."""
    identity = run.identity
    return identity.rank if identity is not None and (identity.world_size or 0) > 1 else None


def as_rows(runs: Iterable[Run]) -> list[Row]:
    """Return runs as rows, in their order; the ranks of a job are one row, in the place of the first of them.

    Runs belong together if they have the same job, number of ranks and command, and different ranks: a process that
    trains twice has two rows.
    """
    all_runs = list(runs)
    by_job: dict[object, list[dict[int, Run]]] = {}
    for run in sorted(all_runs, key=lambda run: run.started_ns or 0):
        rank = rank_of(run)
        if rank is not None:
            _add_to_latest(by_job.setdefault(_job_of(run), []), rank, run)
    groups = {id(run): group for same_job in by_job.values() for group in same_job for run in group.values()}
    rows: list[Row] = []
    done: set[int] = set()
    for run in all_runs:
        group = groups.get(id(run))
        if group is None:
            rows.append(_row([run]))
        elif id(group) not in done:
            done.add(id(group))
            rows.append(_row([group[rank] for rank in sorted(group)]))
    return rows


def _add_to_latest(groups: list[dict[int, Run]], rank: int, run: Run) -> None:
    # A job that is begun once more under the same name: the ranks of each time belong together.
    group = next((each for each in reversed(groups) if rank not in each), None)
    if group is None:
        groups.append({rank: run})
    else:
        group[rank] = run


def _job_of(run: Run) -> object:
    identity = run.identity
    if identity is None:
        return None
    shared: tuple[str, ...] = ()
    # The address where ranks meet is that of one group of them; Lightning starts rank 0 by another command.
    if identity.scheduler != "torch":
        # Some launchers tell each rank its number by an argument.
        shared = tuple(each for each in identity.command if not each.startswith(("--local-rank", "--local_rank")))
    return identity.job, identity.world_size, shared, run.user_id


def _row(ranks: Sequence[Run]) -> Row:
    if len(ranks) == 1:
        return Row(ranks[0], worst=ranks[0])
    # The longest silent of the worst: where one rank is killed, its launcher ends the others.
    worst = min(ranks, key=lambda run: (_SEVERITY.index(status(run)), -(run.age_s or 0.0)))
    moving = [run for run in ranks if run.state == "live"] or list(ranks)
    last = min(moving, key=lambda run: _above_unknown(run.iter))
    rates, etas = _known(moving, "rate"), _known(moving, "eta_s")
    first = moving[0]
    slowest, slowness = _slowest(moving)
    shown = replace(
        first,
        path=ranks[0].path,
        state=worst.state,
        is_stalled=worst.is_stalled,
        error=worst.error,
        age_s=worst.age_s if worst.state != "live" or worst.is_stalled else first.age_s,
        epoch=last.epoch,
        iter=last.iter,
        rate=min(rates, default=None),
        eta_s=max(etas, default=None),
    )
    return Row(shown, tuple(ranks), slowest, slowness, worst=worst)


def _known(runs: Iterable[Run], name: str) -> list[float]:
    return [each for each in map(attrgetter(name), runs) if each is not None]


def _slowest(runs: Sequence[Run]) -> tuple[Run | None, str]:
    counted = [(run.iter, run) for run in runs if run.iter is not None]
    timed = [(run.rate, run) for run in runs if run.rate]
    if len(counted) < 2:
        return None, ""
    (least, last), (most, _) = (choose(counted, key=lambda each: each[0]) for choose in (min, max))
    # Nothing moves while all wait.
    is_still = all(run.is_stalled for run in runs)
    in_step = 0 if is_still else _IN_STEP + _IN_STEP_S * max((rate for rate, _ in timed), default=0.0)
    if most - least <= in_step:  # of ranks in step, rates differ only because they are measured one after another
        return None, ""
    if len(timed) > 1:
        (low, slowest), (high, _) = (choose(timed, key=lambda each: each[0]) for choose in (min, max))
        if low < _SLOWER * high:
            return slowest, f"{1 - low / high:.0%} slower"
    return last, f"{format_count(most - least)} behind"


def _above_unknown(number: int | None) -> tuple[bool, int]:
    return number is None, number or 0


@dataclass(frozen=True)
class Order:
    """An order of rows.

    Attributes:
        title: The name of it, as in the table.
        value: The value by which rows are ordered; a row without one comes last.
        is_descending: Whether the highest comes first, unless it is reversed.
    """

    title: str
    value: Callable[[Row], Any]
    is_descending: bool = False


ORDERS = {
    order.title: order
    for order in (
        # Live runs before others, the latest first: the order in which they come.
        Order("begin", lambda row: (row.run.state == "live", row.run.started_ns or 0), is_descending=True),
        Order("run", lambda row: name_text(row.run).casefold()),
        Order("state", lambda row: _SEVERITY.index(status(row.run))),
        Order("stage", lambda row: row.run.loop_stage),
        Order("epoch", lambda row: row.run.epoch, is_descending=True),
        Order("iter", lambda row: row.run.iter, is_descending=True),
        Order("done", lambda row: fraction(row.run.iter, row.run.max_iters), is_descending=True),
        Order("rate", lambda row: row.run.rate, is_descending=True),
        Order("ETA", lambda row: row.run.eta_s),
        Order("loss", lambda row: _number(shown_loss(row.run))),
        Order("updated", lambda row: row.run.age_s),
        Order("pid", lambda row: row.run.pid),
    )
}
"""Each order by its title."""


def _number(value: float | None) -> float | None:
    return value if value is None or value == value else float("inf")  # a loss that is not a number is a bad one


def in_order(rows: Iterable[Row], title: str, *, is_reversed: bool = False) -> list[Row]:
    """Return rows in an order.

    Args:
        rows: The rows.
        title: The order: a key of `ORDERS`.
        is_reversed: Whether the first comes last; rows without a value are at the end all the same.
    """
    order = ORDERS[title]
    valued = [(order.value(row), row) for row in rows]
    known = [(value, row) for value, row in valued if value is not None]
    known.sort(key=lambda each: each[0], reverse=order.is_descending != is_reversed)
    return [row for _, row in known] + [row for value, row in valued if value is None]


def is_match(row: Row, words: str) -> bool:
    """Tell whether a row matches a filter.

    It is a text in the name, state, stage, user, job, run id, host, command or process id of a run. Capital letters
    do not matter, and ``|`` separates texts one of which has to match.

    Args:
        row: The row. A job matches if one of its ranks does.
        words: The filter.
    """
    wanted = [each.strip().casefold() for each in words.split("|") if each.strip()]
    if not wanted:
        return True
    found = "\n".join(_texts(run) for run in row.runs).casefold()
    return any(each in found for each in wanted)


def _texts(run: Run) -> str:
    texts = [name_text(run), str(run.pid), status(run), run.loop_stage or "", user_text(run)]
    identity = run.identity
    if identity is not None:
        texts += [identity.job or "", identity.host, identity.run_id, " ".join(identity.command)]
    return "\n".join(texts)


def visible(rows: Iterable[Row], unfolded: Collection[str]) -> list[Row]:
    """Return the rows, and after each job that is unfolded the rows of its ranks.

    Args:
        rows: The rows.
        unfolded: The keys of jobs.
    """
    return [each for row in rows for each in (row, *(row.rank_rows if row.key in unfolded else ()))]
