# /// script
# dependencies = ["keras-tuner==1.4.8", "keras==3.15.1", "six==1.17.0", "torch==2.13.0"]
# ///
"""A random search of Keras Tuner: each trial trains a new model, with a copy of the callbacks."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import keras_tuner
import numpy as np
from compare import MODE, Comparison

comparison = Comparison(iterations_per_epoch=4)


class Count(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        comparison.begin()

    def on_train_batch_end(self, batch, logs=None):
        comparison.finished()


class Model(keras.Sequential):
    def train_step(self, data):
        comparison.ask([float(self.optimizer.learning_rate)])
        return super().train_step(data)


def build(hp):
    model = Model([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 2, 4)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), "mse")
    return model


keras.utils.set_random_seed(0)
numbers = np.random.default_rng(0)
tuner = keras_tuner.RandomSearch(build, objective="loss", max_trials=2, directory="tuner", overwrite=True, seed=0)
callbacks = [Count()]
if MODE == "attached":
    from runtimeinfo_adapters.keras import RuntimeInfoCallback

    callbacks = [RuntimeInfoCallback(), *callbacks]
tuner.search(
    numbers.normal(size=(16, 4)), numbers.normal(size=16), epochs=2, batch_size=4, callbacks=callbacks, verbose=0
)
