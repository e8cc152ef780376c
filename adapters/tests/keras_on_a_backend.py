"""Train on the backend of Keras that the environment names, and print what was published beside an independent count.

`test_keras_backends.py` runs it in a process of its own, because Keras asks for its backend once.
"""

import contextlib
import itertools
import json
import sys
import warnings

import keras
import numpy as np

from runtimeinfo import RunnerError, current_hub
from runtimeinfo_adapters.keras import RuntimeInfoCallback, attach

warnings.simplefilter("ignore")

X = np.arange(10, dtype="float32").reshape(10, 1)
BATCHES = [X[first : first + 2] for first in range(0, 10, 2)]
EPOCHS = 2


class Sized(keras.utils.PyDataset):
    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, index):
        return BATCHES[index], BATCHES[index]


def endless():
    return ((batch, batch) for batch in itertools.cycle(BATCHES))


def unsized():
    """Return data without a length that can be iterated over again."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec((2, 1))
        return tf.data.Dataset.from_generator(lambda: zip(BATCHES, BATCHES, strict=True), output_signature=(spec, spec))
    from torch.utils.data import DataLoader, IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            return zip(X, X, strict=True)

    return DataLoader(Stream(), batch_size=2)


class Count(keras.callbacks.Callback):
    """Counts the batches that have ended, and compares what the hub says as each begins."""

    def __init__(self):
        super().__init__()
        self.done, self.epochs, self.differs = 0, 0, []

    def on_train_batch_begin(self, batch, logs=None):
        seen = {key: current_hub().get_info(key) for key in ("iter", "epoch", "loop_stage")}
        if seen != {"iter": self.done, "epoch": self.epochs, "loop_stage": "train"}:
            self.differs.append((batch, self.done, self.epochs, seen))

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1


def build(rate=0.0, **compiled):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)])
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"], **compiled)
    return model


def train(data, *, is_attached=True, **compiled):
    """Return what is wrong; the weight stays 0, so that the losses are known."""
    model, count = build(**compiled), Count()
    callback = attach(model) if is_attached else RuntimeInfoCallback()
    callbacks = [count] if is_attached else [callback, count]
    given = {"epochs": EPOCHS, "shuffle": False, "verbose": 0, "validation_data": (X, X), "callbacks": callbacks}
    model.fit(**given | data)
    hub = callback.message_hub
    losses = np.array([float((batch**2).mean()) for batch in BATCHES] * EPOCHS)
    means = np.array([float(batch.mean()) for batch in BATCHES] * EPOCHS)
    expected = {
        "batches": (count.done, len(losses)),
        "differs": (count.differs, []),
        "iter": (hub.get_info("iter"), count.done),
        "epoch": (hub.get_info("epoch"), count.epochs),
        "stage": (hub.get_info("loop_stage"), None),
        "rates": (hub.get_scalar("train/lr").data[0].tolist(), [0.0] * len(losses)),
        "loss": (hub.get_scalar("train/loss").data[0].round(3).tolist(), losses.round(3).tolist()),
        "mae": (hub.get_scalar("train/mae").data[0].round(3).tolist(), means.round(3).tolist()),
        "val": (hub.get_scalar("val/loss").data[0].round(3).tolist(), [28.5] * EPOCHS),
    }
    return {name: pair for name, pair in expected.items() if pair[0] != pair[1]}


def rates(rate):
    """Return the rates that a training of one epoch has published."""
    model = build(rate)
    callback = attach(model)
    model.fit(X, X, batch_size=2, verbose=0)
    return callback.message_hub.get_scalar("train/lr").data[0].round(6).tolist()


def several_steps():
    try:
        train({"x": X, "y": X, "batch_size": 2}, steps_per_execution=2)
    except RunnerError as error:
        return error.requirement
    return None


def stopped(stop):
    """Return the counters of a training that a callback ends after its third batch."""
    model = build()
    callback = attach(model)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                stop(self.model)

    with contextlib.suppress(ZeroDivisionError):
        model.fit(X, X, batch_size=2, epochs=3, verbose=0, callbacks=[Stop()])
    return callback.runner.iter, callback.runner.epoch, callback.message_hub.get_info("loop_stage")


def ended_early():
    """Return the counters of a training whose data have three batches, and not five as it was told."""
    model = build()
    callback = attach(model)
    model.fit((item for item in itertools.islice(endless(), 3)), steps_per_epoch=5, verbose=0)
    hub = callback.message_hub
    return (
        hub.get_info("iter"),
        callback.runner.epoch,
        *(len(hub.get_scalar(f"train/{key}").data[0]) for key in ("lr", "loss")),
    )


def weight(*, is_attached):
    model = build(0.01)
    if is_attached:
        attach(model)
    model.fit(X, X, batch_size=2, epochs=2, shuffle=False, verbose=0)
    return float(model.get_weights()[0][0, 0])


arrays = {"x": X, "y": X, "batch_size": 2}
schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
print(
    json.dumps(
        {
            "backend": keras.config.backend(),
            "arrays": train(arrays),
            "eager": train(arrays, run_eagerly=True),
            "alone": train(arrays, is_attached=False),
            "PyDataset": train({"x": Sized()}),
            "endless": train({"x": endless(), "steps_per_epoch": len(BATCHES)}),
            "unsized": train({"x": unsized()}),
            "unsized, alone": train({"x": unsized()}, is_attached=False),
            "schedule": rates(schedule) == [0.5, 0.25, 0.125, 0.0625, 0.03125],
            "steps_per_execution": several_steps() if keras.config.backend() != "torch" else "COUNT-10",
            "ended early": ended_early(),
            "stopped": stopped(lambda model: setattr(model, "stop_training", True)),
            "failed": stopped(lambda model: 1 / 0),
            "same weight": weight(is_attached=True) == weight(is_attached=False) != 0,
            "torch is loaded": "torch" in sys.modules,
        }
    )
)
