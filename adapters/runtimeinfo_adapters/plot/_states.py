"""The curves in saved states of reference hubs, wherever a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np

from runtimeinfo import StateError
from runtimeinfo_adapters.hub._state import read_state
from runtimeinfo_adapters.plot._curves import Curve, RunCurves, SourceError

_FIELDS = frozenset({"log_scalars", "runtime_info", "resumed_keys"})
# A checkpoint holds the state some levels below its top, beside those of the model and the optimizer.
_DEEPEST = 12
_MOST_VISITED = 1_000_000


def curves_of_states(loaded: Any, name: str, source: str) -> list[RunCurves]:
    """Return the curves of each state of a hub in what was loaded; none if there is no state.

    A state does not know at which iter a value came: its values are counted.

    Args:
        loaded: Dicts and lists, at any depth.
        name: The name of the source in a legend.
        source: The source, for messages.

    Raises:
        SourceError: If a state is damaged.
    """
    found: list[RunCurves] = []
    states = list(_states(loaded))
    for path, state in states:
        try:
            read = read_state(state)
        except StateError as error:
            raise SourceError(
                f"{source}: the state of the hub{f' in {path}' if path else ''} is damaged: {error}", source=source
            ) from None
        curves = {key: Curve(history.contents()[0].astype(np.float64)) for key, history in read.log_scalars.items()}
        label = f"{name} {path}" if len(states) > 1 else name
        found.append(RunCurves(label, source, {key: curve for key, curve in curves.items() if len(curve.values)}))
    return found


def _states(loaded: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    waiting: list[tuple[str, Any, int]] = [("", loaded, 0)]
    visited = 0
    while waiting and visited < _MOST_VISITED:
        path, value, depth = waiting.pop()
        visited += 1
        if isinstance(value, Mapping):
            mapping = cast("Mapping[Any, Any]", value)
            if mapping.keys() >= _FIELDS:
                yield path, cast("Mapping[str, Any]", mapping)
            elif depth < _DEEPEST:
                waiting += reversed([(f"{path}/{key}".lstrip("/"), item, depth + 1) for key, item in mapping.items()])
        elif isinstance(value, list | tuple) and depth < _DEEPEST:
            items = cast("list[Any]", value)
            waiting += reversed([(f"{path}/{index}".lstrip("/"), item, depth + 1) for index, item in enumerate(items)])
