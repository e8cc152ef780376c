"""Compare what many scalars, long histories and many hooks cost with what they cost at a base commit.

    python benchmarks/many_keys.py [--base COMMIT] [--keep] [--quick]

With a base commit, its code is checked out and measured in turns with the code of this tree, each in its own process.
Without one, its figures are those that many_keys.json keeps from an earlier run. `--keep` writes that file.

Each figure is the least of some rounds. The times of updates are processor times of the thread: the worst of thousands
of iterations would otherwise be that in which another process had the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from table import Aim, Group, Row, circumstances, every_figure
from timing import in_turns
from trees import ROOT, TreeError, Worker, checked_out, commit_id

KEPT = Path(__file__).with_suffix(".json")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        keys: The number of scalars.
        traced: The number of scalars whose memory is measured: to trace it takes ten times as long.
        iterations: The number of updates of each.
        length: The length of a long history.
        calls: How often a short call is repeated.
        rounds: How often each tree has its turn.
    """

    keys: int
    traced: int
    iterations: int
    length: int
    calls: int
    rounds: int


# At the base commit a history moved its values after 4,096 updates.
FULL = Scale(keys=1000, traced=250, iterations=4200, length=1_000_000, calls=30, rounds=3)
QUICK = Scale(keys=150, traced=2, iterations=20, length=1000, calls=2, rounds=1)

_AIMS_BESIDE = {
    "cc559b43c21d468234d7d79cad7429972903301c": {
        "board": 1 / 8,
        "worst": 1 / 6,
        "value": 1.1,
        "waiting": 1 / 4,
        "reduce": 1 / 2,
        "state": 1 / 2,
    }
}
"""How much of a figure at a commit there may be now."""
_AIM_BESIDE_NUMPY = 1.3

Figures = dict[str, float]
"""Seconds or bytes, by what was measured."""


# -- in the process of a tree


def board(scale: Scale) -> Figures:
    """A write of all scalars to the board, each with a new value, as at every change of epoch or stage."""
    from runtimeinfo_adapters import MessageHub

    hub = MessageHub("board of many keys")
    hub.share()
    taken: list[float] = []
    for number in range(scale.calls):
        _update_all(hub, scale.keys, float(number))
        taken.append(_seconds(lambda: hub.update_info("epoch", number)))  # noqa: B023
    hub.unshare()
    return {"board": min(taken)}


def statistics(scale: Scale) -> Figures:
    """The statistics of a long history that has wrapped around, and NumPy's of the same values."""
    from runtimeinfo_adapters import ScalarHistory

    history = ScalarHistory(range(scale.length), max_length=scale.length)
    for number in range(scale.length // 3):
        history.update(float(number))
    values = history.data[0]
    return {
        name: min(_seconds(getattr(subject, statistic)) for _ in range(scale.calls))
        for statistic in ("mean", "min", "max")
        for name, subject in ((statistic, history), (f"numpy {statistic}", values))
    }


def updates(scale: Scale) -> Figures:
    """The worst of thousands of iterations that update all scalars, and the cost a value. The first one makes them."""
    from runtimeinfo_adapters import MessageHub

    hub = MessageHub("updates of many keys")
    _update_all(hub, scale.keys, 0.0)
    taken = [_seconds(partial(_update_all, hub, scale.keys, float(number))) for number in range(scale.iterations)]
    return {"worst": max(taken), "value": sum(taken) / scale.iterations / scale.keys}


def waiting(scale: Scale) -> Figures:
    """The greatest memory of the scalars at any time beyond 8 bytes a value."""
    from runtimeinfo_adapters import MessageHub

    hub = MessageHub("memory of many keys")
    greatest = 0
    gc.collect()
    tracemalloc.start()
    for number in range(scale.iterations):
        for index, key in enumerate(_names(scale.traced)):
            hub.update_scalar(key, number + index / 7)
        if number % 32 == 0:
            greatest = max(greatest, tracemalloc.get_traced_memory()[0] - 8 * number * scale.traced)
    tracemalloc.stop()
    return {"waiting": greatest}


def hooks(scale: Scale) -> Figures:
    """A `Loop`, and a hook of a new class, as a factory makes one for each plan or each trial."""
    from runtimeinfo.authoring import Dispatcher
    from runtimeinfo_adapters.pytorch import Loop

    def new_hook() -> object:
        def before_run(self: object, runner: object) -> None: ...
        def after_train_iter(self: object, runner: object, **arguments: object) -> None: ...

        return type("Hook", (), {"before_run": before_run, "after_train_iter": after_train_iter})()

    made = [new_hook() for _ in range(scale.calls)]
    return {
        "hook": min(_seconds(partial(Dispatcher, [hook])) for hook in made),
        "loop": min(_seconds(partial(Loop, train_loader=[1], max_epochs=1)) for _ in range(scale.calls)),
    }


def saved(scale: Scale) -> Figures:
    """The peak memory in which a hub with one long history is saved, and that in which it is pickled."""
    from runtimeinfo_adapters import MessageHub, ScalarHistory

    hub = MessageHub("saved", {"loss": ScalarHistory(range(scale.length))}, resumed_keys={"loss": True})
    peaks: Figures = {}
    for name, save in (("state", hub.state_dict), ("pickle", partial(pickle.dumps, hub))):
        save()
        tracemalloc.start()
        save()
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peaks


def reduced(scale: Scale) -> Figures:
    """A `reduce` of all scalars over two ranks, each with a new value."""
    lead = _two_ranks()
    lead(scale.keys, scale.calls)
    return {"reduce": min(_reduce(scale.keys, scale.calls))}


MEASUREMENTS = (board, statistics, updates, waiting, hooks, saved, reduced)


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"train/k{index}" for index in range(count))


