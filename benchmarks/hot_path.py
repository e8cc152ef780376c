"""Measures what the parts of one iteration through hook and hub take, each by what it adds to those before it.

    python benchmarks/hot_path.py [--quick]

Two learning rates and two outputs. Times are the shortest of many windows: they are differences, in which a
disturbance would show.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

from hooked import Drive, drive_hook
from subjects import by_hand, float_outputs, tensor_outputs

from runtimeinfo import RuntimeInfoHook
from runtimeinfo_adapters import MessageHub

QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 300
WINDOW = 64 if QUICK else 512


class IdleHook:
    """Is called, and does nothing."""

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        pass

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        pass


class IdleHub:
    """Takes what is published, and does nothing."""

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        pass

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        pass


class InfoHub(MessageHub):
    """Keeps infos only."""

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        pass


def main() -> None:
    floats = float_outputs()
    shared = MessageHub("hot path, shared")
    shared.share()
    parts: dict[str, Drive] = {
        "a loop that calls two hook points": drive_hook(IdleHook(), None, floats),
        "RuntimeInfoHook, into a hub that does nothing": drive_hook(RuntimeInfoHook(), IdleHub(), floats),
        "update_info": drive_hook(RuntimeInfoHook(), InfoHub("hot path, infos", share=False), floats),
        "update_scalar, 4 times": drive_hook(RuntimeInfoHook(), MessageHub("hot path", share=False), floats),
        "the board": drive_hook(RuntimeInfoHook(), shared, floats),
        "2 tensors in the place of 2 floats": drive_hook(RuntimeInfoHook(), shared, tensor_outputs()),
    }
    by_hands = {
        "by hand": by_hand(floats),
        "by hand, with a multiprocessing.Value": by_hand(floats, share=True),
        "by hand, 2 tensors": by_hand(tensor_outputs()),
    }
    taken = _shortest({**parts, **by_hands})
    print("| part | adds | so far |\n|---|---|---|")
    before = 0.0
    for part in parts:
        print(f"| {part} | {taken[part] - before:,.0f} ns | {taken[part]:,.0f} ns |")
        before = taken[part]
    for way in by_hands:
        print(f"| *{way}* | | {taken[way]:,.0f} ns |")


def _shortest(drives: dict[str, Drive]) -> dict[str, float]:
    """Return the nanoseconds that an iteration takes with each."""
    shortest = dict.fromkeys(drives, float("inf"))
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        for name, drive in drives.items():
            start = time.perf_counter()
            drive(WINDOW)
            shortest[name] = min(shortest[name], (time.perf_counter() - start) / WINDOW * 1e9)
    gc.enable()
    return shortest


if __name__ == "__main__":
    main()
