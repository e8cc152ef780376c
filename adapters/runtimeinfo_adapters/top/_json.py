"""The runs as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from runtimeinfo.board import board_folder
from runtimeinfo_adapters.top._run import Run

VERSION = 1
"""It rises when a member is taken away or means something else; not when one is added."""

_LONGEST_TEXT = 1000


def document(runs: Sequence[Run], wall_ns: int) -> dict[str, Any]:
    """Return what is known of the runs, in the form that docs/top.md describes.

    Args:
        runs: The runs.
        wall_ns: When that was, in nanoseconds since 1970.

    Example:
        >>> document([], 1_700_000_000_000_000_000)["runs"]
        []
    """
    return {
        "version": VERSION,
        "time": wall_ns / 1e9,
        "folder": str(board_folder()),
        "runs": [_run(run) for run in runs],
    }


def line(content: Mapping[str, Any]) -> str:
    """Return a document as JSON in one line of ASCII."""
    return json.dumps(content, allow_nan=False)


def _run(run: Run) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "pid": run.pid,
        "state": run.state,
        "stalled": run.is_stalled,
        "elsewhere": run.is_elsewhere,
        "current": run.is_current,
        "error": run.error,
        "started": None if run.started_ns is None else run.started_ns / 1e9,
        "age_s": _number(run.age_s),
        "experiment_name": run.experiment_name,
        "loop_stage": run.loop_stage,
        "epoch": run.epoch,
        "iter": run.iter,
        "max_epochs": run.max_epochs,
        "max_iters": run.max_iters,
        "rate": _number(run.rate),
        "eta_s": _number(run.eta_s),
        "scalars": {
            key: {"value": _number(scalar.value), "count": _number(scalar.count), "updates": scalar.updates}
            for key, scalar in run.scalars.items()
        },
        "infos": {key: _number(info) for key, info in run.infos.items() if _is_simple(info)},
        "unshared": run.unshared,
    }


def _is_simple(info: object) -> bool:
    return info is None or isinstance(info, int | float) or (isinstance(info, str) and len(info) <= _LONGEST_TEXT)


def _number(value: Any) -> Any:
    """Return a value as JSON can say it: it has no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
