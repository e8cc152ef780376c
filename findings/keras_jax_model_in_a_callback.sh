#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2: a callback that holds the model itself cannot set its learning rate.
#
# Guess before: in a callback, the model that was passed to it and `self.model` are the same: both read the current
# weights and `optimizer.iterations`, and a learning rate that is set through either is in force from the next step on.
# Seen: on JAX the state of a training is outside of the model. After the first batch, to read a variable of the
# optimizer raises "TypeError: 'NoneType' object is not callable". To set the learning rate raises nothing and has no
# effect: the training goes on with the old one, and `learning_rate` is the old one after it. Through `self.model`
# everything works, because the property first puts the state back. On the torch backend both work.
# Met by: `LambdaCallback`, which has no other way to the model, and functions that close over it.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 jax==0.10.2 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import os
import sys

os.environ["KERAS_BACKEND"] = sys.argv[1]
import keras
import numpy as np

ones = np.ones((3, 1), "float32")


def train(by_property, at_batch):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)])
    model.compile(keras.optimizers.SGD(0.25), "mse")

    class Callback(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            at_batch(self.model if by_property else model, batch)

    model.fit(ones, ones, batch_size=1, epochs=1, verbose=0, shuffle=False, callbacks=[Callback()])
    return model


def reads(by_property):
    seen = []

    def read(model, batch):
        try:
            seen.append(int(model.optimizer.iterations))
        except TypeError as error:
            seen.append(f"TypeError: {error}")

    train(by_property, read)
    return seen


def set_to_zero(by_property):
    def change(model, batch):
        if batch == 1:
            model.optimizer.learning_rate = 0.0

    model = train(by_property, change)
    return float(model.optimizer.learning_rate), model.get_weights()[0].item()


error = "TypeError: 'NoneType' object is not callable"
print(f"keras {keras.__version__} on {keras.backend.backend()}")
seen = {by_property: (reads(by_property), set_to_zero(by_property)) for by_property in (True, False)}
for by_property, (iterations, (rate, weight)) in seen.items():
    print("self.model:" if by_property else "the model itself:", f"optimizer.iterations at each batch {iterations};")
    print(f"  learning rate set to 0 at the second batch: at the end it is {rate}, and the weight {weight}")
assert keras.__version__ == "3.15.1"
assert seen[True] == ([0, 1, 2], (0.0, 0.5))
if keras.backend.backend() == "jax":
    assert seen[False] == ([0, error, error], (0.25, 0.875))
else:
    assert seen[False] == seen[True]
PYTHON
for backend in torch jax; do
    "$folder/env/bin/python" -W ignore "$folder/finding.py" "$backend"
done
