"""Compare what each adapter adds to an iteration with what it added at a base commit.

    python benchmarks/against.py [--base COMMIT] [--keep] [FRAMEWORK ...]

With a base commit, its code is checked out and trains in turns with the code of this tree, each in its own process.
Without one, its figures are those that before.json keeps from an earlier run. `--keep` writes that file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from effort import FULL, Effort
from frameworks import OWN_LOGS
from table import Aim, Group, Row, circumstances, every_figure, microseconds, times
from timing import Cost
from trees import ROOT, Kind, TreeError, checked_out, commit_id, costs

KEPT = Path(__file__).with_name("before.json")

_AIMS_BESIDE = {
    "030484ab2f095a8c4c4ccbbca352977a465223ac": {
        "PyTorch": 0.5,
        "Accelerate": 0.5,
        "Keras": 0.6,
        "Transformers": 0.6,
        "mmengine": 0.7,
        "Lightning": 0.7,
        "Ignite": 0.7,
    }
}
"""How much of what it added at a commit an adapter may add now."""

# Keras has no log of its own; its row shows a callback that does the least.
_WITHOUT_OWN_LOG = {"Keras"}


@dataclass(frozen=True, slots=True)
class Figures:
    """What an iteration costs in one framework; `own` is that with the framework's own log."""

    bare: Cost
    ours: Cost
    own: Cost | None = None

    @property
    def noise(self) -> Cost:
        """A difference too small to count."""
        return Cost(0.02 * self.bare.low, 0.02 * self.bare.median)

    @property
    def added(self) -> Cost:
        return self.ours - self.bare


@dataclass(frozen=True, slots=True)
class Before:
    """The figures of a base commit.

    Attributes:
        commit: Its whole id.
        measured: When and on what.
        figures: By framework.
    """

    commit: str
    measured: str
    figures: dict[str, Figures]

    @property
    def name(self) -> str:
        return self.commit[:7]

    def write(self, path: Path = KEPT) -> None:
        """Write them as JSON, in microseconds."""
        figures = {
            framework: {kind: _in_microseconds(getattr(each, kind)) for kind in ("bare", "ours")}
            for framework, each in self.figures.items()
        }
        text = json.dumps({"commit": self.commit, "measured": self.measured, "microseconds": figures}, indent=2)
        path.write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path = KEPT) -> Before:
        """Read what `write` wrote."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        figures = {
            framework: Figures(
                **{kind: Cost(**{name: us / 1e6 for name, us in cost.items()}) for kind, cost in each.items()}
            )
            for framework, each in kept["microseconds"].items()
        }
        return cls(kept["commit"], kept["measured"], figures)


def _in_microseconds(cost: Cost) -> dict[str, float]:
    return {name: round(seconds * 1e6, 3) for name, seconds in dataclasses.asdict(cost).items()}


def measure(
    effort: Effort, base: str | None = None, frameworks: Iterable[str] = OWN_LOGS, *, root: Path = ROOT
) -> tuple[dict[str, Figures], Before | None]:
    """Return the figures of a repository's working tree by framework, and those of the base commit.

    Raises:
        UnknownCommitError: If there is no such commit.
        WrongTreeError: If a process imports our packages from another tree.
        WorkerError: If a process ends before its answer.
    """
    commit = commit_id(base, root) if base else ""
    kinds: list[Kind] = [("now", "bare"), ("now", "ours"), ("now", "own")]
    if commit:
        kinds = [("before", "bare"), ("now", "bare"), ("before", "ours"), ("now", "ours"), ("now", "own")]
    now: dict[str, Figures] = {}
    before: dict[str, Figures] = {}
    load = os.getloadavg()[0]
    with checked_out(commit, root) if commit else contextlib.nullcontext(root) as tree:
        trees = {"before": tree, "now": root} if commit else {"now": root}
        for together in [[*frameworks]] if effort.is_one_process else [[framework] for framework in frameworks]:
            taken = costs(
                together,
                trees,
                kinds,
                iterations=effort.batches,
                rounds=effort.trainings,
                processes=effort.processes,
            )
            for framework, cost in taken.items():
                now[framework] = Figures(cost["now", "bare"], cost["now", "ours"], cost["now", "own"])
                if commit:
                    before[framework] = Figures(cost["before", "bare"], cost["before", "ours"])
    return now, Before(commit, circumstances(load, os.getloadavg()[0]), before) if commit else None


def groups(now: dict[str, Figures], before: Before, *, is_kept: bool) -> Iterator[Group]:
    """Yield the two tables: beside each framework's own log, and beside the base commit."""
    yield Group(
        "In a framework",
        "An iteration that does next to nothing, bare, with our adapter, and with the framework's own way of logging "
        "one loss. A time is the 10th percentile of all iterations, which other users of the machine hardly move; the "
        "median over whole trainings stands beside it. What each adds is its time less that of the bare iteration.",
        tuple(own_log_row(framework, figures) for framework, figures in now.items()),
    )
    how = (
        f"Its figures are kept from an earlier run; `make bench BASE={before.name}` takes both in turns. "
        f"{before.measured}"
        if is_kept
        else "Both trained in turns, each with its own code in its own process."
    )
    yield Group(
        "What an adapter adds, before and now",
        f"What our adapter adds to an iteration, beside what it added at commit {before.name}. {how}",
        tuple(
            before_row(framework, figures, before) for framework, figures in now.items() if framework in before.figures
        ),
    )


