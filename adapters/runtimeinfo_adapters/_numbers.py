"""A number that says how many of something there may be."""

from __future__ import annotations


def is_positive_int(value: object) -> bool:
    """Tell whether a value is an int from 1; a bool counts nothing.

    Example:
        >>> is_positive_int(3), is_positive_int(0), is_positive_int(True), is_positive_int(2.0)
        (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
