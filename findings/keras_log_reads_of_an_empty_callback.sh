#!/usr/bin/env bash
# Keras 3.15.1 with torch 2.13.0: a callback with an empty `on_train_batch_end` makes the training thread read all logs.
#
# Guess before: a method of a callback that only says `pass` changes nothing in `fit()`.
# Seen: as long as no callback that the user passes overrides `on_train_batch_end`, Keras converts the logs of each step
# to floats in a pool of threads, and the training thread reads the loss only at the ends of the epoch and of the
# training. One empty override moves every read into the training thread: 2 reads become 22 in 20 steps, so that on a
# GPU the loop waits for each step. The attribute `async_safe = True` undoes this, and lets other threads call the
# callback; no docstring of Keras mentions it.
# Met by: base classes of callbacks that define all hooks with empty bodies; measurements of what a callback costs.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import os
import threading

os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch
from keras.src import backend

threads = []
convert_to_numpy = backend.convert_to_numpy


def counting(tensor):
    threads.append(threading.current_thread())
    return convert_to_numpy(tensor)


backend.convert_to_numpy = counting  # the function by which Keras reads a tensor in the logs


class Plain(keras.callbacks.Callback):
    pass


class Empty(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class EmptyAsync(Empty):
    async_safe = True


def train(callbacks):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    threads.clear()
    model.fit(torch.ones(20, 2), torch.ones(20, 1), batch_size=1, shuffle=False, verbose=0, callbacks=callbacks)
    here = threads.count(threading.main_thread())
    return here, len(threads) - here


print(f"keras {keras.__version__}, torch {torch.__version__}: reads of the logs in 20 steps")
seen = {}
for callbacks in ([], [Plain()], [Empty()], [EmptyAsync()]):
    name = type(callbacks[0]).__name__ if callbacks else "none"
    seen[name] = train(callbacks)
    print(f"callback {name}: {seen[name][0]} in the training thread, {seen[name][1]} in others")
assert keras.__version__ == "3.15.1"
assert torch.__version__.startswith("2.13.0")
assert seen == {"none": (2, 20), "Plain": (2, 20), "Empty": (22, 0), "EmptyAsync": (2, 20)}
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
