"""Train with Keras: `fit` and `evaluate`, callbacks, and a model of a library that has its own `fit`."""

from __future__ import annotations

import gc
import inspect
import os
import sys
import weakref
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from compare import compare

how = sys.argv[1]


class Model(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.layer = keras.layers.Dense(1)
        self.counts: dict[str, Any] = {"losses": [], "epochs": 0, "fails_at": None, "stage": None}

    def call(self, x: Any) -> Any:
        return self.layer(x)

    def train_step(self, data: Any) -> Any:
        counts = self.counts
        lr = round(float(self.optimizer.learning_rate), 6)
        done = len(counts["losses"])
        compare("train", stage="train", epoch=counts["epochs"], iter=done, lr=lr, losses=counts["losses"])
        if counts["fails_at"] == done:
            raise ValueError("the data is broken")
        logs = super().train_step(data)
        counts["losses"].append(self.last_loss)
        return logs

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.last_loss = round(float(loss), 5)
        return loss

    def test_step(self, data: Any) -> Any:
        compare("evaluation", stage=self.counts["stage"], epoch=self.counts["epochs"], iter=len(self.counts["losses"]))
        return super().test_step(data)


class OfLibrary(Model):
    def fit(self, data: Any, epochs: int = 1) -> Any:
        return super().fit(*data, batch_size=2, epochs=epochs, verbose=0, shuffle=False)


class Counts(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.heard = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.heard += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.counts["epochs"] += 1


def make(kind: Any = Model) -> Any:
    model = kind()
    model.compile(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)), loss="mse")
    return model


keras.utils.set_random_seed(0)
x, y = np.arange(12.0).reshape(6, 2) / 10, np.ones((6, 1))
model = make()
model.counts["stage"] = "val"
counts = Counts()
history = model.fit(x, y, batch_size=2, epochs=2, verbose=0, shuffle=False, validation_data=(x, y), callbacks=[counts])
print([round(loss, 5) for loss in history.history["loss"]], counts.heard, [type(each).__name__ for each in [counts]])
model.fit(x, y, batch_size=2, epochs=3, initial_epoch=2, verbose=0, shuffle=False, callbacks=counts)
model.counts["stage"] = "test"
print(round(float(model.evaluate(x, y, batch_size=3, verbose=0)), 5), counts.heard)
print(inspect.signature(keras.Model.fit), inspect.signature(model.fit), keras.Model.fit.__name__)
print(sorted(name for name in vars(model) if name in ("fit", "evaluate")))
library = make(OfLibrary)
library.fit((x, y), epochs=1)
sequential = keras.Sequential([keras.layers.Dense(1)])
sequential.compile(optimizer="sgd", loss="mse")
print(sequential.fit(x, y, verbose=0).params)

folds = []
for _ in range(2):
    model = make()
    model.fit(x, y, batch_size=3, verbose=0, shuffle=False, callbacks=[Counts()])
    folds.append(weakref.ref(model))
    del model
    gc.collect()
    print("alive:", sum(fold() is not None for fold in folds))

model = make()
model.counts["fails_at"] = 1
try:
    model.fit(x, y, batch_size=2, verbose=0, shuffle=False)
except ValueError as error:
    print(repr(error))
compare("after a failure", stage=None, epoch=None, iter=None)
if how == "fail":
    model.counts["losses"] = []
    model.fit(x, y, batch_size=2, verbose=0, shuffle=False)
