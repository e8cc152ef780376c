#!/usr/bin/env bash
# optax 0.2.8 on JAX 0.10.2: the learning rate in the state of `inject_hyperparams` is that of the update before.
#
# Expected: `state.hyperparams["learning_rate"]` is the rate that the next `update` uses: it is what you set to change it.
# Seen: around a schedule the state shows the rate of the last update. The first two reads give the same, 1.0, and every
# later one is an update late. A number that you set yourself is in force at the next update; a number that you set
# where a schedule stands is overwritten by it, without a word.
# Met by: logs of the learning rate, and checks of a warm-up by its first steps.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet jax==0.10.2 optax==0.2.8
cat > "$folder/finding.py" <<'PYTHON'
import jax
import jax.numpy as jnp
import optax


def reads(rate, change):
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=rate)
    state, shown, used = optimizer.init(jnp.float32(0)), [], []
    for step in range(4):
        if step == 2 and change:
            state.hyperparams["learning_rate"] = jnp.float32(8)
        shown.append(float(state.hyperparams["learning_rate"]))
        update, state = optimizer.update(jnp.float32(1), state)
        used.append(-float(update))
    return shown, used


schedule = optax.exponential_decay(1.0, transition_steps=1, decay_rate=0.5)
print(f"optax {optax.__version__}, jax {jax.__version__}: the rates shown before an update, and used by it")
for name, rate, change in (("schedule", schedule, False), ("schedule, set to 8", schedule, True), ("1.0, set to 8", 1.0, True)):
    print(name, *reads(rate, change))
assert (optax.__version__, jax.__version__) == ("0.2.8", "0.10.2")
assert reads(schedule, False) == ([1.0, 1.0, 0.5, 0.25], [1.0, 0.5, 0.25, 0.125])
assert reads(schedule, True) == ([1.0, 1.0, 8.0, 0.25], [1.0, 0.5, 0.25, 0.125])
assert reads(1.0, True) == ([1.0, 1.0, 8.0, 8.0], [1.0, 1.0, 8.0, 8.0])
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
