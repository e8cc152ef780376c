"""Label values from texts that any program can have published."""

from __future__ import annotations

import hashlib

MAX_LENGTH = 128
"""The greatest length of a label value in characters."""


def label_value(text: str) -> str:
    r"""Return a printable text of bounded length. Different texts stay different.

    A lone surrogate in a label cannot be encoded, and would fail the whole scrape; other characters that cannot be
    printed would arrive, and be seen nowhere. They are written as escapes. So is a backslash, or else the text of an
    escape would equal what it stands for.

    Example:
        >>> label_value("résumé/loss"), label_value("a\x00\n"), label_value("a\\x00")
        ('résumé/loss', 'a\\x00\\n', 'a\\\\x00')
        >>> long = label_value("a" * 1000), label_value("a" * 1001)
        >>> [len(value) for value in long], long[0] != long[1]
        ([128, 128], True)
    """
    is_plain = text.isprintable() and "\\" not in text
    value = text if is_plain else "".join(map(_escaped, text))
    if len(value) <= MAX_LENGTH:
        return value
    digest = hashlib.blake2b(value.encode(), digest_size=8).hexdigest()
    return f"{value[: MAX_LENGTH - len(digest) - 1]}…{digest}"


def _escaped(character: str) -> str:
    is_plain = character.isprintable() and character != "\\"
    return character if is_plain else character.encode("unicode_escape").decode()
