"""The saved form of an instrumented loop.

Its fields:

    {"version": 1, "epoch": int, "iter": int,   completed
     "batches": int,                            of the epoch that goes on
     "outputs": {name: scalar},                 handed out by the last iteration, not published yet
     "message_hub": the hub's own state}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from runtimeinfo import MessageHub, StateError
from runtimeinfo.authoring import describe, is_scalar
from runtimeinfo_adapters import _training_state


def loop_state(
    hub: MessageHub, *, epoch: int, iter: int, batches: int, outputs: Mapping[str, int | float]
) -> dict[str, Any]:
    """Return the saved form of an instrumented loop.

    Args:
        hub: What it publishes to.
        epoch: Completed epochs.
        iter: Completed iterations.
        batches: How many batches the epoch that goes on has had.
        outputs: What the last iteration has handed out, as far as it is not published yet.

    Source: RESUME-01.
    """
    return _training_state.training_state(hub, epoch=epoch, iter=iter, batches=batches, outputs=dict(outputs))


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
