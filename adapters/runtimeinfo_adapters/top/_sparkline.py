"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from runtimeinfo_adapters.top._glyphs import UNICODE, Glyphs


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs = UNICODE) -> str:
    """Return values as a curve, from their lowest to their highest; more than have a place are averaged.

    Args:
        values: The values. What is no finite number gets a mark of its own.
        width: Of how many characters it may be at most.
        glyphs: What to draw it with.

    Example:
        >>> sparkline([1, 2, 3, float("nan"), 8], width=10)
        '▁▂▃!█'
    """
    if width < 1 or not values:
        return ""
    shown = _fitted(values, width)
    finite = [each for each in shown if math.isfinite(each)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return "".join(_level(each, low, high, glyphs) if math.isfinite(each) else glyphs.broken for each in shown)


def _fitted(values: Sequence[float], width: int) -> list[float]:
    many = len(values)
    if many <= width:
        return list(values)
    bounds = [many * place // width for place in range(width + 1)]
    parts = [values[begin:end] for begin, end in pairwise(bounds)]
    return [sum(each / len(part) for each in part) for part in parts]


def _level(value: float, low: float, high: float, glyphs: Glyphs) -> str:
    last = len(glyphs.levels) - 1
    # Halves: the difference of two finite numbers may be infinite.
    span = high / 2 - low / 2
    if span <= 0:
        return glyphs.levels[last // 2]
    return glyphs.levels[round((value / 2 - low / 2) / span * last)]
