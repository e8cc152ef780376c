#!/usr/bin/env bash
# Keras 3.15.1: a training that BackupAndRestore has restored in mid-epoch writes its next backup as one of epoch 0.
#
# Guess before: with `save_freq=2` a job that is interrupted in epoch 1, restored, and interrupted again in epoch 1 goes
# on in epoch 1 the second time, too; and a model that was restored once begins a later, plain `fit()` in epoch 0.
# Seen: the callback knows the epoch from `on_epoch_end` only. Until the first epoch after a restore ends, it saves the
# later weights as those of epoch 0, where the second restore begins, so that one epoch more is trained. The restored
# epoch stays in the model: the next `fit()`, without the callback, leaves out the epochs before it, without a word.
# Met by: preemptible jobs that are interrupted more than once in an epoch; one model that is trained again.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import json
import os
import sys

os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np

data = np.ones((12, 1), "float32")


class Note(keras.callbacks.Callback):
    def __init__(self, stop_at=None):
        super().__init__()
        self.stop_at, self.epoch, self.epochs = stop_at, None, []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.epochs.append(epoch)

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.stop_at:
            raise RuntimeError("interrupted")


def train(folder, stop_at):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    note = Note(stop_at)
    backup = keras.callbacks.BackupAndRestore(folder, save_freq=2, delete_checkpoint=False)
    try:
        model.fit(data, data, batch_size=2, epochs=3, verbose=0, callbacks=[backup, note])
    except RuntimeError as error:
        assert str(error) == "interrupted"
    with open(os.path.join(folder, "training_metadata.json")) as file:
        return model, note.epochs, json.load(file)["epoch"]


job, other = os.path.join(sys.argv[1], "job"), os.path.join(sys.argv[1], "other")
_, first, saved_first = train(job, stop_at=(1, 2))
_, second, saved_second = train(job, stop_at=(1, 2))
_, third, _ = train(job, stop_at=None)
train(other, stop_at=(1, 2))
model, begun, _ = train(other, stop_at=None)
note = Note()
model.fit(data, data, batch_size=2, epochs=3, verbose=0, callbacks=[note])
print(f"keras {keras.__version__}: epochs of the job {first}, after a restore {second}, after another one {third}")
print(f"the epoch in the backup: first {saved_first}, after the restore {saved_second}")
print(f"a restored training: {begun}; a plain fit() of the same model after it: {note.epochs}")
assert keras.__version__ == "3.15.1"
assert (first, second, third) == ([0, 1], [1], [0, 1, 2])
assert (saved_first, saved_second) == (1, 0)
assert begun == note.epochs == [1, 2]
PYTHON
"$folder/env/bin/python" "$folder/finding.py" "$folder/backup"