_names = cache(_names)


def _update_all(hub: Any, count: int, value: float) -> None:
    update = hub.update_scalar
    for key in _names(count):
        update(key, value)


def _seconds(call: Callable[[], object]) -> float:
    begin = time.thread_time()
    call()
    return time.thread_time() - begin


@cache
def _reduced_hub() -> Any:
    from runtimeinfo_adapters import MessageHub

    return MessageHub("reduced")


def _reduce(keys: int, calls: int) -> list[float]:
    import torch.distributed as dist

    from runtimeinfo_adapters.distributed import reduce

    hub, taken = _reduced_hub(), []
    for number in range(calls):
        _update_all(hub, keys, float(number))
        dist.barrier()
        begin = time.perf_counter()
        reduce(hub)
        taken.append(time.perf_counter() - begin)
    return taken


@cache
def _two_ranks() -> Callable[[int, int], None]:
    """Start the second rank, and return what tells it how many scalars to reduce, and how often; 0 ends it."""
    import torch
    import torch.distributed as dist

    store = Path(tempfile.mkdtemp()) / "store"
    other = subprocess.Popen([sys.executable, __file__, "--rank", str(store)], stdout=sys.stderr)
    _join(store, 0)

    def lead(keys: int, calls: int) -> None:
        dist.broadcast(torch.tensor([keys, calls]), 0)
        if not calls:
            dist.destroy_process_group()
            other.wait()
            store.unlink(missing_ok=True)
            store.parent.rmdir()

    return lead


def _join(store: Path, rank: int) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=store.as_uri(), rank=rank, world_size=2)


def _follow(store: Path) -> None:
    """Be the second rank."""
    import torch
    import torch.distributed as dist

    _join(store, 1)
    told = torch.zeros(2, dtype=torch.int64)
    while True:
        dist.broadcast(told, 0)
        keys, calls = told.tolist()
        if not calls:
            dist.destroy_process_group()
            return
        _reduce(keys, calls)


def _work() -> None:
    """Answer requests: each is the name of a measurement and a scale."""
    import runtimeinfo
    import runtimeinfo_adapters

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    by_name = {each.__name__: each for each in MEASUREMENTS}
    print(json.dumps([runtimeinfo.__file__, runtimeinfo_adapters.__file__]), file=answers, flush=True)
    for line in sys.stdin:
        name, scale = json.loads(line)
        gc.collect()
        gc.disable()  # a collection of all objects takes longer than what is measured
        print(json.dumps(by_name[name](Scale(**scale))), file=answers, flush=True)
        gc.enable()
    if _two_ranks.cache_info().currsize:
        _two_ranks()(0, 0)


# -- in the process that compares


