"""Measure what values on a device cost: host time, waits, training speed, and how old they are for other processes.

    python benchmarks/device.py [--quick] [--write] [--save FILE] [--root FOLDER]

At most 4 minutes on one GPU. `--write` puts the table into docs/performance.md, between markers of its own; it does so
only with what a GPU has measured. `--save` writes the same into a file.

Without CUDA a stand-in takes its place: tensors of the CPU that say they are elsewhere. It shows what our code adds; a
copy on a real device is enqueued, and done later. What needs a real one is named. mmengine is measured if it is there.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from hooked import least_runner
from table import Aim, Group, Row, every_figure, microseconds, write_section
from timing import Window, round_robin, stopwatch

from runtimeinfo import RuntimeInfoHook, use_hub
from runtimeinfo_adapters import MessageHub

ROOT = Path(__file__).resolve().parent.parent
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
HAS_MMENGINE = importlib.util.find_spec("mmengine") is not None

_ARGUMENTS = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
_ARGUMENTS.add_argument("--quick", action="store_true", help="a few seconds only: to see that it runs")
_ARGUMENTS.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
_ARGUMENTS.add_argument("--save", type=Path, metavar="FILE", help="write the table into this file")
_ARGUMENTS.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="whose pages --write changes")
OPTIONS = _ARGUMENTS.parse_args()
QUICK = OPTIONS.quick
ROUNDS = 1 if QUICK else 11
WINDOW = 64 if QUICK else 1_024
READ = 200 if QUICK else 4_096
LONG_RUN = 2_000 if QUICK else 100_000
SECONDS_WATCHED = 0.3 if QUICK else 5.0

Publish = Callable[[int], None]
"""Publishes three values of an iteration, with its number."""


def main() -> int:
    if not CUDA:
        torch.Tensor.is_cpu = property(lambda _: False)
    groups = [
        Group("What a value on a device costs", "Host time of each call; no call waits.", tuple(_call_rows())),
        Group("Memory", "Losses with a graph, which no code reads.", tuple(_memory_rows())),
    ]
    if CUDA:
        groups.append(Group("On a GPU", "Three scalars an iteration through hook and hub.", tuple(_gpu_rows())))
    text = every_figure(groups, _circumstances())
    print(text)
    if not CUDA:
        print(
            "\nNot measured, because torch finds no CUDA device: waits for the device, the speed of an eager loop and "
            "of a CUDA graph, and the age of live values."
        )
    if not HAS_MMENGINE:
        print("\nNot measured beside ours, because it is not installed: mmengine.")
    if OPTIONS.save:
        OPTIONS.save.write_text(text + "\n", encoding="utf-8")
    if OPTIONS.write:
        if not CUDA or QUICK:
            print("not written: only a full run on a GPU goes into docs/performance.md", file=sys.stderr)
            return 1
        write_section(OPTIONS.root / "docs" / "performance.md", "device", text)
    return 0


def _circumstances() -> str:
    name = torch.cuda.get_device_name() if CUDA else "a stand-in for a device"
    line = (
        f"Measured on {date.today().isoformat()}: {name}, Python {platform.python_version()}, "  # noqa: DTZ011
        f"torch {torch.__version__}, {os.cpu_count()} cores."
    )
    return line + " A quick run: the figures mean little." if QUICK else line


# -- calls


def _call_rows() -> Iterator[Row]:
    loss = torch.ones((), device=DEVICE)
    hub, viewed, other = (MessageHub(name, max_on_device=16 * READ) for name in ("plain", "viewed", "other"))
    viewed.tensor("iter", device=DEVICE)
    other.tensor("epoch", device=DEVICE)
    hub.update_scalar("float", 0.5)
    hub.update_scalar("tensor", loss)
    outputs = {name: torch.ones((), device=DEVICE) for name in ("loss", "aux", "norm")}
    hook, runner = RuntimeInfoHook(), least_runner(hub)

    def read() -> None:
        hub.get_scalar("tensor").current()

    calls: dict[str, Callable[[], object]] = {
        "update_scalar, a float": lambda: hub.update_scalar("float", 0.5),
        "update_scalar, a tensor on the device": lambda: hub.update_scalar("tensor", loss),
        "three values through the hook": lambda: hook.after_train_iter(runner, 0, None, outputs),
        "detach().clone() alone": lambda: loss.detach().clone(),
        "update_info": lambda: hub.update_info("iter", 5),
        "update_info, with a view of another key": lambda: other.update_info("iter", 5),
        "update_info, with a view of it": lambda: viewed.update_info("iter", 5),
        "fill_ alone": lambda: loss.fill_(1),
    }

    def window(call: Callable[[], object]) -> Window:
        def measure() -> float:
            read()  # what waits is another window's
            _synchronize()
            return stopwatch(lambda count: [call() for _ in range(count)] and None, WINDOW)

        return measure

    def reading() -> float:
        for _ in range(READ):
            hook.after_train_iter(runner, 0, None, outputs)
        _synchronize()
        return stopwatch(lambda _: read(), 1)

    taken = round_robin({**{name: window(call) for name, call in calls.items()}, "reading": reading}, ROUNDS)
    clone = taken["detach().clone() alone"]
    for name in calls:
        compared = {"update_scalar, a tensor on the device": 1, "three values through the hook": 3}.get(name)
        yield Row(
            name,
            microseconds(taken[name]),
            f"{compared} detach().clone() {microseconds(compared * clone)}" if compared else "",
            f"{taken[name] / (compared * clone):.2f} x" if compared else "",
        )
    yield Row(f"{READ:,} values of each of three scalars, read in one batch", f"{taken['reading'] * 1e3:.3f} ms")


def _synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def _memory_rows() -> Iterator[Row]:
    hub = MessageHub("memory", max_on_device=1_000)
    weight = torch.ones(100, device=DEVICE, requires_grad=True)
    for number in range(1, LONG_RUN + 1):
        hub.update_scalar("train/loss", (weight * 2).sum())
        if number in (LONG_RUN // 10, LONG_RUN):
            gc.collect()
            allocated = f"{torch.cuda.memory_allocated():,} bytes on the device" if CUDA else ""
            yield Row(f"after {number:,} losses", f"{_resident() / 2**20:.1f} MiB resident", allocated)


def _resident() -> int:
    """Return the resident bytes of this process, on Linux."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


