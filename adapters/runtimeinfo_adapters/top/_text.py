"""Numbers and other people's texts, as a terminal may show them."""

from __future__ import annotations

import math
import unicodedata

_LONGEST = 200
_LARGEST = 10**9


def plain(text: str, *, is_ascii: bool = False) -> str:
    r"""Return a text in which there is nothing that a terminal obeys, or cannot show: that is written as an escape.

    Args:
        text: Somebody else's text.
        is_ascii: Whether the terminal can show nothing but ASCII.

    Example:
        >>> print(plain("red \x1b[31m alert\n"))
        red \x1b[31m alert\n
    """
    shown = unicodedata.normalize("NFC", text[:_LONGEST])
    return "".join(
        each if each.isprintable() and (each.isascii() or not is_ascii) else _escaped(each) for each in shown
    )


def value(number: float) -> str:
    """Return a number with four digits that count.

    Example:
        >>> value(0.123456), value(1e-7), value(float("nan")), value(3)
        ('0.1235', '1e-07', 'nan', '3')
    """
    return f"{number:.4g}"


def count(number: int) -> str:
    """Return a counter.

    Example:
        >>> count(1200), count(10**15)
        ('1200', '1e+15')
    """
    return str(number) if -_LARGEST < number < _LARGEST else f"{float(number):.3g}"


def rate(per_second: float) -> str:
    """Return a rate, for a slow one how long an iteration takes.

    Example:
        >>> rate(49.83), rate(1234.5), rate(0.25)
        ('49.8 it/s', '1234 it/s', '4.0 s/it')
    """
    if 0 < per_second < 1:
        return f"{1 / per_second:.1f} s/it" if per_second > 1e-3 else f"{duration(1 / per_second)}/it"
    return f"{per_second:.1f} it/s" if per_second < 1000 else f"{per_second:.4g} it/s"


def duration(seconds: float) -> str:
    """Return how long something takes.

    Example:
        >>> duration(7.2), duration(76), duration(3_700), duration(200_000)
        ('0:07', '1:16', '1:01:40', '2 d 7 h')
    """
    if not 0 <= seconds < 1e11:
        return "?"
    whole = math.ceil(seconds) if seconds < 1 else round(seconds)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"


def age(seconds: float) -> str:
    """Return how long ago something was.

    Example:
        >>> age(0.04), age(12.3), age(200), age(7_300), age(200_000)
        ('0.0 s', '12 s', '3 min', '2 h', '2 d')
    """
    for limit, unit, name in ((10, 1, ""), (120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds:.1f} s" if not name else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"


def _escaped(character: str) -> str:
    # Some blanks that are not printable to Python are harmless, and common in names that were pasted.
    return " " if unicodedata.category(character) == "Zs" else ascii(character)[1:-1]