def own_log_row(framework: str, figures: Figures) -> Row:
    """Return the row that compares an adapter with the framework's own log."""
    assert figures.own is not None
    added, own, noise = figures.added, figures.own - figures.bare, figures.noise
    return Row(
        f"iteration, in {framework}, bare {_cell(figures.bare)}",
        f"with us {_cell(figures.ours)}",
        f"with {OWN_LOGS[framework]} {_cell(figures.own)}",
        f"adds {_compared(added.low, own.low, noise.low)} (median {_compared(added.median, own.median, noise.median)})",
        None if framework in _WITHOUT_OWN_LOG else Aim("less than its own log", added.low < own.low),
        is_headline=True,
    )


def before_row(framework: str, now: Figures, before: Before) -> Row:
    """Return the row that compares an adapter with itself at the base commit."""
    then = before.figures[framework]
    ratio = _ratio(now.added.low, then.added.low, now.noise.low)
    median = _ratio(now.added.median, then.added.median, now.noise.median)
    aim = _AIMS_BESIDE.get(before.commit, {}).get(framework)
    return Row(
        f"added to an iteration, in {framework}",
        _added_cell(now),
        f"{before.name} {_added_cell(then)}",
        f"{_ratio_cell(ratio)} (median {_ratio_cell(median)})",
        Aim(f"at most {aim} x", ratio is not None and ratio <= aim) if aim else None,
    )


def _cell(cost: Cost) -> str:
    return f"{microseconds(cost.low)} (median {microseconds(cost.median)})"


def _added_cell(figures: Figures) -> str:
    low, median = (
        microseconds(added) if added > noise else "within the noise"
        for added, noise in zip(dataclasses.astuple(figures.added), dataclasses.astuple(figures.noise), strict=True)
    )
    return f"{low} (median {median})"


def _compared(ours: float, own: float, noise: float) -> str:
    if ours <= noise and own <= noise:
        return "nothing"
    if ours <= noise or own <= noise:  # a ratio would say nothing
        return "more" if ours > own else "less"
    return times(ours, own)


def _ratio(now: float, before: float, noise: float) -> float | None:
    """Return how much of it is left, or None where there was nothing before that could be told from noise."""
    return max(now, 0.0) / before if before > noise else None


def _ratio_cell(ratio: float | None) -> str:
    return "within the noise" if ratio is None else f"{ratio:.2f} x"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=f"of {', '.join(OWN_LOGS)}; all if none")
    parser.add_argument("--base", metavar="COMMIT", help="train with the code of this commit too")
    parser.add_argument("--keep", action="store_true", help=f"write the figures of the commit into {KEPT.name}")
    parser.add_argument("--rounds", type=int, default=FULL.trainings, help="trainings of each kind in a process")
    parser.add_argument("--iterations", type=int, default=FULL.batches, help="iterations of a training")
    parser.add_argument("--processes", type=int, default=FULL.processes, help="processes of each tree in succession")
    arguments = parser.parse_args()
    names = {name.lower(): name for name in OWN_LOGS}
    if unknown := [name for name in arguments.frameworks if name.lower() not in names]:
        parser.error(f"unknown: {', '.join(unknown)}")
    if arguments.keep and (arguments.frameworks or not arguments.base):
        parser.error("--keep needs --base, and every framework")
    effort = dataclasses.replace(
        FULL, trainings=arguments.rounds, batches=arguments.iterations, processes=arguments.processes
    )
    load = os.getloadavg()[0]
    chosen = [names[name.lower()] for name in arguments.frameworks] or list(OWN_LOGS)
    try:
        now, before = measure(effort, arguments.base, chosen)
    except TreeError as error:
        print(error, file=sys.stderr)
        return 1
    if before and arguments.keep:
        before.write()
    tables = groups(now, before or Before.read(), is_kept=before is None)
    print(every_figure(tables, circumstances(load, os.getloadavg()[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
