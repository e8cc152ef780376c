"""Checks of plain numbers that several parts of this package share."""

from __future__ import annotations

import operator
from typing import Any, TypeGuard, cast

_INT64_MAX = 2**63 - 1


def is_int(value: object) -> TypeGuard[int]:
    """Return whether a value is an int; a bool does not count as one.

    Example:
        >>> is_int(3), is_int(True), is_int(3.0)
        (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool)


def is_positive_int(value: object) -> TypeGuard[int]:
    """Return whether a value is an int of at least 1.

    Example:
        >>> is_positive_int(3), is_positive_int(0), is_positive_int(True), is_positive_int(2.0)
        (True, False, False, False)
    """
    return is_int(value) and value >= 1


def whole_number(value: object) -> int | None:
    """Return an integer of any type, such as NumPy's or a tensor, as a plain int; None for anything else.

    Example:
        >>> import numpy as np
        >>> whole_number(np.int64(3)), whole_number(True), whole_number(2.0)
        (3, None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        return operator.index(cast("Any", value))
    except TypeError:
        return None


def within_64_bits(number: float) -> int | float:
    """Return an integer beyond 64 bits as a float, and any other number as it is.

    Example:
        >>> within_64_bits(3), within_64_bits(-(2**63))
        (3, -9.223372036854776e+18)
    """
    return float(number) if isinstance(number, int) and not -_INT64_MAX <= number <= _INT64_MAX else number


def is_same_number(one: float, other: float) -> bool:
    """Return whether two numbers are equal, where a NaN equals a NaN.

    Example:
        >>> is_same_number(1.0, 1.0), is_same_number(float("nan"), float("nan")), is_same_number(1.0, float("nan"))
        (True, True, False)
    """
    return one == other or (one != one and other != other)
