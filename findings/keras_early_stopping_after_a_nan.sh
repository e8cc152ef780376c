#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2: if the first validation loss is NaN, EarlyStopping stops a training that gets better.
#
# Guess before: NaN is never the best value. A training whose validation loss is NaN in its first epoch and falls from
# then on goes on, and `restore_best_weights=True` gives the weights of the lowest loss.
# Seen: the first value becomes the best one unseen, and nothing is less than NaN. With the losses NaN, 3, 2, 1 and
# patience 2 the training stops in the third epoch, and the weights that are restored are those of the NaN.
# ReduceLROnPlateau takes the falling losses for a plateau and divides the learning rate by 10 in each epoch. A NaN in a
# later epoch does nothing of this.
# Met by: a first epoch that overflows in half precision; a metric that is not defined until the model predicts
# something.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet jax==0.10.2 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import os
from math import isnan, nan

os.environ["KERAS_BACKEND"] = "jax"
import keras
import numpy as np

ones = np.ones((2, 1), "float32")


class Give(keras.callbacks.Callback):
    """Give the epoch a validation loss, and the model a weight that says which epoch it is."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.losses[epoch]
        self.model.set_weights([np.full((1, 1), float(epoch))])


def train(losses, callback):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    history = model.fit(ones, ones, epochs=len(losses), verbose=0, callbacks=[Give(losses), callback])
    return len(history.epoch), int(model.get_weights()[0].item()), float(model.optimizer.learning_rate)


print(f"keras {keras.__version__} on {keras.backend.backend()}")
seen = {}
for name, losses in {"first": [nan, 3.0, 2.0, 1.0, 0.5], "second": [3.0, nan, 2.0, 1.0, 0.5]}.items():
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    epochs, restored, _ = train(losses, stop)
    *_, rate = train(losses, keras.callbacks.ReduceLROnPlateau("val_loss", patience=1))
    seen[name] = (epochs, restored, isnan(stop.best), round(rate, 6))
    print(f"losses {losses}: EarlyStopping trains {epochs} epochs, the best loss is {stop.best}")
    print(f"  the weights are those of epoch {restored}; with ReduceLROnPlateau the rate goes from 1.0 to {rate:.6f}")
assert keras.__version__ == "3.15.1"
assert seen["first"] == (3, 0, True, 0.0001)
assert seen["second"] == (5, 4, False, 0.1)
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
