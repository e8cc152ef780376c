#!/usr/bin/env bash
# Flax 0.12.8 on JAX 0.10.2: the sign of `nnx.metrics.Average` turns when it has been given 2,147,483,648 values.
#
# Guess before: `nnx.metrics.Average` gives the mean of all values it was given, however many, but for rounding.
# Seen: it counts the values, not the updates, in an int32, which overflows without a word. The mean of values that are
# all 0.5 is 0.5 after 2,047 updates with 1,048,576 values each, and -0.5 after the 2,048th. `nnx.metrics.Accuracy` is
# an Average of booleans, and becomes negative in the same way.
# Met by: a mean over pixels, voxels or tokens: 2,048 images of 1,024 x 1,024 pixels are one epoch of a segmentation.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet jax==0.10.2 flax==0.12.8
cat > "$folder/finding.py" <<'PYTHON'
import flax
import jax
import jax.numpy as jnp
from flax import nnx

SIZE, UPDATES = 2**20, 2048
losses, right = jnp.full(SIZE, 0.5), jnp.ones((SIZE, 1))
labels = jnp.zeros(SIZE, "int32")
average, accuracy = nnx.metrics.Average(), nnx.metrics.Accuracy()
before = None
for update in range(UPDATES):
    if update == UPDATES - 1:
        before = float(average.compute()), float(accuracy.compute())
    average.update(values=losses)
    accuracy.update(logits=right, labels=labels)
after = float(average.compute()), float(accuracy.compute())

print(f"flax {flax.__version__}, jax {jax.__version__}: the mean of values that are all 0.5, and an accuracy of 1")
print(f"after {UPDATES - 1} updates of {SIZE} values: {before}, after {UPDATES}: {after}")
assert (flax.__version__, jax.__version__) == ("0.12.8", "0.10.2")
assert before == (0.5, 1.0)
assert after == (-0.5, -1.0)
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
