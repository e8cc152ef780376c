#!/usr/bin/env bash
# Keras 3.15.1 with torch 2.13.0: each training step of SGD reads the learning rate back from the device.
#
# Guess before: a training step queues its work on the device and reads nothing back, and SGD, the simplest optimizer,
# least of all.
# Seen: Keras keeps the learning rate in a variable on the device, as it keeps the weights. SGD passes it to
# `torch._foreach_add_` as `alpha`, which has to be a Python number, so torch calls `item()` on it: one read in each
# step, and two with Nesterov momentum. Adadelta does the same. Adam, AdamW, RMSprop, Adagrad, Adamax, Nadam and Lion
# multiply by the tensor and read nothing. On a GPU a read waits until the device has done all that is queued before it.
# The counts here are of the operation behind `item()`, and are made on the CPU.
# Met by: a benchmark that takes SGD as the cheapest baseline; a loop that is meant to run ahead of the device.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 keras==3.15.1
cat > "$folder/finding.py" <<'PYTHON'
import os

os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch
from keras import optimizers
from torch.utils._python_dispatch import TorchDispatchMode


class Reads(TorchDispatchMode):
    values = ()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if function is torch.ops.aten._local_scalar_dense.default:  # what item() and float() call
            self.values += (result,)
        return result


def reads_in_ten_steps(optimizer):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    assert isinstance(optimizer.learning_rate.value, torch.Tensor)
    assert optimizer.learning_rate.value.device == model.layers[0].kernel.value.device
    batch = torch.ones(4, 2), torch.ones(4, 1)
    model.train_step(batch)
    with Reads() as reads:
        for _ in range(10):
            model.train_step(batch)
    assert all(abs(value) == 0.125 for value in reads.values), reads.values  # nothing but the learning rate
    return len(reads.values)


print(f"keras {keras.__version__}, torch {torch.__version__}: reads from the device in 10 training steps")
seen = {
    "SGD": reads_in_ten_steps(optimizers.SGD(0.125)),
    "SGD with Nesterov momentum": reads_in_ten_steps(optimizers.SGD(0.125, momentum=0.5, nesterov=True)),
}
for name in "Adadelta Adam AdamW RMSprop Adagrad Adamax Nadam Lion".split():
    seen[name] = reads_in_ten_steps(getattr(optimizers, name)(0.125))
print(", ".join(f"{name} {count}" for name, count in seen.items()))
assert keras.__version__ == "3.15.1"
assert torch.__version__.startswith("2.13.0")
assert {name: count for name, count in seen.items() if count} == {
    "SGD": 10,
    "SGD with Nesterov momentum": 20,
    "Adadelta": 10,
}
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
