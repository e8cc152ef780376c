"""The least runner that a hook can have: what an iteration costs with it is what hook and hub cost."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Drive = Callable[[int], None]
"""Does all that a way of publishing takes, so many times."""

Outputs = dict[str, Any]


class OptimWrapper:
    """Two learning rates, at no cost: what an optimizer takes to tell them is not what is measured."""

    def __init__(self) -> None:
        self._rates = {"lr": [0.1], "head.lr": [0.01]}

    def get_lr(self) -> dict[str, list[float]]:
        return self._rates


def least_runner(hub: object) -> SimpleNamespace:
    return SimpleNamespace(iter=0, message_hub=hub, optim_wrapper=OptimWrapper())


def keys_of(outputs: Outputs) -> list[str]:
    return [f"train/{name}" for name in (*OptimWrapper().get_lr(), *outputs)]


def drive_hook(hook: Any, hub: object, outputs: Outputs) -> Drive:
    runner = least_runner(hub)

    def drive(iterations: int) -> None:
        for batch_idx in range(iterations):
            hook.before_train_iter(runner, batch_idx, None)
            hook.after_train_iter(runner, batch_idx, None, outputs)
            runner.iter += 1

    return drive
