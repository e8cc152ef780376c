"""Ignite: stops and resumes with its own checkpoints, against the trainer's own state."""

import logging
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from ignite.engine import DeterministicEngine, Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, EarlyStopping, TimeLimit
from torch.utils.data import DataLoader

from resumes import Resume
from runtimeinfo import current_hub
from runtimeinfo_adapters import ResumeWarning
from runtimeinfo_adapters.ignite import attach

SIZE, EPOCHS, BATCHES = 12, 3, 6

# The iteration that the checkpoint was made in, and the event.
POINTS = {
    "in mid-epoch": (8, Events.ITERATION_COMPLETED),
    "at the last batch of an epoch": (12, Events.ITERATION_COMPLETED),
    "between two epochs": (12, Events.EPOCH_COMPLETED),
    "at the last batch of all": (18, Events.ITERATION_COMPLETED),
}


class Stopped(Exception):  # noqa: N818
    """Stops a training."""


class Training:
    """One training, in what is like a process of its own."""

    def __init__(self, seed: int, kind: type[Engine] = Engine) -> None:
        torch.manual_seed(seed)
        self.trainer: Any = kind(self.step)
        self.evaluator = Engine(lambda _engine, _batch: None)
        self.loader: Any = DataLoader(range(SIZE), 2, shuffle=True)  # type: ignore[arg-type]
        self.callback = attach(self.trainer, evaluators={"val": self.evaluator})
        self.items: dict[int, list[int]] = {}
        self.ours: list[tuple[object, ...]] = []
        self.theirs: list[tuple[object, ...]] = []
        self.trainer.add_event_handler(Events.ITERATION_STARTED, self.note, 1)
        self.trainer.add_event_handler(Events.COMPLETED, self.note, 0)

    def step(self, engine: Engine, batch: Any) -> dict[str, float]:
        self.items.setdefault(engine.state.epoch - 1, []).extend(batch.tolist())
        return {"loss": 0.0}

    def note(self, begun: int) -> None:
        hub, state = current_hub(), self.trainer.state
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))
        self.theirs.append((state.epoch - begun, state.iteration - begun))

    @property
    def parts(self) -> dict[str, Any]:
        """What a checkpoint has."""
        return {"trainer": self.trainer, "runtimeinfo": self.callback}

    def save_at(self, iteration: int, event: Any, folder: str) -> None:
        """Save in an iteration, before the training is stopped there."""
        saver: Any = DiskSaver(folder, require_empty=False)
        checkpoint = Checkpoint(self.parts, saver, filename_pattern="saved.pt", n_saved=None)
        every = event(event_filter=lambda engine, _: engine.state.iteration == iteration)
        self.trainer.add_event_handler(every, checkpoint)

    def stop_at(self, iteration: int, how: str) -> None:
        """Stop as an iteration ends."""
        trainer = self.trainer

        def fail() -> None:
            raise Stopped

        def validate() -> None:
            self.evaluator.run([0], max_epochs=1)

        at = Events.ITERATION_COMPLETED(event_filter=lambda _engine, number: number == iteration)
        if how == "exception":
            trainer.add_event_handler(at, fail)
        if how == "signal":
            trainer.add_event_handler(at, lambda: os.kill(os.getpid(), signal.SIGTERM))
        if how == "time limit":
            limit = TimeLimit(1)
            limit.start_time -= 2
            trainer.add_event_handler(at, limit)
        if how == "early stop":
            # The first score is the best one.
            stopping = EarlyStopping(1, lambda _engine: -trainer.state.iteration, trainer)
            self.evaluator.add_event_handler(Events.COMPLETED, stopping)
            before = Events.ITERATION_COMPLETED(event_filter=lambda _engine, number: number == iteration - 1)
            trainer.add_event_handler(before, validate)
            trainer.add_event_handler(at, validate)
        if how == "terminate":
            trainer.add_event_handler(at, trainer.terminate)

    def run(self, **bound: int) -> None:
        """Train until it ends, or is stopped."""
        before = signal.signal(signal.SIGTERM, lambda *_: self.trainer.terminate())
        try:
            self.trainer.run(self.loader, **bound)
        except Stopped:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)


def resume(stop: str, point: str, kind: type[Engine] = Engine, parts: tuple[str, ...] = ()) -> Resume:
    """Stop a training after a checkpoint, and resume it in a new trainer.

    Args:
        stop: How it is stopped.
        point: Where the checkpoint is made.
        kind: The class of the trainer.
        parts: What is loaded; all of it if left out.
    """
    last, event = POINTS[point]
    with tempfile.TemporaryDirectory() as folder:
        first = Training(1, kind)
        first.save_at(last, event, folder)
        # Between two epochs: the checkpoint is made first, and the training stops in the next one.
        first.stop_at(last + (event is Events.EPOCH_COMPLETED), stop)
        by_iterations = stop == "max_iters"
        first.run(
            **({"max_iters": last} if by_iterations else {"max_epochs": last // BATCHES if "max" in stop else EPOCHS})
        )
        second = Training(2, kind)
        loaded = {name: part for name, part in second.parts.items() if not parts or name in parts}
        # Not by the file's name: Ignite would load it with weights_only=True, which refuses a generator's state.
        Checkpoint.load_objects(loaded, torch.load(f"{folder}/saved.pt", weights_only=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResumeWarning)
        second.run(**({"max_iters": EPOCHS * BATCHES} if by_iterations else {"max_epochs": EPOCHS}))
    if point != "in mid-epoch":
        return Resume(stop, point, second.ours, second.theirs, [])
    epoch, done = divmod(last, BATCHES)
    seen = first.items[epoch][: 2 * done] + second.items[epoch]
    return Resume(stop, point, second.ours, second.theirs, seen, SIZE)


def resumes() -> Iterator[Resume]:
    """Stop and resume trainings in every way."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the handlers set the level of their loggers
    try:
        yield from _all_resumes()
    finally:
        logging.disable(before)


def _all_resumes() -> Iterator[Resume]:
    for stop in ("max_iters", "max_epochs", "time limit", "exception", "signal", "early stop", "terminate"):
        for point in POINTS:
            if stop == "max_epochs" and point == "in mid-epoch":
                continue
            yield resume(stop, point)
            if point in {"in mid-epoch", "between two epochs"}:
                yield resume(stop, point, DeterministicEngine)
                yield resume(stop, point, parts=("trainer",))
