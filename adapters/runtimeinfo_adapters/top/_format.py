"""Format the facts about a run as short texts that are safe to show."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

from runtimeinfo_adapters.top._watch import Run

_LONGEST_TEXT = 200
_LARGEST_COUNT = 10**9
_MOST_MARKS = 2
_VARIATION_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))

STATUS_STYLES = {"live": "green", "stalled": "yellow", "ended": "blue", "dead": "red", "damaged": "magenta"}


def status(run: Run) -> str:
    """Return the state of a run, or ``"stalled"``."""
    return "stalled" if run.is_stalled else run.state


def name_text(run: Run, *, is_ascii: bool = False) -> str:
    """Return the name of the experiment, or else the process."""
    return printable(run.experiment_name or f"pid {run.pid}", is_ascii=is_ascii)


def stage_text(run: Run, *, is_ascii: bool = False) -> str:
    """Return the stage of a run, or nothing between stages."""
    return printable(run.loop_stage or "", is_ascii=is_ascii)[:12]


def user_text(run: Run, *, is_ascii: bool = False) -> str:
    """Return the user that a run belongs to, nothing if it is this one or not known."""
    if run.user_id is None or run.user_id == os.geteuid():
        return ""
    return printable(_user_name(run.user_id), is_ascii=is_ascii)


@cache
def _user_name(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except (KeyError, OverflowError):  # it has been removed, or is known in a container alone
        return str(number)


def status_text(run: Run) -> str:
    """Return the age of the last write of a run, and its fault.

    Example:
        >>> from pathlib import Path
        >>> status_text(Run(Path("4711-0.board"), 4711, "live", is_stalled=True, age_s=45.0))
        'stalled: no update for 45 s'
    """
    age = format_age(run.age_s or 0.0)
    if run.state == "damaged":
        return "damaged"
    if run.state == "live":
        return f"stalled: no update for {age}" if run.is_stalled else f"{age} ago"
    return f"{run.state}, {age} ago"


def epoch_text(run: Run) -> str:
    """Return the number of completed epochs, and the total.

    It is not the number of the running epoch: a board does not tell whether a validation is in an epoch or after it.

    Example:
        >>> from pathlib import Path
        >>> epoch_text(Run(Path("4711-0.board"), 4711, "live", loop_stage="train", epoch=2, max_epochs=10))
        '2/10'
    """
    return "" if run.epoch is None else _of(run.epoch, run.max_epochs)


def iterations_text(run: Run) -> str:
    """Return the number of completed iterations, and the total."""
    return "" if run.iter is None else _of(run.iter, run.max_iters)


def fraction(done: int | None, total: int | None) -> float | None:
    """Return the done part, from 0 to 1; None if it is not known."""
    if done is None or total is None or total <= 0:
        return None
    return min(max(done, 0), total) / total


def percent_text(run: Run) -> str:
    """Return the completed part of the iterations."""
    done = fraction(run.iter, run.max_iters)
    return "" if done is None else f"{int(done * 100)}%"


def rate_text(run: Run) -> str:
    """Return the rate of a run."""
    return format_rate(run.rate) if run.rate else ""


def eta_text(run: Run) -> str:
    """Return the time that the rest takes."""
    return "" if run.eta_s is None else format_duration(run.eta_s)


def _of(number: int, total: int | None) -> str:
    return format_count(number) if total is None else f"{format_count(number)}/{format_count(total)}"


def printable(text: str, *, is_ascii: bool = False, longest: int = _LONGEST_TEXT) -> str:
    r"""Return a text with escapes for everything that a terminal would obey or cannot show.

    Args:
        text: A text from another program.
        is_ascii: Whether the terminal can show only ASCII.
        longest: The number of characters after which the text is cut.

    Example:
        >>> print(printable("red \x1b[31m alert\n"))
        red \x1b[31m alert\n
    """
    shown = unicodedata.normalize("NFC", text[:longest])
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(_shown_characters(shown, is_ascii=is_ascii))


def _shown_characters(text: str, *, is_ascii: bool) -> Iterator[str]:
    marks = 0
    for each in text:
        marks = marks + 1 if unicodedata.category(each) in ("Mn", "Me") else 0
        # A terminal and we might disagree on the width of what a selector varies, and piles of accents reach the
        # lines above.
        is_shown = each.isprintable() and (each.isascii() or not is_ascii) and marks <= _MOST_MARKS
        if each not in _VARIATION_SELECTORS:
            yield each if is_shown else _escaped(each)


def shown_loss(run: Run) -> float | None:
    """Return the first scalar of the training that is not a learning rate, None if there is none."""
    rates = learning_rates(run.scalars)
    keys = (key for key in shown_scalars(run.scalars) if key not in rates and key.startswith("train/"))
    first = next(keys, None)
    return None if first is None else run.scalars[first].value


def format_value(number: float) -> str:
    """Return a number with four significant digits.

    Example:
        >>> format_value(0.123456), format_value(1e-7), format_value(float("nan")), format_value(3)
        ('0.1235', '1e-07', 'nan', '3')
    """
    return f"{number:.4g}"


def format_count(number: int) -> str:
    """Return a counter.

    Example:
        >>> format_count(1200), format_count(10**15)
        ('1200', '1e+15')
    """
    return str(number) if -_LARGEST_COUNT < number < _LARGEST_COUNT else f"{float(number):.3g}"


def format_rate(per_second: float) -> str:
    """Return a rate; of a slow run, the time for an iteration.

    Example:
        >>> format_rate(49.83), format_rate(1234.5), format_rate(0.25)
        ('49.8 it/s', '1234 it/s', '4.0 s/it')
    """
    if 0 < per_second < 1:
        return f"{1 / per_second:.1f} s/it" if per_second > 1e-3 else f"{format_duration(1 / per_second)}/it"
    return f"{per_second:.1f} it/s" if per_second < 1000 else f"{per_second:.4g} it/s"


def format_duration(seconds: float) -> str:
    """Return a duration.

    Example:
        >>> format_duration(7.2), format_duration(76), format_duration(3_700), format_duration(200_000)
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


def format_age(seconds: float) -> str:
    """Return an age.

    Example:
        >>> format_age(0.04), format_age(12.3), format_age(200), format_age(7_300), format_age(200_000)
        ('0.0 s', '12 s', '3 min', '2 h', '2 d')
    """
    for limit, unit, name in ((10, 1, ""), (120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds:.1f} s" if not name else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"


def _escaped(character: str) -> str:
    # Python calls some blanks not printable that are harmless, and common in pasted names.
    return " " if unicodedata.category(character) == "Zs" else ascii(character)[1:-1]


def shown_scalars(keys: Iterable[str]) -> list[str]:
    """Return the keys of scalars in the order in which they are shown.

    Learning rates come first: keys that begin with ``train/lr``, or else keys with ``lr`` in their last part. Then
    come the scalars of training, validation and testing, then all others; each group begins with keys that contain
    ``loss``, and is otherwise in the order of the first update.

    Example:
        >>> shown_scalars(["val/acc", "time", "train/time", "train/loss", "train/lr"])
        ['train/lr', 'train/loss', 'train/time', 'val/acc', 'time']
    """
    all_keys = list(keys)
    rates = learning_rates(all_keys)
    stages = ("train/", "val/", "test/")

    def place(key: str) -> tuple[int, bool]:
        if key in rates:
            return -1, False
        stage = next((index for index, stage in enumerate(stages) if key.startswith(stage)), len(stages))
        return stage, "loss" not in key

    return sorted(all_keys, key=place)


def learning_rates(keys: Iterable[str]) -> set[str]:
    """Return the keys of learning rates."""
    all_keys = list(keys)
    usual = {key for key in all_keys if key.startswith("train/lr")}
    return usual or {key for key in all_keys if "lr" in key.rpartition("/")[2]}
