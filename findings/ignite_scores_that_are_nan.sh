#!/usr/bin/env bash
# PyTorch-Ignite 0.5.5: EarlyStopping takes every NaN for an improvement, and after one NaN Checkpoint keeps nothing better.
#
# Guess before: a NaN score is not an improvement. EarlyStopping stops a training whose score stays NaN when its patience
# is over, and Checkpoint with a score function never keeps a NaN as one of its best.
# Seen: EarlyStopping asks only whether the score is at most the best one; as NaN is not, it becomes the best score and
# the patience begins again, so that a diverged training with patience 2 runs to its last epoch. In Checkpoint a NaN that
# comes while there is room is kept, and sorts as it comes: of the scores 0.1, NaN, 0.5, 0.6, 0.7 with `n_saved=2` it
# keeps NaN and 0.5, and 0.6 and 0.7 are not saved, because neither is greater than NaN.
# Met by: score functions that return the negative validation loss, in trainings that diverge or have one bad evaluation.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 pytorch-ignite==0.5.5
cat > "$folder/finding.py" <<'PYTHON'
import logging
from math import nan

import ignite
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, EarlyStopping
from ignite.handlers.checkpoint import BaseSaveHandler

logging.disable(logging.INFO)


def train(epochs, each_epoch):
    trainer = Engine(lambda engine, batch: None)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: each_epoch(trainer))
    trainer.run([0], max_epochs=epochs)
    return trainer.state.epoch


def epochs_with_early_stopping(scores):
    rest = iter(scores)
    holder = []

    def evaluate(trainer):
        if not holder:
            holder.append(EarlyStopping(patience=2, score_function=lambda engine: next(rest), trainer=trainer))
        holder[0](Engine(lambda engine, batch: None))

    return train(len(scores), evaluate)


class State:
    def state_dict(self):
        return {}


class Files(BaseSaveHandler):
    def __init__(self):
        self.names = []

    def __call__(self, checkpoint, filename, metadata=None):
        self.names.append(filename)

    def remove(self, filename):
        self.names.remove(filename)


def saved(scores):
    rest, files = iter(scores), Files()
    keep = Checkpoint({"state": State()}, files, n_saved=2, score_name="score", score_function=lambda engine: next(rest))
    train(len(scores), keep)
    return sorted(name.split("=")[1].removesuffix(".pt") for name in files.names)


falls = epochs_with_early_stopping([1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
diverges = epochs_with_early_stopping([1.0, nan, nan, nan, nan, nan])
finite = saved([0.1, 0.2, 0.5, 0.6, 0.7])
with_nan = saved([0.1, nan, 0.5, 0.6, 0.7])
print(f"ignite {ignite.__version__}, EarlyStopping with patience 2: the epochs trained")
print(f"the score falls from the second epoch on: {falls} of 6; it is NaN from the second epoch on: {diverges} of 6")
print(f"Checkpoint with n_saved=2: of 0.1, 0.2, 0.5, 0.6, 0.7 it keeps {finite}")
print(f"of 0.1, NaN, 0.5, 0.6, 0.7 it keeps {with_nan}")
assert ignite.__version__ == "0.5.5"
assert (falls, diverges) == (3, 6)
assert finite == ["0.6000", "0.7000"]
assert with_nan == ["0.5000", "nan"]
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
