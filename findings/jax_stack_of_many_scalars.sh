#!/usr/bin/env bash
# JAX 0.10.2: the first `jnp.stack` of 1,024 scalars takes seconds.
#
# Guess before: the first stack of n scalars takes milliseconds, a little more than the next, because it compiles.
# Seen: the first call with 1,024 scalars takes about 3 seconds on a CPU, 1,000 times what the next one takes, and a new
# number of scalars pays again: each scalar is an operand of the compiled program. To read them one by one with NumPy
# takes milliseconds.
# Met by: losses that are kept on the device for an epoch and joined at its end, where the last epoch is shorter.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes. It compares times of one run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet jax==0.10.2 numpy
cat > "$folder/finding.py" <<'PYTHON'
import time

import jax
import jax.numpy as jnp
import numpy as np


def seconds(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


print(f"jax {jax.__version__}")
for count in (1024, 1000):
    values = [jnp.float32(each) for each in range(count)]
    first = seconds(lambda: jnp.stack(values).block_until_ready())
    again = seconds(lambda: jnp.stack(values).block_until_ready())
    by_numpy = seconds(lambda: np.array([float(each) for each in values]))
    print(f"{count} scalars: first {first:.2f} s, again {again * 1e3:.1f} ms, read one by one {by_numpy * 1e3:.1f} ms")
    assert first > 20 * max(again, by_numpy)
    assert first > 0.3
assert jax.__version__ == "0.10.2"
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
