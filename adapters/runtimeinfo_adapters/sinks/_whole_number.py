"""A counter, whatever type a hub gives it."""

from __future__ import annotations

import operator
from typing import Any, cast


def whole_number(value: object) -> int | None:
    """Return a counter as a plain int, of whatever type of integer a hub gives it; None if it is none."""
    try:
        return operator.index(cast("Any", value))
    except TypeError:
        return None
