"""A value in an error message."""

from __future__ import annotations

import reprlib

_short = reprlib.Repr()
_short.maxlist = 4
_short.maxstring = _short.maxother = _short.maxlong = 100


def shown(value: object, /) -> str:
    """Return the repr of a value, cut where it gets long; it never raises.

    Anything may be where something else should be: a whole data set, or an object whose repr fails.

    Example:
        >>> shown("soon"), shown([0] * 1000)
        ("'soon'", '[0, 0, 0, 0, ...]')
    """
    try:
        return _short.repr(value)
    except ValueError:  # an int of thousands of digits
        return f"<{type(value).__name__}>"
