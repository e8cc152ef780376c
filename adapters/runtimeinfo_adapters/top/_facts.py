"""What is said of a run, in words short enough for a line."""

from __future__ import annotations

from runtimeinfo_adapters.top import _text
from runtimeinfo_adapters.top._run import Run

STYLES = {"live": "green", "stalled": "yellow", "ended": "blue", "dead": "red", "damaged": "magenta"}


def mark(run: Run) -> str:
    """Return the state of a run, in which one that stalls is no longer simply live."""
    return "stalled" if run.is_stalled else run.state


def name(run: Run, *, is_ascii: bool = False) -> str:
    """Return what a run is called: the name of its experiment, or else its process."""
    return _text.plain(run.experiment_name or f"pid {run.pid}", is_ascii=is_ascii)


def stage(run: Run, *, is_ascii: bool = False) -> str:
    """Return the stage of a run, or nothing outside of them."""
    return _text.plain(run.loop_stage or "", is_ascii=is_ascii)[:12]


def news(run: Run) -> str:
    """Return when a run was heard of last, and what is wrong with it.

    Example:
        >>> from pathlib import Path
        >>> news(Run(Path("4711-0.board"), 4711, "live", is_stalled=True, age_s=45.0))
        'stalled: no update for 45 s'
    """
    age = _text.age(run.age_s or 0.0)
    if run.state == "damaged":
        return "damaged"
    if run.state == "live":
        return f"stalled: no update for {age}" if run.is_stalled else f"{age} ago"
    return f"{run.state}, {age} ago"


def epoch(run: Run) -> str:
    """Return how many epochs are done, and of how many.

    Not the number of the one that runs: whether a validation is in an epoch or after it, no board tells.

    Example:
        >>> from pathlib import Path
        >>> epoch(Run(Path("4711-0.board"), 4711, "live", loop_stage="train", epoch=2, max_epochs=10))
        '2/10'
    """
    return "" if run.epoch is None else _of(run.epoch, run.max_epochs)


def iterations(run: Run) -> str:
    """Return how many iterations are done, and of how many."""
    return "" if run.iter is None else _of(run.iter, run.max_iters)


def part(done: int | None, total: int | None) -> float | None:
    """Return which part is done, from 0 to 1; None if that is not known."""
    if done is None or total is None or total <= 0:
        return None
    return min(max(done, 0), total) / total


def percent(run: Run) -> str:
    """Return which part of the iterations is done."""
    done = part(run.iter, run.max_iters)
    return "" if done is None else f"{int(done * 100)}%"


def rate(run: Run) -> str:
    """Return how fast a run is."""
    return _text.rate(run.rate) if run.rate else ""


def eta(run: Run) -> str:
    """Return how long the rest takes."""
    return "" if run.eta_s is None else _text.duration(run.eta_s)


def _of(number: int, total: int | None) -> str:
    return _text.count(number) if total is None else f"{_text.count(number)}/{_text.count(total)}"
