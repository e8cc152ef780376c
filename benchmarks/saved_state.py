"""What it takes to save a long history and to load it, with our state and with mmengine's."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from subjects import HistoryBuffer, SeedHub
from timing import Window, round_robin, stopwatch

from runtimeinfo_adapters import MessageHub, ScalarHistory

OURS = "ours"
MMENGINE = "mmengine"


def costs(length: int, rounds: int) -> tuple[dict[str, int], dict[str, float], dict[str, float]]:
    """Return the bytes of a checkpoint with one history of this length, and the seconds to save it and to load it."""
    values = np.random.default_rng(0).random(length)
    hub = MessageHub("saved state", {"loss": ScalarHistory(values)}, resumed_keys={"loss": True})
    seeds = SeedHub(
        "saved state",
        log_scalars={"loss": HistoryBuffer(values, np.ones(length, dtype=int))},
        resumed_keys={"loss": True},
    )
    saves = {OURS: lambda: _saved(hub.state_dict()), MMENGINE: lambda: _saved(seeds.state_dict())}
    checkpoints = {name: save() for name, save in saves.items()}

    def load_ours() -> None:
        MessageHub("loaded").load_state_dict(torch.load(io.BytesIO(checkpoints[OURS]), weights_only=True))

    def load_seeds() -> None:
        # Its histories are objects: it takes a pickle that may run any code.
        SeedHub("loaded").load_state_dict(torch.load(io.BytesIO(checkpoints[MMENGINE]), weights_only=False))

    return (
        {name: len(checkpoint) for name, checkpoint in checkpoints.items()},
        round_robin({name: _window(save) for name, save in saves.items()}, rounds),
        round_robin({OURS: _window(load_ours), MMENGINE: _window(load_seeds)}, rounds),
    )


def _saved(state: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _window(call: Callable[[], object]) -> Window:
    return lambda: stopwatch(lambda _: (call(), None)[1], 1)
