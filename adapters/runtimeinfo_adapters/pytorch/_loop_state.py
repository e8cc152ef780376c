"""The saved form of an instrumented loop.

{"version": 1, "epoch": int, "iter": int,   completed
"batches": int,                            of the epoch that goes on
"outputs": {name: scalar},                 handed out by the last iteration, not published yet
"message_hub": the hub's own state}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from runtimeinfo import StateError, describe, is_scalar
from runtimeinfo_adapters import _training_state

STATE_VERSION = _training_state.STATE_VERSION


def check_state(state_dict: Any) -> None:
    """Check every field but the hub's, which it checks itself.

    Raises:
        StateError: Naming the first field that is missing or wrong.

    Source: RESUME-01.
    """
    _training_state.check_state(state_dict, ("batches",))
    outputs = cast("Mapping[str, Any]", state_dict).get("outputs")
    if not isinstance(outputs, Mapping):
        raise StateError(
            f"outputs must be a mapping, but is {describe(outputs)}: load what Loop.state_dict() returned",
            field="outputs",
        )
    for name, value in cast("Mapping[Any, Any]", outputs).items():
        if not is_scalar(value):
            field = f"outputs[{name!r}]"
            raise StateError(
                f"{field} must be a scalar, but is {describe(value)}: load what Loop.state_dict() returned", field=field
            )
