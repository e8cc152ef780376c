"""Plain data as JSON and back, without loss.

JSON has no tuples, and only strings as keys. Tuples are wrapped in an object with one member, and so is every
dictionary, so that it cannot be mistaken for such a wrapping.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

__all__ = ["NotTextError", "decode", "encode"]

# What each reader can read, however deep its own calls are, and whatever `sys.set_int_max_str_digits` allows it.
_MAX_DEPTH = 100
_MAX_BITS = 2_000

# JSON has no text that differs from that of one character beyond U+FFFF.
_TWO_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class NotTextError(Exception):
    """A value is not plain data."""


def encode(value: Any, max_length: int) -> str:
    """Return plain data as JSON.

    A value that is too long is given up early, because user code might publish a list of a million numbers each epoch.

    Raises:
        NotTextError: If the value contains anything but None, bool, int, float, str, list, tuple and dict, is nested
            more than 100 deep, has an int of more than 2,000 bits, has a surrogate pair as two characters, or takes
            more than `max_length` characters.

    Example:
        >>> encode({"classes": ("cat", "dog"), 3: None}, max_length=100)
        '{"d": [["classes", {"t": ["cat", "dog"]}], [3, null]]}'
    """
    try:
        text = json.dumps(_Wrapping(max_length).wrap(value))
    except (RecursionError, ValueError) as error:  # ValueError: an int of thousands of digits
        raise NotTextError(str(error)) from None
    if len(text) > max_length:
        raise NotTextError(f"it takes {len(text):,} characters of {max_length:,}")
    return text


def decode(text: str | bytes) -> Any:
    """Return the data that was given to `encode`.

    Raises:
        NotTextError: If the text does not come from `encode`.

    Example:
        >>> decode('{"t": [1, 2.5]}')
        (1, 2.5)
    """
    try:
        return _unwrap(json.loads(text))
    except (RecursionError, ValueError, TypeError) as error:  # TypeError: a key that cannot be hashed
        raise NotTextError(f"{type(error).__name__}: {error}") from None


class _Wrapping:
    def __init__(self, max_length: int) -> None:
        self._left = max_length

    def wrap(self, value: Any, depth: int = 0) -> Any:
        kind = cast("type[object]", type(value))
        self._left -= len(value) if kind is str else 1
        if self._left < 0:
            raise NotTextError("it is too long")
        if kind is str and not value.isascii() and _TWO_HALVES.search(value):
            raise NotTextError("it has a surrogate pair as two characters")
        if kind is int and value.bit_length() > _MAX_BITS:
            raise NotTextError(f"it has an int of {value.bit_length():,} bits")
        if value is None or kind in (bool, int, float, str):
            return value
        depth += 1
        if depth > _MAX_DEPTH:
            raise NotTextError(f"it is nested more than {_MAX_DEPTH} deep")
        if kind is list:
            return [self.wrap(each, depth) for each in value]
        if kind is tuple:
            return {"t": [self.wrap(each, depth) for each in value]}
        if kind is dict:
            return {"d": [[self.wrap(key, depth), self.wrap(each, depth)] for key, each in value.items()]}
        raise NotTextError(f"{kind.__name__} is not plain data")


def _unwrap(value: Any) -> Any:
    if isinstance(value, list):
        return [_unwrap(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        wrapped = cast("dict[str, Any]", value)
        match wrapped:
            case {"t": [*items], **rest} if not rest:
                return tuple(_unwrap(each) for each in items)
            case {"d": [*pairs], **rest} if not rest:
                return {_unwrap(key): _unwrap(each) for key, each in pairs}
            case _:
                raise NotTextError(f"an object with the members {sorted(wrapped)}")
    return value