@dataclass(frozen=True, slots=True)
class Before:
    """The figures of a base commit.

    Attributes:
        commit: Its whole id.
        measured: When and on what.
        scale: How much was measured.
        figures: What came out.
    """

    commit: str
    measured: str
    scale: Scale
    figures: Figures

    @property
    def name(self) -> str:
        return self.commit[:7]

    def write(self, path: Path = KEPT) -> None:
        """Write them as JSON."""
        path.write_text(f"{json.dumps(asdict(self), indent=2)}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path = KEPT) -> Before:
        """Read what `write` wrote."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(kept["commit"], kept["measured"], Scale(**kept["scale"]), kept["figures"])


def measure(scale: Scale, base: str | None = None, *, root: Path = ROOT) -> tuple[Figures, Before | None]:
    """Return the figures of a repository's working tree, and those of the base commit.

    Raises:
        UnknownCommitError: If there is no such commit.
        WrongTreeError: If a process imports our packages from another tree.
        WorkerError: If a process ends before its answer.
    """
    commit = commit_id(base, root) if base else ""
    load = os.getloadavg()[0]
    with checked_out(commit, root) if commit else contextlib.nullcontext(root) as tree:
        taken = _taken({"now": root, "before": tree} if commit else {"now": root}, scale)
    before = Before(commit, circumstances(load, os.getloadavg()[0]), scale, taken["before"]) if commit else None
    return taken["now"], before


def _taken(trees: Mapping[str, Path], scale: Scale) -> dict[str, Figures]:
    """Return the least of each figure over the rounds, by tree."""
    least: dict[str, Figures] = {name: {} for name in trees}
    with contextlib.ExitStack() as stack:
        workers = {name: Worker(tree, Path(__file__)) for name, tree in trees.items()}
        for worker in workers.values():
            stack.callback(worker.close)
        for worker in workers.values():
            worker.check_tree()
        for measurement in MEASUREMENTS:
            request = [measurement.__name__, asdict(scale)]
            rounds = 1 if measurement in (waiting, saved) else scale.rounds  # memory is the same each time
            windows = {name: partial(worker.ask, request) for name, worker in workers.items()}
            for name, answers in in_turns(windows, rounds).items():
                for figure in answers[0]:
                    least[name][figure] = min(answer[figure] for answer in answers)
    return least


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.2f} µs"


def _size(count: float) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count / 1e3:.2f} kB"


def group(scale: Scale, now: Figures, before: Before, *, is_kept: bool) -> Group:
    """Return the table of the figures beside those of the base commit."""
    how = (
        f"Its figures are kept from an earlier run; `make bench BASE={before.name}` takes both in turns. "
        f"{before.measured}"
        if is_kept
        else "Both were measured in turns, each with its own code in its own process."
    )
    return Group(
        "Many scalars, long histories, many hooks",
        f"{scale.keys:,} scalars, a history of {scale.length:,} values that has wrapped around, and hooks, beside what "
        f"they cost at commit {before.name}. Each figure is the least of several rounds; times are processor "
        f"times, except that of `reduce`. {how}",
        tuple(_rows(scale, now, before)),
    )


def _rows(scale: Scale, now: Figures, before: Before) -> Iterator[Row]:
    keys, length = f"{scale.keys:,} scalars", f"{scale.length:,} values"
    beside: dict[str, tuple[str, Callable[[float], str]]] = {
        "board": (f"write {keys} to the board", _time),
        "worst": (f"worst of {scale.iterations:,} iterations that update {keys}", _time),
        "value": (f"update of one of {keys}", _time),
        "waiting": (f"memory of {scale.traced:,} scalars beyond 8 bytes a value", _size),
        "reduce": (f"reduce {keys} over 2 ranks", _time),
        "state": (f"peak memory of state_dict with {length}", _size),
        "pickle": (f"peak memory of a pickle with {length}", _size),
        "hook": ("register a hook of a new class", _time),
        "loop": ("make a Loop", _time),
    }
    aims = _AIMS_BESIDE.get(before.commit, {})
    for name, (measured, shown) in beside.items():
        ratio = _ratio(scale, now, before, name)
        aim, then = aims.get(name), f"{before.name} {shown(before.figures[name])}"
        judged = Aim(f"at most {aim:.3g} x", ratio <= aim) if aim and ratio is not None else None
        yield Row(measured, shown(now[name]), then, _ratio_cell(ratio), judged)
    for name in ("mean", "min", "max"):
        theirs, ratio = now[f"numpy {name}"], _ratio(scale, now, before, name)
        yield Row(
            f"{name} of {length}",
            _time(now[name]),
            f"NumPy {_time(theirs)}, {before.name} {_time(before.figures[name])}",
            ", ".join(filter(None, (f"{now[name] / theirs:.2f} x NumPy", _ratio_cell(ratio)))),
            Aim(f"at most {_AIM_BESIDE_NUMPY} x NumPy", now[name] <= _AIM_BESIDE_NUMPY * theirs),
        )


def _ratio(scale: Scale, now: Figures, before: Before, name: str) -> float | None:
    """Return how much of a figure is left, or None where another scale was measured."""
    return now[name] / before.figures[name] if before.scale == scale else None


def _ratio_cell(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3f} x"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tree", nargs="?", help=argparse.SUPPRESS)  # that a worker measures
    parser.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--base", metavar="COMMIT", help="measure the code of this commit too")
    parser.add_argument("--keep", action="store_true", help=f"write the figures of the commit into {KEPT.name}")
    parser.add_argument("--quick", action="store_true", help="a few seconds only: to see that it runs")
    arguments = parser.parse_args()
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if arguments.tree or arguments.rank:
        _follow(arguments.rank) if arguments.rank else _work()
        return 0
    if arguments.keep and (arguments.quick or not arguments.base):
        parser.error("--keep needs --base, and not --quick")
    scale, load = QUICK if arguments.quick else FULL, os.getloadavg()[0]
    try:
        now, before = measure(scale, arguments.base)
    except TreeError as error:
        print(error, file=sys.stderr)
        return 1
    if before and arguments.keep:
        before.write()
    table = group(scale, now, before or Before.read(), is_kept=before is None)
    print(every_figure([table], circumstances(load, os.getloadavg()[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
