"""Accelerate: stops and resumes with its own checkpoints, against a count of its own."""

import signal
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import GradientState
from torch.utils.data import DataLoader

from resumes import Resume
from runtimeinfo import current_hub
from runtimeinfo_adapters.accelerate import AccelerateRunner, attach
from runtimeinfo_adapters.pytorch import FinishedLoopWarning

SIZE, EPOCHS, BATCHES = 12, 2, 6
POINTS = {
    "in mid-epoch": (3, "iteration"),
    "at the last batch of an epoch": (6, "iteration"),
    "between two epochs": (6, "after the pass"),
    "at the last batch of all": (12, "iteration"),
}
CONFIGS: list[dict[str, Any]] = [
    {},
    {"use_seedable_sampler": True},
    {"split_batches": True},
    {"dispatch_batches": True, "use_seedable_sampler": True},
]


class Stopped(Exception):  # noqa: N818
    """Stops a training."""


class Training:
    """One training, in what is like a process of its own: it counts by itself what it does."""

    def __init__(self, seed: int, config: dict[str, Any], **bounds: Any) -> None:
        torch.manual_seed(seed)
        GradientState._reset_state()
        config = {"use_seedable_sampler": False, **config}
        self.accelerator = Accelerator(
            cpu=True, gradient_accumulation_steps=4, dataloader_config=DataLoaderConfiguration(**config)
        )
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        data = torch.arange(float(SIZE)).reshape(SIZE, 1)
        loader: Any = DataLoader(data, 2, shuffle=True)  # type: ignore[arg-type]
        self.model, self.optimizer, loader = self.accelerator.prepare(model, optimizer, loader)
        self.loop: AccelerateRunner[Any] = attach(self.accelerator, self.optimizer, loader, **bounds)
        self.items: dict[int, list[int]] = {}
        self.batches = 0
        self.ours: list[tuple[object, ...]] = []
        self.theirs: list[tuple[object, ...]] = []

    def note(self, epoch: int) -> None:
        hub = current_hub()
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))
        self.theirs.append((epoch, self.batches))

    def run(self, stop: str = "", at: int = -1, epoch: int = 0, saves: Any = None, folder: str = "") -> None:
        """Train from an epoch on, and stop after a number of batches of the whole training."""
        with self.loop.run():
            for _ in self.loop.epochs():
                for batch in self.loop.train():
                    self.note(epoch)
                    self.items.setdefault(epoch, []).extend(int(item) for item in batch)
                    with self.accelerator.accumulate(self.model):
                        self.accelerator.backward(self.model(batch / SIZE).mean())
                        self.optimizer.step()
                        self.optimizer.zero_grad()
                    self.batches += 1
                    torch.rand(3)
                    if saves == (self.batches, "iteration"):
                        self.accelerator.save_state(folder)
                    if self.batches == at and stop in {"exception", "signal"}:
                        if stop == "signal":
                            signal.raise_signal(signal.SIGTERM)
                        raise Stopped
                    if self.batches == at and stop == "terminate":
                        return
                if saves == (self.batches, "after the pass"):
                    self.accelerator.save_state(folder)
                epoch += 1
            if not stop:
                self.note(epoch)

    def stop(self, how: str, at: int, saves: tuple[int, str], folder: str) -> None:
        """Train until it is stopped."""
        before = signal.signal(signal.SIGTERM, _exit)
        try:
            self.run(how, at, saves=saves, folder=folder)
        except (Stopped, SystemExit):
            pass
        finally:
            signal.signal(signal.SIGTERM, before)


def _exit(*_: object) -> None:
    raise SystemExit(143)


def resume(stop: str, point: str, config: dict[str, Any]) -> Resume:
    """Stop a training after `save_state`, and resume it with `load_state`."""
    last, place = saves = POINTS[point]
    at = last if stop in {"max_iters", "max_epochs"} or last == EPOCHS * BATCHES else last + 1
    bounds: dict[str, Any] = {"max_epochs": EPOCHS}
    if stop == "max_iters":
        bounds["max_iters"] = at
    if stop == "max_epochs":
        bounds["max_epochs"] = at // BATCHES
    with tempfile.TemporaryDirectory() as folder:
        first = Training(1, config, **bounds)
        first.stop(stop, at, saves, folder)
        second = Training(2, config, max_epochs=EPOCHS)
        second.accelerator.load_state(folder)
    second.batches = last
    epoch = last // BATCHES - (last % BATCHES == 0 and place == "iteration")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FinishedLoopWarning)
        second.run(epoch=epoch)
    if point != "in mid-epoch":
        return Resume(stop, point, second.ours, second.theirs, [])
    seen = first.items[epoch][: 2 * last] + second.items[epoch]
    return Resume(stop, point, second.ours, second.theirs, seen, SIZE)


def resumes() -> Iterator[Resume]:
    """Stop and resume trainings in every way."""
    for stop in ("max_iters", "max_epochs", "exception", "signal", "terminate"):
        for point in POINTS:
            if stop == "max_epochs" and point == "in mid-epoch":
                continue
            for config in CONFIGS if point == "in mid-epoch" else CONFIGS[:1]:
                yield resume(stop, point, config)
