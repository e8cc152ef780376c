"""The picture of what an iteration costs, the later it comes: an SVG, on two logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 700, 30, 360

# Where the fresh history stands, which has no logarithm.
_FIRST = 100

_ATTRIBUTES = 'role="img" aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="15"'
_STYLE = """\
    text { fill: #1d2733; } .tick { font-size: 12.5px; fill: #445; } .name { font-weight: 600; }
    .grid { stroke: #d6dde6; stroke-width: 1; } .line { fill: none; stroke-width: 2.5; }
    .s0 { stroke: #b4442f; } .d0, .n0 { fill: #b4442f; }
    .s1 { stroke: #2f7d4a; } .d1, .n1 { fill: #2f7d4a; }
    .s2 { stroke: #4a6fa5; stroke-dasharray: 6 5; } .d2, .n2 { fill: #4a6fa5; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e8edf4; } .tick { fill: #b9c3d0; } .grid { stroke: #364253; }
      .s0 { stroke: #f08a75; } .d0, .n0 { fill: #f08a75; }
      .s1 { stroke: #6cc088; } .d1, .n1 { fill: #6cc088; }
      .s2 { stroke: #7fa3d8; } .d2, .n2 { fill: #7fa3d8; }
    }"""


@dataclass(frozen=True, slots=True)
class Series:
    """What an iteration costs with one candidate.

    Attributes:
        name: The candidate.
        points: How many iterations have been, and the seconds that one more takes.
    """

    name: str
    points: Sequence[tuple[int, float]]


def picture(series: Sequence[Series], subject: str) -> str:
    """Return the picture; three candidates have a colour."""
    highest = math.ceil(math.log10(max(seconds for each in series for _, seconds in each.points)))
    lowest = math.floor(math.log10(min(seconds for each in series for _, seconds in each.points)))
    longest = max(length for each in series for length, _ in each.points)
    decades = math.log10(max(longest, 10 * _FIRST) / _FIRST)

    def x_of(length: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * math.log10(max(length, _FIRST) / _FIRST) / decades

    def y_of(seconds: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * (math.log10(seconds) - lowest) / (highest - lowest)

    said = ". ".join(
        f"{each.name}: " + ", ".join(f"{_time(seconds)} after {length:,}" for length, seconds in each.points)
        for each in series
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_ATTRIBUTES}>',
        f'  <title id="t">{subject}, by how many have been</title>',
        f'  <desc id="d">{said}.</desc>',
        f"  <style>\n{_STYLE}\n  </style>",
    ]
    for power in range(lowest, highest + 1):
        y = y_of(10.0**power)
        lines.append(f'  <path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
        lines.append(_tick(_LEFT - 10, y + 4, _time(10.0**power, digits=3), "end"))
    lines.append(_tick(_LEFT, _BOTTOM + 22, "0"))
    powers = range(3, math.floor(math.log10(longest)) + 1)
    lines += [_tick(x_of(10**power), _BOTTOM + 22, f"{10**power:,}") for power in powers]
    lines.append(_tick((_LEFT + _RIGHT) / 2, _BOTTOM + 45, "iterations before it"))
    for index, each in enumerate(series):
        places = [(x_of(length), y_of(seconds)) for length, seconds in each.points]
        lines.append(f'  <path class="line s{index}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>')
        lines += [f'  <circle class="d{index}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in places]
        x, y = places[-1]
        lines.append(f'  <text class="name n{index}" x="{x + 12:.1f}" y="{y + 5:.1f}">{each.name}</text>')
    return "\n".join((*lines, "</svg>", ""))


def _tick(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'  <text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _time(seconds: float, digits: int = 2) -> str:
    unit, scale = next(
        (pair for pair in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)) if seconds >= 0.999 * pair[1]), ("ns", 1e-9)
    )
    return f"{float(f'{seconds / scale:.{digits}g}'):g} {unit}"