# -- trainings, on a GPU


class Network:
    """A small network, with a training step that leaves three scalars on the device."""

    def __init__(self) -> None:
        self.model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)).cuda()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.batch = torch.randn(32, 64, device="cuda")
        self.outputs: dict[str, Any] = {}

    def step(self) -> None:
        output = self.model(self.batch)
        loss = output.square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.outputs = {"loss": loss, "largest": output.detach().max(), "bias": self.model[2].bias[0]}

    def captured(self) -> Callable[[], None]:
        """Return the step as one CUDA graph."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        self.outputs = {name: output.detach() for name, output in self.outputs.items()}
        return graph.replay


class Published:
    """A way to publish the outputs of a network: a hook and its hub."""

    def __init__(self, hook: Any, hub: Any, network: Network) -> None:
        self.hook, self.network = hook, network
        self.runner = least_runner(hub)

    def train(self, step: Callable[[], None], iterations: int) -> None:
        hook, runner, network = self.hook, self.runner, self.network
        for batch_idx in range(iterations):
            hook.before_train_iter(runner, batch_idx, None)
            step()
            hook.after_train_iter(runner, batch_idx, None, network.outputs)
            runner.iter += 1
        torch.cuda.synchronize()


class _Nothing:
    def before_train_iter(self, *_: Any) -> None:
        pass

    def after_train_iter(self, *_: Any) -> None:
        pass


def _ways(network: Network) -> dict[str, Published]:
    hub = MessageHub("steps")
    hub.share()
    ways = {"nothing": Published(_Nothing(), None, network), "ours": Published(RuntimeInfoHook(), hub, network)}
    if HAS_MMENGINE:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
            from mmengine.hooks import RuntimeInfoHook as SeedHook
            from mmengine.logging import MessageHub as SeedHub
        ways["mmengine"] = Published(SeedHook(), SeedHub("steps of mmengine"), network)
    return ways


def _gpu_rows() -> Iterator[Row]:
    network = Network()
    ways = _ways(network)
    yield _wait_row(network, ways)
    yield _speed_row("an eager loop", ways, network.step, 99)
    graphed = Network()
    yield _speed_row("the step as one CUDA graph", _ways(graphed), graphed.captured(), 94)
    yield _age_row(network)


def _wait_row(network: Network, ways: dict[str, Published]) -> Row:
    counts: dict[str, int] = {}
    for name, way in ways.items():
        with _counting_waits() as waits:
            for batch_idx in range(100):
                way.hook.before_train_iter(way.runner, batch_idx, None)
                network.step()
                way.hook.after_train_iter(way.runner, batch_idx, None, network.outputs)
        counts[name] = len(waits) - counts.get("nothing", 0)
    seed = f"mmengine {counts['mmengine']}" if "mmengine" in counts else ""
    return Row("waits for the device in 100 iterations", str(counts["ours"]), seed, "", Aim("0", counts["ours"] == 0))


@contextmanager
def _counting_waits() -> Iterator[list[str]]:
    """Collect the warnings of PyTorch about operations that wait for the GPU."""
    waits: list[str] = []

    def note(message: Warning | str, *_args: Any, **_kwargs: Any) -> None:
        if "called a synchronizing" in str(message):
            waits.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _speed_row(loop: str, ways: dict[str, Published], step: Callable[[], None], at_least: int) -> Row:
    def window(way: Published) -> Window:
        return lambda: stopwatch(lambda count: way.train(step, count), WINDOW)

    seconds = round_robin({name: window(way) for name, way in ways.items()}, ROUNDS)
    shares = {name: 100 * seconds["nothing"] / taken for name, taken in seconds.items()}
    return Row(
        f"{loop}, of its bare speed of {1 / seconds['nothing']:,.0f} steps a second",
        f"{shares['ours']:.1f} %",
        f"mmengine {shares['mmengine']:.1f} %" if "mmengine" in shares else "",
        "",
        Aim(f"at least {at_least} %", shares["ours"] >= at_least),
    )


_WATCHER = """
import sys, time
from runtimeinfo.board import BoardReader

