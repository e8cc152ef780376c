"""The contents of a picture, independent of its renderer: a panel for each scalar, with a line for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from runtimeinfo import RuntimeInfoError
from runtimeinfo_adapters.plot._curves import AXES, Axis, Curve, Floats, RunCurves, SourceError, decimated, smoothed
from runtimeinfo_adapters.top._format import shown_scalars

MOST_PANELS = 48

_LABELS: dict[Axis | None, str] = {
    "iter": "iteration",
    "epoch": "epoch",
    "relative": "time since the first point",
    "wall": "time (UTC)",
    None: "number of the value",
}
_UNITS = ((172_800.0, 3_600.0, "h"), (600.0, 60.0, "min"), (0.0, 1.0, "s"))


class PlotOptionError(RuntimeInfoError):
    """An option asks for a picture that cannot be."""


@dataclass(frozen=True, eq=False)
class Line:
    """One scalar of one run.

    Attributes:
        run: The number of the run.
        positions: The places on the axis, ascending, of shape ``(n,)``.
        values: The values, of shape ``(n,)``: smoothed, if that was asked for. NaN and infinity are among them.
        raw: The values that were smoothed, likewise; None if they were not.
        raw_positions: Their places.
        broken: The places of what is not finite: ``"nan"``, ``"inf"`` and ``"-inf"``.
        hidden: The number of values that a logarithmic scale cannot show.
    """

    run: int
    positions: Floats
    values: Floats
    raw: Floats | None
    raw_positions: Floats
    broken: dict[str, Floats]
    hidden: int = 0


@dataclass(frozen=True, eq=False)
class Panel:
    """All runs that have one scalar.

    Attributes:
        key: The key of the scalar.
        lines: Its lines, in the order of the runs.
        is_log: Whether its values are on a logarithmic scale: not if none of them is positive.
    """

    key: str
    lines: tuple[Line, ...]
    is_log: bool = False


@dataclass(frozen=True, eq=False)
class Picture:
    """Everything that a picture shows.

    Attributes:
        runs: The names of the runs.
        panels: The panels, in their order.
        axis: The axis; None if the values are counted.
        axis_label: Its text.
        left_out: The keys of scalars for which there is no panel, because there are too many.
        problems: What cannot be placed on the axis.
    """

    runs: tuple[str, ...]
    panels: tuple[Panel, ...]
    axis: Axis | None
    axis_label: str
    left_out: tuple[str, ...] = ()
    problems: tuple[SourceError, ...] = ()


def picture_of(
    runs: Sequence[RunCurves],
    *,
    scalars: Sequence[str] = (),
    axis: Axis | None = None,
    smoothing: float = 0.0,
    log: bool = False,
    most_points: int = 4000,
    must_match: bool = True,
) -> Picture:
    """Return the contents of a picture of runs.

    Args:
        runs: The runs.
        scalars: Patterns such as ``val/*``: a scalar is shown if one of them matches; all, if there are none.
        axis: The axis; by default, iter if all curves know it, otherwise epoch, and otherwise the number of the value.
        smoothing: The weight of the past, from 0 to below 1.
        log: Whether values are on a logarithmic scale.
        most_points: About how many points a line has at most.
        must_match: Whether a pattern that matches no scalar is an error: not while scalars may still come.

    Raises:
        PlotOptionError: If a pattern matches no scalar, or `smoothing` is out of range.
    """
    if not 0 <= smoothing < 1:
        raise PlotOptionError(
            f"smoothing must be a number from 0 to below 1, but is {smoothing}. Give 0.6, for example, or leave it out"
        )
    keys = shown_scalars(dict.fromkeys(key for run in runs for key in run.curves))
    for pattern in scalars if must_match else ():
        if not any(fnmatchcase(key, pattern) for key in keys):
            raise PlotOptionError(
                f"no scalar matches {pattern!r}; there are {', '.join(keys[:20]) or 'none'}"
                f"{' and more' if len(keys) > 20 else ''}. Give one of these, or a pattern such as 'val/*'"
            )
    keys = [key for key in keys if not scalars or any(fnmatchcase(key, pattern) for pattern in scalars)]
    shown = [{key: run.curves[key] for key in keys if key in run.curves} for run in runs]
    chosen = axis or _common_axis([curve for curves in shown for curve in curves.values()])
    problems: list[SourceError] = []
    if axis is not None:
        for run, curves in zip(runs, shown, strict=True):
            if curves and not any(curve.has(axis) for curve in curves.values()):
                known = [each for each in AXES if any(curve.has(each) for curve in curves.values())]
                problems.append(
                    SourceError(
                        f"{run.source} does not know the axis {axis!r} of its values"
                        f"{', but ' + ', '.join(known) if known else ''}. Give another axis, or leave it out",
                        source=run.source,
                    )
                )
    scale, unit = _scale(shown, chosen)
    panels: list[Panel] = []
    for key in keys[:MOST_PANELS]:
        lines: list[Line] = []
        for number, (curves, start) in enumerate(zip(shown, map(_start, shown), strict=True)):
            if key in curves and (axis is None or curves[key].has(axis)):
                positions, values = curves[key].on(chosen if curves[key].has(chosen or "iter") else None)
                if chosen == "relative":
                    positions = (positions - start) / scale
                lines.append(_line(number, positions, values, smoothing, most_points))
        is_log = log and any((line.values > 0).any() for line in lines)
        panels.append(Panel(key, tuple(_on_log(line) for line in lines) if is_log else tuple(lines), is_log))
    label = _LABELS[chosen] + (f" ({unit})" if chosen == "relative" else "")
    panels = [panel for panel in panels if panel.lines]
    return Picture(
        tuple(run.name for run in runs), tuple(panels), chosen, label, tuple(keys[MOST_PANELS:]), tuple(problems)
    )


def _common_axis(curves: Sequence[Curve]) -> Axis | None:
    for axis in ("iter", "epoch"):
        if all(curve.has(axis) for curve in curves):
            return axis
    # What knows no iter is counted, as if each value were of one.
    return "iter" if any(curve.has("iter") for curve in curves) else None


def _start(curves: dict[str, Curve]) -> float:
    times = [np.nanmin(curve.times) for curve in curves.values() if curve.times is not None and len(curve.times)]
    return float(min(times, default=0.0))


def _scale(shown: Sequence[dict[str, Curve]], axis: Axis | None) -> tuple[float, str]:
    if axis != "relative":
        return 1.0, ""
    ends = [
        np.nanmax(curve.times) - _start(curves)
        for curves in shown
        for curve in curves.values()
        if curve.times is not None and len(curve.times)
    ]
    longest = max(ends, default=0.0)
    return next((scale, unit) for least, scale, unit in _UNITS if longest >= least)


def _line(run: int, positions: Floats, values: Floats, smoothing: float, most_points: int) -> Line:
    if (np.diff(positions) < 0).any():  # a clock was set back, for example
        order = np.argsort(positions, kind="stable")
        positions, values = positions[order], values[order]
    broken = {
        name: decimated(positions[where], positions[where], most_points)[0]
        for name, where in (("nan", np.isnan(values)), ("inf", np.isposinf(values)), ("-inf", np.isneginf(values)))
        if where.any()
    }
    fewer_positions, fewer = decimated(positions, smoothed(values, smoothing), most_points)
    raw_positions, raw = decimated(positions, values, most_points) if smoothing else (fewer_positions, None)
    return Line(run, fewer_positions, fewer, raw, raw_positions, broken)


def _on_log(line: Line) -> Line:
    values = line.values if line.raw is None else line.raw
    hidden = int((np.isfinite(values) & (values <= 0)).sum())
    return Line(line.run, line.positions, line.values, line.raw, line.raw_positions, line.broken, hidden)
