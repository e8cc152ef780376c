"""Measures what `reduce` costs a call, as a function of scalars and ranks, beside what others do for it.

    python benchmarks/reduce.py [--quick]

The ranks are processes of this machine, over gloo. A candidate is told one new value of each scalar, and then timed
as it brings them together; all candidates take turns, in the same processes. The figures are those of rank 0.
TorchMetrics and TorchEval are measured where they are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

KEYS = (1, 10, 100, 1000)
RANKS = (1, 2, 4)

OURS = "ours"

# A candidate that has a collective for each scalar takes seconds for a thousand of them.
_ROUNDS = {1: 40, 10: 20, 100: 10, 1000: 3}

Call = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call takes.

    Attributes:
        candidate: Who does it.
        keys: For how many scalars.
        ranks: Over how many ranks.
        seconds: The median of the calls.
    """

    candidate: str
    keys: int
    ranks: int
    seconds: float


def costs(ranks: int, keys: tuple[int, ...] = KEYS, *, is_quick: bool = False) -> list[Cost]:
    """Measure with so many ranks, in processes of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    asked = ["--worker", ",".join(map(str, keys)), *(["--quick"] if is_quick else [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    done = subprocess.run(
        [*command, str(Path(__file__).resolve()), *asked], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return [Cost(**entry) for entry in json.loads(done.stdout.splitlines()[-1])]


def candidates(keys: int) -> dict[str, Call]:
    """Return who is measured: each is called with the new value of every scalar, and brings them together."""
    return {
        OURS: _ours(keys),
        "two all_reduces of all": _fused(keys),
        "all_gather_object": _objects(keys),
        "an all_reduce a scalar": _naive(keys),
        **({"TorchMetrics": _torchmetrics(keys)} if find_spec("torchmetrics") else {}),
        **({"TorchEval": _torcheval(keys)} if find_spec("torcheval") else {}),
    }


def _ours(keys: int) -> Call:
    from runtimeinfo_adapters import MessageHub
    from runtimeinfo_adapters.distributed import reduce

    hub = MessageHub(f"reduce {keys}")
    names = [f"train/k{index}" for index in range(keys)]

    def call(value: float) -> object:
        for name in names:
            hub.update_scalar(name, value)
        return reduce(hub)

    return call


def _fused(keys: int) -> Call:
    """Sums and maxima in two collectives: the least there is, which notices no difference between the ranks."""
    import torch
    import torch.distributed as dist

    def call(value: float) -> object:
        sums = torch.full((3 * keys,), value, dtype=torch.float64)
        extremes = torch.full((2 * keys,), value, dtype=torch.float64)
        dist.all_reduce(sums)
        dist.all_reduce(extremes, dist.ReduceOp.MAX)
        return sums.tolist(), extremes.tolist()

    return call


def _objects(keys: int) -> Call:
    import torch.distributed as dist

    names = [f"train/k{index}" for index in range(keys)]

    def call(value: float) -> object:
        gathered: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, dict.fromkeys(names, (value, 1)))
        return {name: sum(each[name][0] for each in gathered) / len(gathered) for name in names}

    return call


def _naive(keys: int) -> Call:
    import torch
    import torch.distributed as dist

    def call(value: float) -> object:
        means: list[float] = []
        for _ in range(keys):
            tensor = torch.tensor([value, 1.0], dtype=torch.float64)
            dist.all_reduce(tensor)
            means.append((tensor[0] / tensor[1]).item())
        return means

    return call


def _torchmetrics(keys: int) -> Call:
    from torchmetrics import MeanMetric

    metrics = [MeanMetric() for _ in range(keys)]

    def call(value: float) -> object:
        for metric in metrics:
            metric.update(value)
        return [metric.compute().item() for metric in metrics]

    return call


def _torcheval(keys: int) -> Call:
    import torch
    from torcheval.metrics import Mean
    from torcheval.metrics.toolkit import sync_and_compute_collection

    metrics: dict[str, Any] = {f"train/k{index}": Mean() for index in range(keys)}

    def call(value: float) -> object:
        for metric in metrics.values():
            metric.update(torch.tensor(value))
        return sync_and_compute_collection(metrics)

    return call


def _work(keys: tuple[int, ...], *, is_quick: bool) -> None:
    """Be a rank, and let rank 0 print what was measured."""
    import torch.distributed as dist

    dist.init_process_group("gloo")
    measured: list[Cost] = []
    for count in keys:
        calls = candidates(count)
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for call in calls.values():
            call(0.5)  # with what is done once
        for turn in range(1 if is_quick else _ROUNDS[count]):
            for name, call in calls.items():
                dist.barrier()
                begin = time.perf_counter()
                call(float(turn))
                taken[name].append(time.perf_counter() - begin)
        measured += [Cost(name, count, dist.get_world_size(), median(each)) for name, each in taken.items()]
    if dist.get_rank() == 0:
        print(json.dumps([asdict(cost) for cost in measured]))
    dist.barrier()
    dist.destroy_process_group()


def render(measured: list[Cost]) -> str:
    """Return a table as Markdown: a line for each number of ranks and scalars, and beside ours the ratio of each."""
    names = list(dict.fromkeys(cost.candidate for cost in measured))
    found = {(cost.ranks, cost.keys, cost.candidate): cost.seconds for cost in measured}
    lines = [f"| ranks | scalars | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for ranks, keys in dict.fromkeys((cost.ranks, cost.keys) for cost in measured):
        mine = found[ranks, keys, OURS]
        cells = [
            _shown(found[ranks, keys, name]) + ("" if name == OURS else f" ({found[ranks, keys, name] / mine:.1f} x)")
            for name in names
        ]
        lines.append(f"| {ranks} | {keys:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one call each: to see that it runs")
    parser.add_argument("--worker", metavar="KEYS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        _work(tuple(map(int, arguments.worker.split(","))), is_quick=arguments.quick)
        return 0
    print(render([cost for ranks in RANKS for cost in costs(ranks, is_quick=arguments.quick)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
