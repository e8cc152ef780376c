"""The saved form of a training, where an adapter keeps it in its framework's checkpoints.

{"version": 1, "epoch": int, "iter": int,   completed
"message_hub": the hub's own state}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from runtimeinfo import StateError, describe, shown

STATE_VERSION = 1

_REMEDY = "load what state_dict() returned"


def check_state(state_dict: Any, more_counters: tuple[str, ...] = ()) -> None:
    """Check every field but the hub's, which it checks itself.

    Args:
        state_dict: The state.
        more_counters: What else it counts.

    Raises:
        StateError: Naming the first field that is missing or wrong.

    Source: RESUME-01.
    """
    if not isinstance(state_dict, Mapping):
        raise StateError(f"a state must be a mapping, but is {describe(state_dict)}: {_REMEDY}", field="state_dict")
    state = cast("Mapping[str, Any]", state_dict)
    for field in ("version", "epoch", "iter", *more_counters):
        value = state.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise StateError(f"{field} must be an int from 0, but is {shown(value)}: {_REMEDY}", field=field)
    if state["version"] != STATE_VERSION:
        raise StateError(
            f"version is {state['version']}, and this release reads {STATE_VERSION}: load it with "
            "the release that saved it, or train anew",
            field="version",
        )
    if "message_hub" not in state:
        raise StateError(f"message_hub is missing: {_REMEDY}", field="message_hub")
