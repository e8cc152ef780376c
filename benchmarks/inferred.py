"""Measures what `runtimeinfo run` adds to a step of a plain PyTorch loop, beside what `Loop` adds to it.

    python benchmarks/inferred.py [--quick]

A step draws a batch, and calls a small model, `backward`, and the optimizer. All candidates take turns in one process,
so that the ratios are good also where the times are not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timing import Clock, Cost, in_turns
from torch.utils.data import DataLoader

from runtimeinfo_adapters.autopublish._guard import Part
from runtimeinfo_adapters.autopublish._plain_loop import _Patches
from runtimeinfo_adapters.pytorch import Loop

QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 30
STEPS = 40 if QUICK else 400
MOST_US = 15
MOST_RATIO = 1.02
LONG_S = 2e-3


class Subject:
    """A model, its optimizer, and the loader that it trains on.

    Args:
        seconds: How long a step takes at least.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.model = torch.nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.loader: Any = DataLoader([torch.zeros(3)] * STEPS, batch_size=None)

    def train(self, batches: Any, log: Callable[[Any], object] = lambda _: None) -> list[float]:
        """Return the seconds of each step."""
        clock = Clock(STEPS)
        for x in batches:
            clock.tick()
            self.optimizer.zero_grad()
            loss = self.model(x).sum()
            loss.backward()
            self.optimizer.step()
            log(loss)
            if self.seconds:
                end = time.perf_counter() + self.seconds
                while time.perf_counter() < end:
                    pass
        return clock.durations()


@contextmanager
def inferring() -> Iterator[None]:
    """Patch PyTorch as `runtimeinfo run` does."""
    part = Part("the inference")
    _Patches(part, torch).apply()
    try:
        yield
    finally:
        part.withdraw()


def train_bare(seconds: float) -> list[float]:
    """Train without any instrumentation."""
    subject = Subject(seconds)
    return subject.train(subject.loader)


def train_inferred(seconds: float) -> list[float]:
    """Train as `train_bare` does, while the loop is inferred."""
    with inferring():
        return train_bare(seconds)


def train_in_loop(seconds: float) -> list[float]:
    """Train in a `Loop` that logs the loss."""
    subject = Subject(seconds)
    loop = Loop(subject.optimizer, subject.loader, max_epochs=1)
    with loop.run():
        return subject.train(loop.train(), lambda loss: loop.log(loss=loss.item()))


def measure(seconds: float, rounds: int) -> dict[str, Cost]:
    """Return what a step takes, by candidate."""
    candidates = {"bare": train_bare, "inferred": train_inferred, "Loop": train_in_loop}
    windows = {name: lambda train=train: train(seconds) for name, train in candidates.items()}
    return {name: Cost.of(taken) for name, taken in in_turns(windows, rounds).items()}


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    print("| step | bare | inferred | adds | is | bound | `Loop` adds |")
    print("|---|---|---|---|---|---|---|")
    for name, seconds in (("a small one", 0.0), ("of 2 ms", LONG_S)):
        costs = measure(seconds, ROUNDS if not seconds else max(ROUNDS // 6, 1))
        bare, inferred, loop = (costs[key].low * 1e6 for key in ("bare", "inferred", "Loop"))
        bound = f"at most {MOST_RATIO} x" if seconds else f"at most {MOST_US} µs"
        print(
            f"| {name} | {bare:.1f} µs | {inferred:.1f} µs | {inferred - bare:.1f} µs | {inferred / bare:.3f} x "
            f"| {bound} | {loop - bare:.1f} µs |"
        )


if __name__ == "__main__":
    main()
