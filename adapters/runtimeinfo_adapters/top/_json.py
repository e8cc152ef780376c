"""The runs as a JSON document, and its published schema."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from runtimeinfo.board import BoardIdentity, board_folder
from runtimeinfo_adapters.top._watch import Run

VERSION = 1
"""The version of the JSON document. It rises when a member is removed or changes its meaning, not for a new one."""

_LONGEST_TEXT = 1000


def json_document(runs: Sequence[Run], wall_ns: int) -> dict[str, Any]:
    """Return the runs in the form that `schema` and docs/top.md describe.

    Args:
        runs: The runs.
        wall_ns: The present time, in nanoseconds since 1970.

    Example:
        >>> json_document([], 1_700_000_000_000_000_000)["runs"]
        []
    """
    return {
        "version": VERSION,
        "time": wall_ns / 1e9,
        "folder": str(board_folder()),
        "runs": [_json_run(run) for run in runs],
    }


def json_line(document: Mapping[str, Any]) -> str:
    """Return a document as JSON in one line of ASCII."""
    return json.dumps(document, allow_nan=False)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the documents that ``runtimeinfo top --json`` writes.

    Example:
        >>> schema()["properties"]["version"]["const"]
        1
    """
    text = resources.files("runtimeinfo_adapters.top").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _json_run(run: Run) -> dict[str, Any]:
    identity = run.identity or BoardIdentity("")
    return {
        "path": str(run.path),
        "pid": run.pid,
        "user_id": run.user_id,
        "state": run.state,
        "stalled": run.is_stalled,
        "elsewhere": run.is_elsewhere,
        "current": run.is_current,
        "check": run.is_check,
        "error": run.error,
        "started": None if run.started_ns is None else run.started_ns / 1e9,
        "age_s": _json_value(run.age_s),
        "host": identity.host or None,
        "rank": identity.rank,
        "local_rank": identity.local_rank,
        "world_size": identity.world_size,
        "job": identity.job,
        "scheduler": identity.scheduler,
        "run_id": identity.run_id or None,
        "command": list(identity.command),
        "experiment_name": run.experiment_name,
        "loop_stage": run.loop_stage,
        "epoch": run.epoch,
        "iter": run.iter,
        "max_epochs": run.max_epochs,
        "max_iters": run.max_iters,
        "rate": _json_value(run.rate),
        "eta_s": _json_value(run.eta_s),
        "scalars": {
            key: {"value": _json_value(scalar.value), "count": _json_value(scalar.count), "updates": scalar.updates}
            for key, scalar in run.scalars.items()
        },
        "infos": {key: _json_value(info) for key, info in run.infos.items() if _is_simple(info)},
        "unshared": run.unshared,
    }


def _is_simple(info: object) -> bool:
    return info is None or isinstance(info, int | float) or (isinstance(info, str) and len(info) <= _LONGEST_TEXT)


def _json_value(value: Any) -> Any:
    # JSON has no NaN and no infinity.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
