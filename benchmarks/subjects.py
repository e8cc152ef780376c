"""Who is measured: what one training iteration costs with us, with mmengine, and by hand.

A subject drives iterations: ``drive(n)`` does all that its way of publishing takes, n times. All of them publish
the same: the iteration, two learning rates and two outputs.
"""

from __future__ import annotations

import multiprocessing
import warnings
from itertools import count
from typing import Any

import numpy as np
import torch
from hooked import Drive, Outputs, drive_hook, keys_of, least_runner

from runtimeinfo import RuntimeInfoHook
from runtimeinfo_adapters import MessageHub, ScalarHistory

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
    from mmengine.hooks import RuntimeInfoHook as SeedHook
    from mmengine.logging import HistoryBuffer
    from mmengine.logging import MessageHub as SeedHub

_names = count()


def tensor_outputs() -> Outputs:
    """Two losses on the CPU, as a training step returns them: each the root of an autograd graph."""
    weight = torch.ones(8, requires_grad=True)
    return {"loss": (weight * 0.5).sum(), "loss_aux": (weight * 0.25).mean()}


def float_outputs() -> Outputs:
    return {"loss": 4.0, "loss_aux": 0.25}


def ours(length: int, outputs: Outputs, *, share: bool = True) -> Drive:
    """Our hook and hub, with histories of this length."""
    histories = {key: ScalarHistory(np.full(length, 0.5)) for key in keys_of(outputs)}
    hub = MessageHub(f"ours-{next(_names)}", log_scalars=histories, resumed_keys=dict.fromkeys(histories, True))
    if share:
        hub.share()  # until the hub goes
    return drive_hook(RuntimeInfoHook(), hub, outputs)


def ours_driven(length: int, outputs: Outputs) -> Drive:
    """Our hook and hub after so many iterations: every value has come by an update."""
    drive = ours(0, outputs)
    drive(length)
    return drive


def mmengine(length: int, outputs: Outputs) -> Drive:
    """mmengine's own hook and hub, with histories of this length.

    They get it by their constructor: 200,000 updates would take minutes.
    """
    histories = {key: HistoryBuffer(np.full(length, 0.5), np.ones(length, dtype=int)) for key in keys_of(outputs)}
    hub = SeedHub(f"mmengine-{next(_names)}", log_scalars=histories, resumed_keys=dict.fromkeys(histories, True))
    return drive_hook(SeedHook(), hub, outputs)


def by_hand(outputs: Outputs, *, share: bool = False) -> Drive:
    """What one writes without any of this: an entry in a dictionary, and lists; for workers a shared number."""
    runner = least_runner(None)
    info: dict[str, Any] = {}
    lr: list[float] = []
    lr_head: list[float] = []
    loss: list[float] = []
    loss_aux: list[float] = []
    number: Any = multiprocessing.Value("q")

    def drive_tensors(iterations: int) -> None:
        for _ in range(iterations):
            info["iter"] = runner.iter
            rates = runner.optim_wrapper.get_lr()
            lr.append(rates["lr"][0])
            lr_head.append(rates["head.lr"][0])
            loss.append(outputs["loss"].item())
            loss_aux.append(outputs["loss_aux"].item())
            runner.iter += 1

    def drive_floats(iterations: int) -> None:
        for _ in range(iterations):
            info["iter"] = runner.iter
            rates = runner.optim_wrapper.get_lr()
            lr.append(rates["lr"][0])
            lr_head.append(rates["head.lr"][0])
            loss.append(outputs["loss"])
            loss_aux.append(outputs["loss_aux"])
            runner.iter += 1

    def drive_shared_tensors(iterations: int) -> None:
        for _ in range(iterations):
            number.value = info["iter"] = runner.iter
            rates = runner.optim_wrapper.get_lr()
            lr.append(rates["lr"][0])
            lr_head.append(rates["head.lr"][0])
            loss.append(outputs["loss"].item())
            loss_aux.append(outputs["loss_aux"].item())
            runner.iter += 1

    def drive_shared_floats(iterations: int) -> None:
        for _ in range(iterations):
            number.value = info["iter"] = runner.iter
            rates = runner.optim_wrapper.get_lr()
            lr.append(rates["lr"][0])
            lr_head.append(rates["head.lr"][0])
            loss.append(outputs["loss"])
            loss_aux.append(outputs["loss_aux"])
            runner.iter += 1

    if isinstance(outputs["loss"], float):
        return drive_shared_floats if share else drive_floats
    return drive_shared_tensors if share else drive_tensors
