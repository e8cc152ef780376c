"""How a progress bar shows itself: on a terminal, or where there is none."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Protocol

_KNOWN = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_UNKNOWN = "{desc}: {n_fmt} [{elapsed}, {rate_fmt}{postfix}]"


_WIDTH = 80
"""The columns of a terminal that does not say how many it has, as in some containers: tqdm would show nothing."""


@dataclass(slots=True)
class Progress:
    """What there is to show.

    Attributes:
        done: How many iterations are done, with those before a resume.
        total: How many there will be; None if nobody knows.
        stage: The stage, and how far that is.
        values: Names and values, one beside the other.
    """

    done: int = 0
    total: int | None = None
    stage: str = "train"
    values: str = ""


class Display(Protocol):
    """Shows progress, now or later."""

    def show(self, progress: Progress, *, now: bool) -> None:
        """Show it, if it is time or must be now."""
        ...

    def close(self) -> None:
        """Leave what was shown last."""
        ...


class TerminalDisplay:
    """A bar of tqdm, drawn anew in its line.

    Args:
        tqdm: The class.
        file: The terminal.
        progress: Where it begins.
        unit: What it counts.
    """

    def __init__(self, tqdm: Any, file: Any, progress: Progress, unit: str) -> None:
        has_width = _width_of(file) > 0
        self._bar = tqdm(
            total=progress.total,
            initial=progress.done,
            desc=progress.stage,
            file=file,
            unit=unit,
            ncols=None if has_width else _WIDTH,
            dynamic_ncols=has_width,
            mininterval=0,  # it is drawn when it is told to
            miniters=0,
        )

    def show(self, progress: Progress, *, now: bool) -> None:  # noqa: ARG002
        """Draw it: a line that is drawn anew is never too much."""
        self._bar.set_description_str(progress.stage, refresh=False)
        self._bar.set_postfix_str(progress.values, refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Leave the line, and go to the next."""
        self._bar.close()


class LineDisplay:
    """Lines for a file: one every so often, without control characters.

    Args:
        tqdm: The class.
        file: The file.
        progress: Where it begins.
        unit: What it counts.
        interval: How many seconds to leave between two lines.
    """

    def __init__(self, tqdm: Any, file: Any, progress: Progress, unit: str, interval: float) -> None:
        self._format = tqdm.format_meter
        self._file = file
        self._unit = unit
        self._initial = progress.done
        self._interval = interval
        self._began = self._printed = time.monotonic()
        self._line = ""

    def show(self, progress: Progress, *, now: bool) -> None:
        """Print it, if it is time; the last one must be."""
        at = time.monotonic()
        if not now and at - self._printed < self._interval:
            return
        line: str = self._format(
            progress.done,
            progress.total,
            at - self._began,
            prefix=progress.stage,
            unit=self._unit,
            initial=self._initial,
            postfix=progress.values,
            bar_format=_UNKNOWN if progress.total is None else _KNOWN,
        )
        said = f"{progress.stage} {progress.done} {progress.values}"
        if said != self._line:  # nothing new is no line
            self._line = said
            self._printed = at
            self._file.write(f"{line}\n")
            self._file.flush()

    def close(self) -> None:
        """Do nothing: each line is whole."""


def _width_of(file: Any) -> int:
    try:
        return os.get_terminal_size(file.fileno()).columns
    except (AttributeError, OSError, ValueError):  # it is a terminal only in name, as a notebook's
        return 0
