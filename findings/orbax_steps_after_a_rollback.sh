#!/usr/bin/env bash
# Orbax 0.12.8: after a rollback to an earlier step `save` writes nothing until the training is beyond its old latest step.
#
# Guess before: when a manager has the steps 1, 5 and 10, and the training restores step 5 and goes on, `save(6)` writes
# step 6, or raises an error because there is a later one.
# Seen: it does neither. `save` returns False for each step that is not above the latest, with the default options and
# without a warning: 6 to 10 are not written, 11 is. If the job is interrupted before, `latest_step()` leads it back to
# step 10 of the training that was given up. `save(6, force=True)` writes the step, and `latest_step()` is 6, until a new
# manager is made of the same folder: there it is 10.
# Met by: trainings that go back to an earlier checkpoint after a spike of the loss; callers that ignore what `save`
# returns.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet jax==0.10.2 orbax-checkpoint==0.12.8
cat > "$folder/finding.py" <<'PYTHON'
import logging
import sys
from importlib.metadata import version

import numpy as np
import orbax.checkpoint as ocp

logging.disable(logging.WARNING)


def state(step):
    return ocp.args.StandardSave({"weight": np.full(2, float(step))})


with ocp.CheckpointManager(sys.argv[1]) as manager:
    first = [manager.save(step, args=state(step)) for step in (1, 5, 10)]
    manager.wait_until_finished()
    restored = manager.restore(5)["weight"].tolist()
    again = {step: manager.save(step, args=state(step)) for step in range(6, 12)}
    manager.wait_until_finished()
    steps = manager.all_steps()

with ocp.CheckpointManager(sys.argv[1] + "-forced") as manager:
    for step in (1, 5, 10):
        manager.save(step, args=state(step))
    manager.wait_until_finished()
    forced = manager.save(6, args=state(6), force=True)
    manager.wait_until_finished()
    latest = manager.latest_step()
with ocp.CheckpointManager(sys.argv[1] + "-forced") as manager:
    forced_steps, reopened_latest = sorted(manager.all_steps()), manager.latest_step()

print(f"orbax-checkpoint {version('orbax-checkpoint')}: save of the steps 1, 5, 10 returns {first}")
print(f"after restore(5), which gives {restored}, save returns {again}; there are the steps {sorted(steps)}")
print(f"save(6, force=True) returns {forced}; there are the steps {forced_steps}")
print(f"latest_step() is {latest}, and {reopened_latest} in a new manager of the same folder")
assert first == [True, True, True] and restored == [5.0, 5.0]
assert again == {6: False, 7: False, 8: False, 9: False, 10: False, 11: True}
assert sorted(steps) == [1, 5, 10, 11]
assert (forced, forced_steps) == (True, [1, 5, 6, 10])
assert (latest, reopened_latest) == (6, 10)
PYTHON
"$folder/env/bin/python" "$folder/finding.py" "$folder/checkpoints"
