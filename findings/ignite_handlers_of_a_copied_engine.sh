#!/usr/bin/env bash
# PyTorch-Ignite 0.5.5: the handlers of a deep-copied Engine are called with the original engine.
#
# Guess before: `copy.deepcopy(engine)` gives an engine whose handlers get the copy, as a copied object's methods would.
# Seen: a handler that takes the engine is stored with a weak reference to it. A deep copy keeps weak references as they
# are, so each handler of the copy is called with the original, whose state does not move: a handler that reads
# `engine.state.iteration` sees 0 at every iteration of the copy. For the same reason an engine with any handler that
# takes the engine cannot be pickled, be the handler a module-level function or not.
# Met by: folds that copy a prepared trainer; adapters that register handlers for every user's engine.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 pytorch-ignite==0.5.5
cat > "$folder/finding.py" <<'PYTHON'
import copy
import pickle

import ignite
from ignite.engine import Engine, Events

given = []


def note(engine):
    given.append(engine)


def step(engine, batch):
    return batch


original = Engine(step)
original.add_event_handler(Events.ITERATION_COMPLETED, note)
twin = copy.deepcopy(original)
twin.run([1, 2, 3], max_epochs=1)
try:
    pickle.dumps(original)
    pickled = "ok"
except TypeError as error:
    pickled = str(error)

print(f"ignite {ignite.__version__}")
print(f"iterations: copy {twin.state.iteration}, original {original.state.iteration}")
print(f"the copy's handler was given: {['original' if each is original else 'copy' for each in given]}")
print(f"pickle of an engine with a module-level handler: {pickled}")
assert ignite.__version__ == "0.5.5"
assert (twin.state.iteration, original.state.iteration) == (3, 0)
assert all(each is original for each in given) and len(given) == 3
assert "weakref" in pickled
PYTHON
"$folder/env/bin/python" "$folder/finding.py"
