"""The saved form of a training, where an adapter keeps it in its framework's checkpoints.

Its fields:

    {"version": 1, "epoch": int, "iter": int,   completed
     "message_hub": the hub's own state}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from runtimeinfo import MessageHub, StateError
from runtimeinfo.authoring import describe, shown
from runtimeinfo_adapters._counters import Counters

STATE_VERSION = 1

_REMEDY = "load what state_dict() returned"


def training_state(hub: MessageHub, *, epoch: int, iter: int, **more: Any) -> dict[str, Any]:
    """Return the saved form of a training.

    Args:
        hub: What it publishes to.
        epoch: Completed epochs.
        iter: Completed iterations.
        more: The fields that only one adapter has.

    Source: RESUME-01.
    """
    return {"version": STATE_VERSION, "epoch": epoch, "iter": iter, **more, "message_hub": hub.state_dict()}


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


def load_hub(hub: MessageHub, state: Mapping[str, Any]) -> None:
    """Let a hub take over its part of a checked state.

    Raises:
        StateError: If the hub refuses it, with the path of the field in the whole state.

    Source: RESUME-01.
    """
    try:
        hub.load_state_dict(state["message_hub"])
    except StateError as error:
        raise StateError(
            f"message_hub: {error.message}", field=f"message_hub.{error.field}", requirement=error.requirement
        ) from None


def load_training(hub: MessageHub, counters: Counters, state: Mapping[str, Any]) -> None:
    """Go on from a saved state, before the training begins: the hub and the counters take it over.

    Raises:
        StateError: If a field is missing or wrong; nothing has changed.

    Source: RESUME-01, RESUME-02.
    """
    check_state(state)
    load_hub(hub, state)
    counters.epoch, counters.iter = state["epoch"], state["iter"]
    # The hub has the stage in which the state was saved, and the counters then.
    hub.update_info_dict({"epoch": counters.epoch, "iter": counters.iter})
    hub.pop_info("loop_stage")
