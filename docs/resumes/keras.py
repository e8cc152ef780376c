"""Trainings of Keras, stopped and resumed: by the adapter's state, and by `BackupAndRestore`.

Keras resumes whole epochs: after a checkpoint in mid-epoch it begins that epoch again. Its own counters are the `epoch`
that it tells a callback and, for the iterations, the updates that its optimizer counts, which are saved with the
weights.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

from resumes import Resume
from runtimeinfo import current_hub
from runtimeinfo_adapters.keras import attach

SIZE, BATCH, EPOCHS = 12, 3, 3
STEPS = SIZE // BATCH
# The batches after which a training is saved, and stopped.
PLACES = {
    "in mid-epoch": STEPS + 2,
    "at the last batch of an epoch": 2 * STEPS,
    "between two epochs": 2 * STEPS,
    "at the last batch of all": EPOCHS * STEPS,
}


class _Stopped(Exception):  # noqa: N818
    """What a user's code raises."""


class _Items(Dataset[Any]):
    """Records which items it was asked for."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> Any:
        self.seen.append(index)
        return torch.full((1,), float(index)), torch.ones(1)


class _Watching(keras.callbacks.Callback):
    """Notes the counters of the hub, and those of Keras."""

    def __init__(self, items: _Items) -> None:
        super().__init__()
        self.items = items
        self.ours: list[tuple[object, ...]] = []
        self.theirs: list[tuple[object, ...]] = []
        self.epoch = self.done = 0
        self.epochs_began: list[int] = []  # by what the data had given before: Keras takes a batch to build a model

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.epoch = epoch
        self.epochs_began.append(len(self.items.seen))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        hub = current_hub()
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))
        self.theirs.append((self.epoch, int(self.model.optimizer.iterations)))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.done += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.epoch = epoch + 1


class _At(keras.callbacks.Callback):
    """Does something after so many batches: as the batch ends, or as its epoch ends."""

    def __init__(self, batches: int, point: str, do: Callable[[], None]) -> None:
        super().__init__()
        self.batches, self.at_epoch_end, self.do, self.done = batches, point == "between two epochs", do, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.done += 1
        if self.done == self.batches and not self.at_epoch_end:
            self.do()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self.done == self.batches and self.at_epoch_end:
            self.do()


def _model() -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def _fit(model: Any, items: _Items, callbacks: list[Any], **given: Any) -> None:
    model.fit(
        DataLoader(items, BATCH, shuffle=True),
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
        **({"epochs": EPOCHS} | given),
    )


def _raise() -> None:
    raise _Stopped


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def _stopping(stop: str, model: Any) -> tuple[Callable[[], None], list[Any]]:
    """Return what stops a training when it is called, and the callbacks that do."""
    if stop == "exception":
        return _raise, []
    if stop == "signal":
        return _interrupt, []
    if stop == "terminate":
        return lambda: setattr(model, "stop_training", True), []
    if stop == "early stop":  # the loss never gets better
        return lambda: None, [keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)]
    return lambda: None, []  # max_epochs


def _by_state(stop: str, point: str) -> Resume:
    """Save the state of the adapter with the whole model, which has the optimizer."""
    items, model = _Items(), _model()
    callback, watching = attach(model), _Watching(items)
    saved: list[Any] = []

    def save_and_stop() -> None:
        path = Path(folder) / "model.keras"
        model.save(path)
        saved.append((callback.state_dict(), path, watching.epochs_began[-1]))
        do_stop()

    do_stop, more = _stopping(stop, model)
    epochs = 2 if stop == "max_epochs" and point != "at the last batch of all" else EPOCHS
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(1)
        with contextlib.suppress(_Stopped, KeyboardInterrupt):
            _fit(model, items, [watching, _At(PLACES[point], point, save_and_stop), *more], epochs=epochs)
        [(state, path, epoch_began)] = saved
        model = keras.models.load_model(path)
    first = _begun(items, epoch_began)
    callback, items = attach(model), _Items()
    watching = _Watching(items)
    callback.load_state_dict(state)
    torch.manual_seed(2)  # as another process has
    _fit(model, items, [watching], initial_epoch=callback.runner.epoch)
    return _resume(stop, point, callback, model, watching, first)


def _by_backup(stop: str, point: str) -> Resume:
    """Let `BackupAndRestore` save, and resume inside of `fit`."""
    with tempfile.TemporaryDirectory() as folder:

        def backup() -> Any:
            freq = "epoch" if point == "between two epochs" else PLACES[point]
            return keras.callbacks.BackupAndRestore(folder, save_freq=freq, delete_checkpoint=False)

        items, model = _Items(), _model()
        attach(model)
        watching = _Watching(items)
        do_stop, more = _stopping(stop, model)
        torch.manual_seed(1)
        with contextlib.suppress(_Stopped, KeyboardInterrupt):
            _fit(model, items, [watching, backup(), _At(PLACES[point], point, do_stop), *more])
        first = _begun(items, watching.epochs_began[-1])
        model, items = _model(), _Items()
        callback, watching = attach(model), _Watching(items)
        torch.manual_seed(2)
        _fit(model, items, [watching, backup()])
        return _resume(stop, point, callback, model, watching, first)


def _begun(items: _Items, epoch_began: int) -> list[int]:
    """Return the items of an epoch that was stopped in its middle."""
    return items.seen[epoch_began : epoch_began + (PLACES["in mid-epoch"] % STEPS) * BATCH]


def _resume(stop: str, point: str, callback: Any, model: Any, watching: _Watching, first: list[int]) -> Resume:
    """Compare once more at the end, and list the items of the interrupted epoch."""
    hub = callback.message_hub
    ours = [*watching.ours, (hub.get_info("epoch"), hub.get_info("iter"))]
    epoch = watching.epoch if watching.theirs else EPOCHS
    theirs = [*watching.theirs, (epoch, int(model.optimizer.iterations))]
    is_inside = point == "in mid-epoch"
    items = [*first, *watching.items.seen[watching.epochs_began[0] :][:SIZE]] if is_inside else []
    return Resume(stop, point, ours, theirs, items, SIZE if is_inside else 0)


def _all() -> Iterator[Resume]:
    for point in PLACES:
        for stop in ("exception", "signal", "terminate", "max_epochs"):
            yield _by_state(stop, point)
        for stop in ("exception", "signal"):
            yield _by_backup(stop, point)
    for point in ("at the last batch of an epoch", "between two epochs"):
        yield _by_state("early stop", point)


def resumes() -> Iterator[Resume]:
    """Yield every stop that Keras has, at every point."""
    with warnings.catch_warnings():  # of Keras on NumPy 2, where it reads its variables
        warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy keyword")
        found = list(_all())
    yield from found
