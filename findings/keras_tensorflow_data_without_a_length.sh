#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0: each epoch over data without a length makes one optimizer step too many.
#
# Expected: 2 epochs over 5 batches make 10 optimizer steps, whether the length of the data is known or not.
# Seen: 10 steps where `tf.data` knows the length, 12 where it does not (`from_generator`). At the end of each epoch
# Keras begins a sixth batch: `on_train_batch_begin(5)` fires, the compiled step raises the optimizer's counter and
# finds no data, and no `on_train_batch_end` follows. A learning rate schedule skips the value of that step, so the
# rates of the second epoch are those of the steps 6 to 10, not 5 to 9.
# Met by: streams, schedules by steps, and callbacks that count in `on_train_batch_begin`.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet tensorflow-cpu==2.21.0 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf

rows = np.arange(10, dtype="float32").reshape(10, 1)


def pairs():
    for first in range(0, 10, 2):
        yield rows[first : first + 2], rows[first : first + 2]


sized = tf.data.Dataset.from_tensor_slices((rows, rows)).batch(2)
unsized = tf.data.Dataset.from_generator(pairs, output_signature=(tf.TensorSpec((2, 1)),) * 2)


class Count(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.begun, self.ended, self.rates = [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)
        self.rates.append(round(float(self.model.optimizer.learning_rate), 4))

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append(batch)


def train(data):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)), "mse")
    count = Count()
    model.fit(data, epochs=2, verbose=0, callbacks=[count])
    return int(model.optimizer.iterations), count


print(f"keras {keras.__version__}, tensorflow {tf.__version__}: 2 epochs over 5 batches")
for name, data, steps, begun in (("known", sized, 10, [0, 1, 2, 3, 4]), ("unknown", unsized, 12, [0, 1, 2, 3, 4, 5])):
    made, count = train(data)
    print(f"length {name}: {made} optimizer steps; begun {count.begun}, ended {count.ended}, rates {count.rates}")
    assert (made, count.begun, count.ended) == (steps, begun * 2, [0, 1, 2, 3, 4] * 2)
    assert count.rates[len(begun)] == round(0.5 ** len(begun), 4)
assert (keras.__version__, tf.__version__) == ("3.15.1", "2.21.0")
PYTHON
"$folder/env/bin/python" "$folder/finding.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
