"""What is said of a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, words: Iterable[str], otherwise: str | None = None) -> str:
    """Return the question whether something close was meant; where nothing is close, what there is.

    Args:
        word: What was given.
        words: What is known.
        otherwise: What to say where nothing is close; by default it is all of `words`.

    Example:
        >>> did_you_mean("vall", ["val", "test"])
        "did you mean 'val'?"
        >>> did_you_mean("x", ["val", "test"])
        'there are val, test'
    """
    known = list(words)
    close = difflib.get_close_matches(word, known, n=1) if isinstance(word, str) else []
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(known)}" if otherwise is None else otherwise
