"""Checks of options that several commands have."""

from __future__ import annotations

import math

import typer


def finite(seconds: float) -> float:
    """Return a finite number of seconds.

    Raises:
        typer.BadParameter: If it is NaN or infinite, which `min` lets through.
    """
    if math.isfinite(seconds):
        return seconds
    raise typer.BadParameter("it must be a finite number")
