"""The file that goes into a checkpoint of a Trainer, beside its own.

It has the fields of a saved `runtimeinfo_adapters.pytorch.Loop`. The Trainer's own place for the state of callbacks
is JSON, which is written anew with the whole history each time, and is read only if an argument of it says so.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from runtimeinfo_adapters._training_state import load_hub
from runtimeinfo_adapters.pytorch._loop_state import check_state, loop_state
from runtimeinfo_adapters.transformers._runner import TransformersRunner

FILE_NAME = "runtimeinfo.pt"

_logger = logging.getLogger("runtimeinfo")


def state_of(runner: TransformersRunner) -> dict[str, Any]:
    """Return how far a training is, the hub's state included.

    Source: RESUME-01, RESUME-02.
    """
    return loop_state(runner.message_hub, epoch=runner.epoch, iter=runner.iter, batches=runner.batches_done, outputs={})


def read(folder: Path) -> dict[str, Any] | None:
    """Return the state in a checkpoint; None if it was saved without this adapter.

    Raises:
        StateError: Naming the first field that is missing or wrong.

    Source: RESUME-01.
    """
    path = folder / FILE_NAME
    if not path.exists():
        _logger.info("%s has no %s: the counters go on, and the histories begin anew", folder, FILE_NAME)
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    check_state(state)
    return state


def load(runner: TransformersRunner, state: dict[str, Any]) -> None:
    """Go on from a state: the hub takes it over, and the counter of iterations.

    Not that of epochs, nor the batch of the epoch: where the Trainer goes on it reckons from its number of steps. To
    a checkpoint after the last step of an epoch that is the next epoch.

    Raises:
        StateError: If the hub refuses its part.

    Source: RESUME-01, RESUME-02.
    """
    load_hub(runner.message_hub, state)
    runner.counters.iter = state["iter"]
