"""What the scripts here share: write down what the current hub says beside what a script has counted itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from runtimeinfo import current_hub

_hub = current_hub()
_SCALARS = {"losses": "train/loss", "mse": "val/mse"}
_INFOS = {"stage": "loop_stage", "epoch": "epoch", "iter": "iter"}


def compare(place: str, **expected: Any) -> None:
    """Write a line for each expected value. `losses` are those of all iterations, in their order."""
    path = os.environ.get("RUNTIMEINFO_TEST_READS")
    if path is None:
        return
    with Path(path).open("a", encoding="utf-8") as file:
        for name, value in expected.items():
            line = {"place": place, "name": name, "expected": value, "seen": _seen(name)}
            file.write(json.dumps(line) + "\n")


def _seen(name: str) -> Any:
    if name in _INFOS:
        return _hub.get_info(_INFOS[name])
    try:
        history = _hub.get_scalar(_SCALARS.get(name, f"train/{name}"))
    except KeyError:
        return None
    values = [float(value) for value in history.data[0]]
    return values if name == "losses" else values[-1]
