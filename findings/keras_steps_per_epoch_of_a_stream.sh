#!/usr/bin/env bash
# Keras 3.15.1 with torch 2.13.0: if `steps_per_epoch` is the length of a stream, every second epoch trains on nothing.
#
# Guess before: `fit(loader, steps_per_epoch=6, epochs=4)` makes 24 steps when the loader gives 6 batches, whether its
# dataset is a stream (an `IterableDataset`) or map-style; if Keras wanted one stream for all epochs, training would end
# with it.
# Seen: the map-style loader gives 6, 6, 6, 6 steps, the stream 6, 0, 6, 0. With `steps_per_epoch`, Keras keeps one
# iterator across epochs until it runs out. It does not know how long a stream is, so the first epoch leaves an
# exhausted iterator to the second; the third opens a new one. A warning says "interrupting training", but training goes
# on: the callbacks get all 4 epochs, two of them with empty logs, and `history["loss"]` has 2 values for 4 epochs.
# Without `steps_per_epoch` the same stream gives 6, 6, 6, 6.
# Met by: streams whose length the user knows and passes, for a progress bar with a total or for a schedule.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import os
import warnings

os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch
from torch.utils.data import DataLoader, IterableDataset

batches = [(torch.ones(1), torch.ones(1))] * 6


class Stream(IterableDataset):
    def __iter__(self):
        return iter(batches)


class Count(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps, self.logged = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.steps.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.steps[-1] += 1

    def on_epoch_end(self, epoch, logs=None):
        self.logged.append(sorted(logs))


def train(dataset, steps_per_epoch):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    count = Count()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(
            DataLoader(dataset, batch_size=1), epochs=4, steps_per_epoch=steps_per_epoch, verbose=0, callbacks=[count]
        )
    warned = any("ran out of data; interrupting training" in str(warning.message) for warning in caught)
    assert int(model.optimizer.iterations) == sum(count.steps)
    return count.steps, count.logged, len(history.history["loss"]), warned


print(f"keras {keras.__version__}, torch {torch.__version__}: steps in each of 4 epochs over 6 batches")
stream, map_style, unset = train(Stream(), 6), train(batches, 6), train(Stream(), None)
print(f"a stream, steps_per_epoch=6: {stream[0]}, {stream[2]} losses in the history, warned: {stream[3]}")
print(f"what the callback got in logs at each epoch's end: {stream[1]}")
print(f"map-style, steps_per_epoch=6: {map_style[0]}, {map_style[2]} losses in the history, warned: {map_style[3]}")
print(f"a stream, steps_per_epoch=None: {unset[0]}, {unset[2]} losses in the history, warned: {unset[3]}")
assert keras.__version__ == "3.15.1"
assert torch.__version__.startswith("2.13.0")
assert stream == ([6, 0, 6, 0], [["loss"], [], ["loss"], []], 2, True)
assert map_style == ([6, 6, 6, 6], [["loss"]] * 4, 4, False)
assert unset[0] == [6, 6, 6, 6]
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
