"""Measure what a look at many boards costs, beside what it cost at a base commit.

    python benchmarks/watching.py --base COMMIT [--write] [--quick] [--root FOLDER]

The code of the commit is checked out and measured in turns with that of this tree, each in its own process. In each,
hubs share boards, which stand for those of other processes: they name the process ids of programs that sleep. Between
two looks either nothing has happened, or each run has made an iteration with four scalars. Each figure is the least of
many looks, in processor time. With `--write` the table goes to docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from table import Aim, Group, Row, circumstances, every_figure, write_section
from timing import in_turns
from trees import ROOT, TreeError, Worker, checked_out, commit_id

AIM = 1 / 4
"""The part of the time of the base commit that a look may take."""

_KEYS = ("train/loss", "train/lr", "train/time", "train/data_time")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        boards: The number of boards.
        looks: The number of looks in a turn.
        rounds: How often each tree has its turn.
        processes: The number of programs that sleep.
    """

    boards: int
    looks: int
    rounds: int
    processes: int


FULL = Scale(boards=500, looks=25, rounds=4, processes=50)
QUICK = Scale(boards=20, looks=2, rounds=1, processes=2)

_MEASURED = {
    "changed": "a look at {boards} boards, where each has changed",
    "unchanged": "a look at {boards} boards, where none has changed",
}


# -- in the process of a tree


class _Watched:
    """Boards that are looked at."""

    def __init__(self, scale: Scale) -> None:
        from runtimeinfo_adapters import MessageHub
        from runtimeinfo_adapters.top import Runs

        self._sleeping = [subprocess.Popen(["sleep", "1000"]) for _ in range(scale.processes)]
        self._hubs = [
            MessageHub(
                f"watched {index}", runtime_info={"experiment_name": f"watched {index}", "cfg": "lr = 0.1\n" * 20}
            )
            for index in range(scale.boards)
        ]
        for hub in self._hubs:
            hub.update_info_dict({"loop_stage": "train", "epoch": 1, "iter": 0, "max_epochs": 5, "max_iters": 10**6})
            hub.share()
        self._runs = Runs()
        self._iteration = 0
        self.change()
        for index, hub in enumerate(self._hubs):
            _give(hub.board_path, self._sleeping[index % scale.processes].pid)

    def change(self) -> None:
        """Let each run make an iteration."""
        self._iteration += 1
        for hub in self._hubs:
            for key in _KEYS:
                hub.update_scalar(key, self._iteration / 7)
            hub.update_info("iter", self._iteration)
            hub.update_info("epoch", self._iteration)  # which brings the scalars to the board

    def seconds(self, looks: int, *, changed: bool) -> float:
        """Return the least processor time of a look."""
        self._runs.look()
        taken: list[float] = []
        for _ in range(looks):
            if changed:
                self.change()
            begin = time.process_time()
            seen = self._runs.look()
            taken.append(time.process_time() - begin)
            assert {run.state for run in seen} == {"live"}
        return min(taken)

    def close(self) -> None:
        for process in self._sleeping:
            process.kill()
            process.wait()
        for hub in self._hubs:
            hub.unshare()


def _give(board: Any, pid: int) -> None:
    """Let a board name another process as the one that writes it."""
    from runtimeinfo.board import layout
    from runtimeinfo.board.process import started

    with board.open("r+b", buffering=0) as file:
        for cell, value in ((layout.PID, pid), (layout.STARTED, started(pid))):
            file.seek(cell * layout.CELL)
            file.write(value.to_bytes(layout.CELL, sys.byteorder))


def _work() -> None:
    """Answer requests: each is a scale, and whether the boards change."""
    import runtimeinfo
    import runtimeinfo_adapters

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(json.dumps([runtimeinfo.__file__, runtimeinfo_adapters.__file__]), file=answers, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RUNTIMEINFO_FOLDER"] = folder
        watched: _Watched | None = None
        for line in sys.stdin:
            scale, changed = json.loads(line)
            watched = watched or _Watched(Scale(**scale))
            print(json.dumps(watched.seconds(scale["looks"], changed=changed)), file=answers, flush=True)
        if watched is not None:
            watched.close()


# -- in the process that compares


def measure(scale: Scale, base: str, root: Path = ROOT) -> dict[tuple[str, str], float]:
    """Return the seconds of a look by tree, ``"now"`` or ``"before"``, and by what has happened to the boards.

    Raises:
        UnknownCommitError: If there is no such commit.
        WrongTreeError: If a process imports our packages from another tree.
        WorkerError: If a process ends before its answer.
    """
    with checked_out(commit_id(base, root), root) as tree, contextlib.ExitStack() as stack:
        workers = {name: Worker(each, Path(__file__)) for name, each in (("now", root), ("before", tree))}
        for worker in workers.values():
            stack.callback(worker.close)
        for worker in workers.values():
            worker.check_tree()
        windows = {
            (name, kind): partial(worker.ask, [asdict(scale), kind == "changed"])
            for name, worker in workers.items()
            for kind in _MEASURED
        }
        return {window: min(taken) for window, taken in in_turns(windows, scale.rounds).items()}


def group(scale: Scale, taken: dict[tuple[str, str], float], base: str) -> Group:
    """Return the table."""
    rows: list[Row] = []
    for kind, measured in _MEASURED.items():
        now, before = taken["now", kind], taken["before", kind]
        rows.append(
            Row(
                measured.format(boards=scale.boards),
                f"{now * 1e3:.1f} ms",
                f"{base} {before * 1e3:.1f} ms",
                f"{now / before:.2f} x",
                Aim(f"at most {AIM:.2f} x", now <= AIM * before),
            )
        )
    return Group(
        "Watching many runs",
        f"A look of `runtimeinfo_adapters.top.Runs`, beside what it cost at commit {base}: the least processor time of "
        f"{scale.looks * scale.rounds} looks. Both were measured in turns, each with its own code in its own process.",
        tuple(rows),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tree", nargs="?", help=argparse.SUPPRESS)  # that a worker measures
    parser.add_argument("--base", metavar="COMMIT", help="the commit to compare with")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--quick", action="store_true", help="a few seconds only: to see that it runs")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="whose page --write changes")
    arguments = parser.parse_args()
    if arguments.tree:
        _work()
        return 0
    if not arguments.base:
        parser.error("--base is needed: a time says little about another machine")
    scale, load = QUICK if arguments.quick else FULL, os.getloadavg()[0]
    try:
        base = commit_id(arguments.base)
        table = group(scale, measure(scale, base), base[:7])
    except TreeError as error:
        print(error, file=sys.stderr)
        return 1
    text = f"{every_figure([table], '').strip()}\n\n{circumstances(load, os.getloadavg()[0])}"
    print(text)
    if arguments.write:
        write_section(arguments.root / "docs" / "performance.md", "watching", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
