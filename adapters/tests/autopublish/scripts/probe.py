"""Write down what the hub tells at a place of a script, beside what the script itself has counted.

Each call writes one line of JSON into the file that the environment variable `PROBE_FILE` names. Without the variable
nothing happens, and `runtimeinfo` is not imported: the output, the exit code and the traceback of a script are then
those of the script alone.

A truth is a value, None for what has no value here, or a list of all values that are right; what is right or may be
unknown is a list that holds None. A truth that is not given is not judged.

The keys are `stage`, `epoch`, `iter`, `lr` (of all param groups), `main_lr` (of the first one, where they differ),
`loss`, and `worker_epoch`, to which belongs what the workers have ``seen``, -1 where they were told nothing.
"""

import json
import os
from pathlib import Path

FILE_VARIABLE = "PROBE_FILE"


def probe(place, *, steps, seen=None, **truth):
    """Append a line for this place; ``steps`` counts the optimizer steps of the training that goes on."""
    path = os.environ.get(FILE_VARIABLE)
    if path is None:
        return
    with Path(path).open("a", encoding="utf-8") as file:
        line = {"place": place, "steps": steps, "truth": truth, "told": ask_hub() | {"seen": seen}}
        file.write(json.dumps(line) + "\n")


def ask_hub():
    from runtimeinfo import current_hub

    hub = current_hub()
    keys = ("loop_stage", "epoch", "iter", "inferred", "max_epochs", "max_iters")
    told = {key: plain(hub.get_info(key)) for key in keys}
    scalars = [key for key in hub.log_scalars if key.startswith("train/") and ("lr" in key or "loss" in key)]
    return told | {key: float(hub.get_scalar(key).current()) for key in sorted(scalars)}


def plain(value):
    return value if isinstance(value, str | bool | int | float | None) else repr(value)
