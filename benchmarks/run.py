"""Measure us and our peers in one run, and print the figures as tables of ratios.

    python benchmarks/run.py [--quick] [--write] [--base COMMIT] [--root FOLDER]

All figures go to docs/performance.md, those that tell most to README.md, and a picture of one to docs/cost.svg.
With a base commit, its code is measured in turns with that of this tree; see against.py and many_keys.py. `--write`
keeps its figures in before.json and many_keys.json, which later runs without a base commit show.

Unless a table says something else, times are medians over rounds in which all candidates take turns; see timing.py.
Our hubs are shared with other processes, as they are in a run, unless a row says that they are not.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import against
import many_keys
import numpy as np
import reduce
import saved_state
import shared_numbers
from cost_plot import picture
from effort import FULL, QUICK, Effort
from iteration_costs import IterationCosts
from memory import bytes_per_value
from startup import heavy_modules_after, import_seconds
from subjects import HistoryBuffer, float_outputs, tensor_outputs
from table import (
    Aim,
    Group,
    MarkersMissingError,
    Row,
    around_markers,
    circumstances,
    every_figure,
    headlines,
    microseconds,
    times,
    write_between_markers,
)
from trees import TreeError

from runtimeinfo_adapters import ScalarHistory

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    arguments = _parse_arguments()
    readme, docs = arguments.root / "README.md", arguments.root / "docs"
    try:
        if arguments.write:  # before minutes are spent on it
            around_markers(readme)
            around_markers(docs / "performance.md")
        before = os.getloadavg()[0]
        effort = QUICK if arguments.quick else FULL
        plot = docs / "cost.svg" if arguments.write else None
        keep = arguments.write and not arguments.quick
        groups = list(_groups(effort, plot, arguments.base, keep=keep))
        line = circumstances(before, os.getloadavg()[0])
        if arguments.quick:
            line += " A quick run: the figures mean little."
        print(every_figure(groups, line))
        if arguments.write:
            write_between_markers(docs / "performance.md", every_figure(groups, line))
            write_between_markers(readme, headlines(groups, line))
    except (MarkersMissingError, TreeError, OSError) as error:
        print(f"not written: {error}", file=sys.stderr)
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds only: to see that it runs")
    parser.add_argument("--write", action="store_true", help="write the figures into the pages, between their markers")
    parser.add_argument("--base", metavar="COMMIT", help="measure the code of this commit too")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="whose pages --write changes")
    return parser.parse_args()


def _groups(effort: Effort, plot: Path | None, base: str | None, *, keep: bool) -> Iterator[Group]:
    yield Group(
        "One iteration",
        "A training iteration through hook and hub: two learning rates and two outputs. The hub is shared with worker "
        "processes, as it is in any run, unless a row says that it is not.",
        tuple(_iteration_rows(effort, plot)),
    )
    now, before = against.measure(effort, base)
    if before and keep:
        before.write()
    yield from against.groups(now, before or against.Before.read(), is_kept=before is None)
    yield _many_keys(many_keys.QUICK if effort.rounds == 1 else many_keys.FULL, base, keep=keep)
    yield Group(
        "A shared number",
        "One process writes it, another reads it.",
        tuple(_share_rows(effort)),
    )
    yield Group(
        "Scalars over all ranks",
        f"`reduce` over {effort.ranks} gloo ranks of this machine, histories and all, beside what it could be built "
        "from.",
        tuple(_reduce_rows(effort)),
    )
    yield Group(
        "What is kept, and what is loaded",
        "Checkpoints are written by `torch.save`.",
        (*_state_rows(effort), _memory_row(effort), _import_row(effort), _heavy_row()),
    )


def _many_keys(scale: many_keys.Scale, base: str | None, *, keep: bool) -> Group:
    now, before = many_keys.measure(scale, base)
    if before and keep:
        before.write()
    return many_keys.group(scale, now, before or many_keys.Before.read(), is_kept=before is None)


def _iteration_rows(effort: Effort, plot: Path | None) -> Iterator[Row]:
    for kind, outputs, headline_lengths in (
        ("2 tensors", tensor_outputs(), (0, 10_000, 200_000)),
        ("2 floats", float_outputs(), ()),
    ):
        costs = IterationCosts.measure(outputs, effort)
        yield from costs.rows(kind, effort, headline_lengths)
        if plot is not None and kind == "2 tensors":
            plot.write_text(picture(costs.series(), "What one iteration costs"), encoding="utf-8")


def _share_rows(effort: Effort) -> Iterator[Row]:
    written, read = shared_numbers.costs(effort.calls, effort.rounds)
    for what, mine, taken in (
        ("write", shared_numbers.WRITE, written),
        ("read in a worker", shared_numbers.READ, read),
        ("read in a worker", shared_numbers.READ_BOARD, read),
    ):
        for peer in shared_numbers.PEERS:
            yield Row(
                f"a shared number, {what}: {mine}",
                microseconds(taken[mine]),
                f"{peer} {microseconds(taken[peer])}",
                times(taken[mine], taken[peer]),
            )


def _reduce_rows(effort: Effort) -> Iterator[Row]:
    costs = reduce.costs(effort.ranks, effort.reduced, is_quick=effort.rounds == 1)
    for keys in effort.reduced:
        seconds = {cost.candidate: cost.seconds for cost in costs if cost.keys == keys}
        mine = seconds.pop(reduce.OURS)
        for peer, theirs in seconds.items():
            yield Row(
                f"reduce {keys} scalars over {effort.ranks} ranks",
                f"{mine * 1e3:.2f} ms",
                f"{peer} {theirs * 1e3:.2f} ms",
                times(mine, theirs),
            )


def _state_rows(effort: Effort) -> Iterator[Row]:
    length = effort.long_run
    size, save, load = saved_state.costs(length, effort.trainings)
    for what, taken, shown in (
        ("size", size, lambda count: f"{count / 1e6:.2f} MB"),
        ("save", save, lambda seconds: f"{seconds * 1e3:.2f} ms"),
        ("load", load, lambda seconds: f"{seconds * 1e3:.2f} ms"),
    ):
        mine, seeds = taken[saved_state.OURS], taken[saved_state.MMENGINE]
        yield Row(
            f"checkpoint of {length:,} values, {what}", shown(mine), f"mmengine {shown(seeds)}", times(mine, seeds)
        )


def _import_row(effort: Effort) -> Row:
    seconds = import_seconds("runtimeinfo", effort.import_rounds)
    return Row(
        "import runtimeinfo, beyond a bare interpreter",
        f"{seconds * 1e3:.1f} ms",
        aim=Aim("under 50 ms", seconds < 0.050),
        is_headline=True,
    )


def _heavy_row() -> Row:
    loaded = heavy_modules_after("runtimeinfo")
    return Row(
        "numpy and torch loaded by it", " and ".join(loaded) or "neither", aim=Aim("neither", reached=not loaded)
    )


def _memory_row(effort: Effort) -> Row:
    length = effort.long_run

    def mine() -> object:
        history = ScalarHistory()
        for number in range(length):
            history.update(float(number))
        return history

    def seeds() -> object:
        return HistoryBuffer(np.arange(length, dtype=float), np.ones(length, dtype=int))

    our_bytes, seed_bytes = bytes_per_value(mine, length), bytes_per_value(seeds, length)
    return Row(
        f"memory of a history of {length:,} values",
        f"{our_bytes * length / 1e6:.2f} MB",
        f"mmengine {seed_bytes * length / 1e6:.2f} MB",
        f"{seed_bytes / our_bytes:.1f} x less",
    )


if __name__ == "__main__":
    sys.exit(main())
