"""Values by name, as a call takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtimeinfo import LoopError
from runtimeinfo.authoring import describe


def named_values(method: str, values: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Join the mapping and the keyword arguments of a call.

    Raises:
        LoopError: If the first is no mapping, or both have the same name.

    Source: SCALAR-04, SCALAR-06.
    """
    if values is None:
        return dict(more)
    if not isinstance(values, Mapping):
        raise LoopError(
            f"{method}() takes values by name, as in {method}(name=value), but got {describe(values)}: name them"
        )
    twice = sorted(name for name in values if name in more)
    if twice:
        raise LoopError(f"{twice[0]!r} was given twice to {method}(): give it once")
    return {**values, **more}
