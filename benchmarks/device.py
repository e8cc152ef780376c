"""Measures what tensors cost: scalars that lie on a device, and infos that are shown as tensors.

    python benchmarks/device.py [--quick]

Without CUDA a stand-in takes its place: tensors of the CPU that say they are elsewhere. What it shows is what our
code adds; a copy on a real device is enqueued, and done later. Steps per second need a real one.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from timing import Window, round_robin, stopwatch

from runtimeinfo_adapters import MessageHub

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
QUICK = "--quick" in sys.argv
ROUNDS = 1 if QUICK else 21
WINDOW = 200 if QUICK else 4_096
LONG_RUN = 2_000 if QUICK else 100_000


def main() -> None:
    name = torch.cuda.get_device_name() if CUDA else "a stand-in for a device"
    print(f"torch {torch.__version__}, {name}")
    if not CUDA:
        torch.Tensor.is_cpu = property(lambda _: False)
    print_times()
    print_memory()
    if CUDA:
        print_steps()


def print_times() -> None:
    """Print what each call takes."""
    loss = torch.ones((), device=DEVICE)
    hub, viewed, other = (MessageHub(name, max_on_device=16 * WINDOW) for name in ("plain", "viewed", "other"))
    viewed.tensor("iter", device=DEVICE)
    other.tensor("epoch", device=DEVICE)
    hub.update_scalar("float", 0.5)
    hub.update_scalar("tensor", loss)

    def read() -> None:
        hub.get_scalar("tensor").current()

    calls: dict[str, Callable[[], None]] = {
        "update_scalar, a float": lambda: hub.update_scalar("float", 0.5),
        "update_scalar, a tensor on the device": lambda: hub.update_scalar("tensor", loss),
        "detach().clone() alone": lambda: (loss.detach().clone(), None)[1],
        "update_info": lambda: hub.update_info("iter", 5),
        "update_info, with a view of another key": lambda: other.update_info("iter", 5),
        "update_info, with a view of it": lambda: viewed.update_info("iter", 5),
        "fill_ alone": lambda: (loss.fill_(1), None)[1],
    }

    def window(call: Callable[[], None]) -> Window:
        def measure() -> float:
            read()  # what waits is another window's
            return stopwatch(lambda count: [call() for _ in range(count)] and None, WINDOW)

        return measure

    def reading() -> float:
        for _ in range(WINDOW):
            hub.update_scalar("tensor", loss)
        torch.cuda.synchronize() if CUDA else None
        return stopwatch(lambda _: read(), 1) / WINDOW

    windows = {name: window(call) for name, call in calls.items()}
    windows[f"a value of {WINDOW:,}, read in one batch"] = reading
    for name, seconds in round_robin(windows, ROUNDS).items():
        print(f"{name}: {seconds * 1e9:,.0f} ns")


def print_memory() -> None:
    """Print how much memory losses with a graph take, early and late in a long run that nobody reads."""
    hub = MessageHub("memory", max_on_device=1_000)
    weight = torch.ones(100, device=DEVICE, requires_grad=True)
    for number in range(1, LONG_RUN + 1):
        hub.update_scalar("train/loss", (weight * 2).sum())
        if number in (LONG_RUN // 10, LONG_RUN):
            gc.collect()
            allocated = f", {torch.cuda.memory_allocated():,} bytes on the device" if CUDA else ""
            print(f"after {number:,} losses: {resident() / 2**20:.1f} MiB resident{allocated}")


def resident() -> int:
    """Return the resident bytes of this process, on Linux."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def print_steps() -> None:
    """Print how fast a small network trains, by what is done with its loss."""
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    batch = torch.randn(32, 64, device="cuda")
    hub = MessageHub("steps")

    def training(publish: Callable[[torch.Tensor], object]) -> Window:
        def steps(count: int) -> None:
            for _ in range(count):
                loss = model(batch).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                publish(loss)
            torch.cuda.synchronize()

        return lambda: stopwatch(steps, WINDOW // 4)

    windows = {
        "nothing": training(lambda loss: None),
        "hub.update_scalar": training(lambda loss: hub.update_scalar("train/loss", loss)),
        "hub.update_scalar of loss.item()": training(lambda loss: hub.update_scalar("train/item", loss.item())),
    }
    for name, seconds in round_robin(windows, ROUNDS).items():
        print(f"a small network, {name}: {1 / seconds:,.0f} steps a second")


if __name__ == "__main__":
    main()
