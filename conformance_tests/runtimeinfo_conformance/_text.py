"""Text out of somebody else's code, made fit to be written into a file."""

from __future__ import annotations

import re
from typing import TypeGuard, cast

MOST_CHARACTERS = 4000
"""Longer texts are cut, and say so: one value can be a million elements long."""

# What XML forbids, what a terminal obeys, lone surrogates, and the marks that turn the direction of reading.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def fit(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""Return a text that every format can hold; what it cannot hold is written as an escape.

    Example:
        >>> print(fit("red \x1b[31m alert"))
        red \x1b[31m alert
        >>> fit("12345678", most=5)
        '12345 ... (3 characters more)'
    """
    cut = len(text) - most
    if cut > 0:
        text = f"{text[:most]} ... ({cut} characters more)"
    return _UNFIT.sub(lambda found: ascii(found.group())[1:-1], text)


def shown(value: object) -> str:
    """Return the repr of a value, also of one whose repr is broken."""
    try:
        return fit(repr(value))
    except Exception as error:  # noqa: BLE001  # whatever it is, the report has to be written
        return fit(f"<{type(value).__name__}: its repr raised {type(error).__name__}>")


def shown_beside(expected: object, observed: object) -> tuple[str, str]:
    """Return two different values as two different texts: without quotes and braces, as long as that tells them apart.

    Example:
        >>> shown_beside("train", None)
        ('train', 'None')
        >>> shown_beside("None", None)
        ("'None'", 'None')
        >>> shown_beside({"epoch": 0, "iter": 1}, {"epoch": 1, "iter": 1})
        ('epoch 0, iter 1', 'epoch 1, iter 1')
    """
    if _is_named(expected) and _is_named(observed) and expected.keys() == observed.keys():
        plain = _entries(expected), _entries(observed)
    else:
        plain = _plain(expected), _plain(observed)
    return plain if plain[0] != plain[1] else (shown(expected), shown(observed))


def _is_named(value: object) -> TypeGuard[dict[str, object]]:
    """Tell whether a value is a plain dict of named entries. A subclass may have a broken method in it."""
    return type(value) is dict and bool(value) and all(type(key) is str for key in cast("dict[object, object]", value))


def _entries(value: dict[str, object]) -> str:
    return fit(", ".join(f"{key} {shown(each)}" for key, each in value.items()))


def _plain(value: object) -> str:
    return fit(value) if isinstance(value, str) else shown(value)
