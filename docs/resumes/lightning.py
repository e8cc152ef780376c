"""Trainings of a Lightning Trainer that are stopped and resumed, compared with `current_epoch` and `global_step`."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint, OnExceptionCheckpoint

from resumes import POINTS, Resume
from runtimeinfo import current_hub
from runtimeinfo_adapters.lightning import attach

ITEMS, BATCHES, EPOCHS = 12, 4, 3
IN_MID_EPOCH, LAST_OF_EPOCH, BETWEEN, LAST_OF_ALL = POINTS


class _Data(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> Any:
        return torch.tensor(float(index))


class _Module(LightningModule):
    """Notes the epoch, the step, and the items of each batch."""

    def __init__(self, at_step: dict[int, Callable[[Trainer], object]]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.at_step = at_step
        self.items: list[tuple[int, int, list[int]]] = []

    def training_step(self, batch: Any) -> Any:
        step = self.trainer.global_step
        self.at_step.get(step, id)(self.trainer)
        self.items.append((self.trainer.current_epoch, step, [int(item) for item in batch]))
        return self.weight.sum() * 0

    def validation_step(self, batch: Any) -> None:
        self.log("metric", 1.0, batch_size=len(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class _Watch(Callback):
    """Notes both counters as each batch begins, as user code reads them."""

    def __init__(self) -> None:
        self.ours: list[tuple[object, ...]] = []
        self.theirs: list[tuple[object, ...]] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        hub = current_hub()
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))
        self.theirs.append((trainer.current_epoch, trainer.global_step))


def _trainer(*callbacks: Callback, **given: Any) -> tuple[Trainer, _Watch, Any]:
    watch = _Watch()
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": EPOCHS,
        "logger": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(each, Checkpoint) for each in callbacks),
    } | given
    trainer = Trainer(callbacks=[watch, *callbacks], **settings)
    return trainer, watch, attach(trainer)


def _resume(
    stop: str,
    point: str,
    saving: dict[str, Any],
    *callbacks: Callback,
    at_step: dict[int, Callable[[Trainer], object]] | None = None,
    resumed: dict[str, Any] | None = None,
    **given: Any,
) -> Resume:
    """Stop a training, resume it from the latest checkpoint, and compare."""
    val = torch.utils.data.DataLoader(_Data(), batch_size=ITEMS)
    with tempfile.TemporaryDirectory() as folder:
        on_exception = stop in {"exception", "signal"} and not saving
        saves = OnExceptionCheckpoint(folder) if on_exception else ModelCheckpoint(folder, save_top_k=-1, **saving)
        first, _, _ = _trainer(*callbacks, saves, **given)
        started = _Module(at_step or {})
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        with contextlib.suppress(ZeroDivisionError, SystemExit):
            first.fit(started, _loader(seed=1), val)
        signal.signal(signal.SIGINT, on_ctrl_c)  # which Lightning ignores after one
        path = max(Path(folder).iterdir(), key=lambda each: each.stat().st_mtime_ns)
        trainer, watch, callback = _trainer(**(resumed or {}))
        module = _Module({})
        trainer.fit(module, _loader(seed=2), val, ckpt_path=path, weights_only=True)
    hub = callback.message_hub
    ours = [*watch.ours, (hub.get_info("epoch"), hub.get_info("iter"))]
    theirs = [*watch.theirs, (trainer.current_epoch, trainer.global_step)]
    epoch, saved, _ = module.items[0] if module.items else (-1, -1, [])
    seen = [each for each in started.items if each[1] < saved]
    if point != IN_MID_EPOCH or seen[-1][0] != epoch:  # it has ended the epoch where it stopped
        return Resume(stop, point, ours, theirs, [])
    seen += module.items
    return Resume(stop, point, ours, theirs, [item for at, _, items in seen if at == epoch for item in items], ITEMS)


def _loader(seed: int) -> Any:
    """Return a shuffled loader, as another process has it."""
    random = torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(_Data(), batch_size=ITEMS // BATCHES, shuffle=True, generator=random)


def _fail(_: Trainer) -> None:
    raise ZeroDivisionError


def _stop(trainer: Trainer) -> None:
    trainer.should_stop = True


def _wait(_: Trainer) -> None:
    time.sleep(0.3)


def _send(name: str) -> Callable[[Trainer], None]:
    def send(_: Trainer) -> None:
        os.kill(os.getpid(), signal.Signals[name])

    return send


def _each() -> Iterator[Resume]:
    by_step, by_epoch = {"every_n_train_steps": 1}, {"save_on_train_epoch_end": True}
    by_val = {"save_on_train_epoch_end": False}
    by_steps = {"max_epochs": -1, "max_steps": 14}  # Lightning resumes in another way where max_steps is set

    until = {"max_time": {"milliseconds": 300}, "at_step": {5: _wait}}
    for stop, bound in (("max_iters", {"max_steps": 6}), ("time limit", until)):
        yield _resume(stop, IN_MID_EPOCH, by_step, **bound)
        yield _resume(stop, IN_MID_EPOCH, by_epoch, resumed=by_steps, **bound)
        yield _resume(stop, IN_MID_EPOCH, by_epoch, resumed={"max_steps": 14}, **bound)
        yield _resume(stop, BETWEEN, by_epoch, **bound)  # it does not return to the epoch
    yield _resume("max_iters", LAST_OF_EPOCH, by_step, max_steps=2 * BATCHES, resumed=by_steps)
    yield _resume("max_iters", BETWEEN, by_epoch, max_steps=2 * BATCHES, resumed=by_steps)
    yield _resume("max_iters", LAST_OF_ALL, by_step, max_steps=EPOCHS * BATCHES)

    yield _resume("max_epochs", IN_MID_EPOCH, {"every_n_train_steps": 3}, max_epochs=2)
    yield _resume("max_epochs", LAST_OF_EPOCH, by_step, max_epochs=2)
    yield _resume("max_epochs", BETWEEN, by_epoch, max_epochs=2)
    yield _resume("max_epochs", BETWEEN, by_val, max_epochs=2)
    yield _resume("max_epochs", BETWEEN, by_val, max_epochs=2, resumed=by_steps)
    yield _resume("max_epochs", LAST_OF_ALL, by_step)
    yield _resume("max_epochs", LAST_OF_ALL, by_epoch)

    yield _resume("exception", IN_MID_EPOCH, {}, at_step={5: _fail})
    yield _resume("exception", IN_MID_EPOCH, by_step, at_step={6: _fail})
    yield _resume("exception", LAST_OF_EPOCH, by_step, at_step={BATCHES: _fail})
    yield _resume("exception", BETWEEN, {}, at_step={BATCHES: _fail})
    yield _resume("signal", IN_MID_EPOCH, {}, at_step={5: _send("SIGINT")})
    yield _resume("signal", IN_MID_EPOCH, {}, at_step={5: _send("SIGTERM")})
    yield _resume("signal", LAST_OF_EPOCH, by_step, at_step={BATCHES: _send("SIGINT")})
    yield _resume("signal", BETWEEN, {}, at_step={BATCHES - 1: _send("SIGTERM")})

    yield _resume("early stop", IN_MID_EPOCH, by_step, at_step={5: _stop})
    yield _resume("early stop", IN_MID_EPOCH, by_epoch, at_step={5: _stop}, resumed=by_steps)
    yield _resume("early stop", LAST_OF_EPOCH, by_step, EarlyStopping("metric", patience=1))
    yield _resume("early stop", BETWEEN, by_val, EarlyStopping("metric", patience=1))


def resumes() -> Iterator[Resume]:
    """Yield each stop with each checkpoint that a Trainer can have made by then."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore")
            yield from _each()
    finally:
        logger.setLevel(level)
