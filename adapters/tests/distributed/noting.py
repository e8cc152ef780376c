"""What the scripts here have in common: each rank writes down, a line a case, what it got."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtimeinfo import DistributedError, RuntimeInfoError
from runtimeinfo_adapters.distributed import ReducedScalar


class Notes:
    def __init__(self, folder: Path, rank: int) -> None:
        self.rank = rank
        self._path = folder / f"{rank}.jsonl"

    def note(self, case: str, noted: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"case": case, "noted": noted}) + "\n")


def told(call: Callable[[], Mapping[str, ReducedScalar]]) -> Any:
    """Return what a call returns, to the last bit; or what it raises."""
    try:
        scalars = call()
    except RuntimeInfoError as error:
        return error_as_data(error)
    return {
        key: {
            **{name: float(getattr(scalar, name)).hex() for name in ("sum", "count", "mean", "min", "max")},
            "updates": scalar.updates,
        }
        for key, scalar in scalars.items()
    }


def error_as_data(error: RuntimeInfoError) -> dict[str, Any]:
    data: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, DistributedError):
        data |= {
            "group": error.group,
            "ranks": list(error.ranks),
            "at_fault": list(error.at_fault),
            "timeout": error.timeout,
            "cause": type(error.__cause__).__name__,
            "missing": {str(rank): list(keys) for rank, keys in getattr(error, "missing", {}).items()},
        }
    return data
