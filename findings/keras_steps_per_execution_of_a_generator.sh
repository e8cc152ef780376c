#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2: `steps_per_epoch=5` with `steps_per_execution=2` trains on 6 batches an epoch.
#
# Expected: an epoch has the 5 batches that `steps_per_epoch` says, and its last execution takes one.
# Seen: every execution takes `steps_per_execution` batches from an endless generator: 6 an epoch for 2, and 6 for 3.
# The optimizer makes 12 steps in 2 epochs. Only with 1 it makes 10.
# Met by: throughput settings on long streams: the epochs, the total of steps and a schedule made for it no longer fit.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet jax==0.10.2 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import os

os.environ["KERAS_BACKEND"] = "jax"
import jax
import keras
import numpy as np


def batches():
    while True:
        yield np.ones((2, 1), "float32"), np.ones((2, 1), "float32")


def steps(steps_per_execution):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=steps_per_execution)
    model.fit(batches(), steps_per_epoch=5, epochs=2, verbose=0)
    return int(np.asarray(model.optimizer.iterations))


found = {each: steps(each) for each in (1, 2, 3)}
print(f"keras {keras.__version__}, jax {jax.__version__}: optimizer steps in 2 epochs of steps_per_epoch=5: {found}")
assert (keras.__version__, jax.__version__) == ("3.15.1", "0.10.2")
assert found == {1: 10, 2: 12, 3: 12}
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
