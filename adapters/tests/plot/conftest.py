"""A small training that the sinks write, and its picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runtimeinfo_adapters.plot import Curve, RunCurves
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter, TensorBoardWriter

LENGTH = 20


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, board_folder: Path) -> None:
    monkeypatch.delenv("RANK", raising=False)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that trains for some epochs of 20 iterations, resumes if there is a state, and saves it.

    The loss of each iteration is its number, plus `add`. After `stop` iterations in this call the process is gone: it
    saves nothing.
    """

    def run(
        name: str = "run", *, epochs: int = 2, add: float = 0.0, stop: int | None = None, interval: int = 5, **more: Any
    ) -> Path:
        folder = tmp_path / name
        sinks = [
            CSVWriter(folder / "metrics.csv", interval=interval),
            JSONLWriter(folder / "metrics.jsonl", interval=interval),
            TensorBoardWriter(folder / "tensorboard", interval=interval),
        ]
        loop: Any = Loop(
            train_loader=range(LENGTH), max_epochs=epochs, hooks=sinks, cfg="lr = 0.1\ndepth = 2", seed=7, **more
        )
        state = folder / "state.pt"
        if state.exists():
            loop.load_state_dict(torch.load(state))
        done = 0
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    loop.log(loss=loop.iter + add)
                    done += 1
                    if done == stop:
                        return folder
                with loop.val() as val:
                    val.log_metrics(acc=loop.iter / 100 + add)
                torch.save(loop.state_dict(), state)
        return folder

    return run


@pytest.fixture
def curves() -> Callable[..., RunCurves]:
    """Return a function that makes a run of curves from lists of values, placed at iterations from 0."""

    def make(name: str = "run", *, places: list[float] | None = None, **values: list[float]) -> RunCurves:
        made = {
            key.replace("__", "/"): Curve(
                np.array(each, dtype=np.float64),
                iters=np.arange(len(each), dtype=np.float64) if places is None else np.array(places),
            )
            for key, each in values.items()
        }
        return RunCurves(name, f"{name}.csv", made)

    return make
