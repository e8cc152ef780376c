"""Compare what a hub says during a training with an independent count; for the scripts in this folder.

A script asks at the start of each iteration, with what its own code has counted. Its first argument says how it is
run: `bare`, `attached` (it attaches the adapter itself) or `run` (it is started by `runtimeinfo run`). At the end
`Comparison.report` writes how many answers were right, absent and wrong, for each value.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtimeinfo import current_hub

MODE = sys.argv.pop(1) if len(sys.argv) > 1 else "bare"
RESULT_VARIABLE = "RUNTIMEINFO_LIBRARIES_RESULT"
VALUES = ("stage", "epoch", "iter", "lr", "loss")
_MAX_FAULTS = 20


class Comparison:
    """Counts the iterations of a training, and compares the answers of the current hub with its count.

    Args:
        iterations_per_epoch: The number of iterations in an epoch; None if the training has no epochs.

    Attributes:
        iterations: The number of finished iterations.
        answers: How many answers were right, absent or wrong, by the name of the value and the verdict.
        faults: The first wrong answers: iteration, value, answer, truth.
    """

    def __init__(self, iterations_per_epoch: int | None = None) -> None:
        self.iterations_per_epoch = iterations_per_epoch
        self.iterations = 0
        self.answers: Counter[str] = Counter()
        self.faults: list[list[Any]] = []
        self._loss: float | None = None
        atexit.register(self.report)

    def ask(self, rates: list[float] | None = None) -> None:
        """Compare the answers at the start of an iteration, in which these learning rates are in force."""
        hub = current_hub()
        self._judge("stage", hub.get_info("loop_stage"), ["train"])
        self._judge("iter", hub.get_info("iter"), [self.iterations])
        if self.iterations_per_epoch:
            self._judge("epoch", hub.get_info("epoch"), [self.iterations // self.iterations_per_epoch])
        if rates:
            self._judge("lr", _latest("train/lr") or _latest("train/lr/0"), rates)
        if self._loss is not None:
            self._judge("loss", _latest("train/loss"), [self._loss])

    def ask_before_forward(self, module: Any, rates: Callable[[], list[float]]) -> None:
        """Ask at each forward pass in training of a module of PyTorch, which has one an iteration."""

        def ask(module: Any, _: Any) -> None:
            if module.training:
                self.ask(rates())

        module.register_forward_pre_hook(ask)

    def finished(self, loss: Any = None) -> None:
        """Count an iteration, whose loss was this one."""
        self.iterations += 1
        self._loss = None if loss is None else float(loss)

    def begin(self) -> None:
        """Begin another training: its first iteration is asked for no loss."""
        self.iterations, self._loss = 0, None

    def report(self) -> None:
        """Write the result to the file that the environment names."""
        path = os.environ.get(RESULT_VARIABLE)
        if path:
            found = {"iterations": self.iterations, "answers": self.answers, "faults": self.faults}
            Path(path).write_text(json.dumps(found), encoding="utf-8")

    def _judge(self, value: str, answer: Any, truths: list[Any]) -> None:
        if answer is None:
            verdict = "absent"
        elif any(_is_same(answer, truth) for truth in truths):
            verdict = "right"
        else:
            verdict = "wrong"
            if len(self.faults) < _MAX_FAULTS:
                self.faults.append([self.iterations, value, answer, truths])
        self.answers[f"{value} {verdict}"] += 1


def _latest(key: str) -> float | None:
    try:
        return float(current_hub().get_scalar(key).current())
    except KeyError:
        return None


def _is_same(answer: Any, truth: Any) -> bool:
    if isinstance(truth, float):
        # A framework may compute in float32 what the script has in float64.
        return isinstance(answer, float | int) and math.isclose(answer, truth, rel_tol=1e-5, abs_tol=1e-7)
    return answer == truth and type(answer) is type(truth)
