#!/usr/bin/env bash
# Orbax 0.12.8: a NaN metric can be the best step, and decides which of the other steps are kept.
#
# Guess before: with `best_fn` and `best_mode="min"` a step whose metric is NaN is never the best, and goes first when
# `max_to_keep` is reached.
# Seen: the steps are sorted by the metric, with which NaN is never in order. When the last of the losses 3, 1, 2, NaN
# comes, `best_step()` is the step of the NaN, with "min" as with "max". Of the losses 1, NaN, 3, 2 the best step is
# that of 2, and with `max_to_keep=2` the steps of 3 and 2 are kept, and the step of 1 is deleted.
# Met by: an evaluation without positive samples, or one that overflows, in a training that keeps its best checkpoints.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet jax==0.10.2 orbax-checkpoint==0.12.8
cat > "$folder/finding.py" <<'PYTHON'
import logging
import os
import sys
from importlib.metadata import version
from math import nan

import numpy as np
import orbax.checkpoint as ocp

logging.disable(logging.WARNING)


def best_and_kept(mode, metrics, keep):
    options = ocp.CheckpointManagerOptions(best_fn=lambda metric: metric["loss"], best_mode=mode, max_to_keep=keep)
    folder = os.path.join(sys.argv[1], f"{mode} {metrics} {keep}".replace("/", " "))
    with ocp.CheckpointManager(folder, options=options) as manager:
        for step, value in enumerate(metrics):
            manager.save(step, args=ocp.args.StandardSave({"weight": np.zeros(1)}), metrics={"loss": value})
            manager.wait_until_finished()
        return metrics[manager.best_step()], [metrics[step] for step in sorted(manager.all_steps())]


print(f"orbax-checkpoint {version('orbax-checkpoint')}")
seen = {}
for mode, losses in (("min", (3.0, 1.0, 2.0, nan)), ("max", (3.0, 1.0, 2.0, nan)), ("min", (1.0, nan, 3.0, 2.0))):
    best, _ = best_and_kept(mode, losses, None)
    seen[mode, losses] = str((best, best_and_kept(mode, losses, 2)[1]))
    print(f"{mode} of {losses}: the best, and what is kept with max_to_keep=2: {seen[mode, losses]}")
assert version("orbax-checkpoint") == "0.12.8"
assert list(seen.values()) == ["(nan, [1.0, nan])", "(nan, [3.0, nan])", "(2.0, [3.0, 2.0])"]
PYTHON
"$folder/env/bin/python" "$folder/finding.py" "$folder/checkpoints"