board = BoardReader(sys.argv[1])
print("ready", flush=True)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    try:
        value = board.get_scalar("train/number").current()
    except (KeyError, ValueError):
        pass
    else:
        print(time.monotonic(), value)
    time.sleep(0.001)
"""


def _age_row(network: Network) -> Row:
    """Return how old what another process sees is: each value is the number of its iteration, whose time is noted."""
    hub, hook = MessageHub("age"), RuntimeInfoHook()
    runner = least_runner(hub)
    number = torch.zeros((), device="cuda", dtype=torch.float64)
    published: list[float] = []

    def train(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            hook.before_train_iter(runner, 0, None)
            network.step()
            number.fill_(len(published))
            published.append(time.monotonic())
            hook.after_train_iter(runner, 0, None, {"number": number, **network.outputs})
            runner.iter += 1
            if len(published) % 64 == 0:
                torch.cuda.current_stream().synchronize()  # no more than this is ahead of the device

    with use_hub(hub):
        train(0.2)
        command = [sys.executable, "-c", _WATCHER, str(hub.board_path), str(SECONDS_WATCHED)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
            assert watcher.stdout
            watcher.stdout.readline()
            first = len(published)  # what it sees before is as old as the watcher took to begin
            train(SECONDS_WATCHED + 0.2)
            lines = watcher.stdout.read().splitlines()
    looks = [(float(at), int(float(value))) for at, value in map(str.split, lines)]
    ages = [at - published[value] for at, value in looks if value >= first]
    if not ages:
        return Row("age of a live loss for another process", "never seen", aim=Aim("at most 100 ms", reached=False))
    return Row(
        "age of a live loss for another process",
        f"{median(ages) * 1e3:.1f} ms, at most {max(ages) * 1e3:.1f} ms",
        f"{len(ages):,} looks",
        "",
        Aim("at most 100 ms", max(ages) <= 0.1),
    )


if __name__ == "__main__":
    sys.exit(main())
