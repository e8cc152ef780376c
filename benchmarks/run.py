"""Measures us and our peers in one run, and prints the figures as one table of ratios.

    python benchmarks/run.py [--quick] [--write] [--readme PATH]

Times are medians over rounds in which all candidates take turns; see timing.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from frameworks import frameworks, window
from memory import bytes_per_value
from startup import heavy_modules_after, import_seconds
from subjects import Drive, HistoryBuffer, Outputs, by_hand, float_outputs, mmengine, ours, ours_driven, tensor_outputs
from table import Aim, MarkersMissingError, Row, around_markers, render, write_between_markers
from timing import Window, round_robin, stopwatch

from runtimeinfo_adapters import ScalarHistory

# How many iterations of mmengine make a window, by the length of its histories: they take longer and longer.
_SEED_WINDOWS = {1_000: 256, 10_000: 128, 100_000: 32, 200_000: 16}
_AIMS_BESIDE_SEED = {1_000: 15, 200_000: 500}

# A history moves its values into an array once in 4,096 updates: so each window of ours has one such move.
_WINDOW = 4096


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time to take."""

    rounds: int
    import_rounds: int
    long_run: int
    trainings: int
    """How often each framework trains, bare, with us and with its own log."""
    batches: int
    """Of each of these trainings."""


_FULL = Effort(rounds=21, import_rounds=15, long_run=1_000_000, trainings=9, batches=1_000)
_QUICK = Effort(rounds=1, import_rounds=3, long_run=20_000, trainings=1, batches=20)


def main() -> int:
    arguments = _parse_arguments()
    try:
        if arguments.write:
            around_markers(arguments.readme)  # before minutes are spent on it
        table = _measure(_QUICK if arguments.quick else _FULL)
        print(table)
        if arguments.write:
            write_between_markers(arguments.readme, table)
    except (MarkersMissingError, OSError) as error:
        print(f"not written: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(effort: Effort) -> str:
    return render(_rows(effort), " A quick run: the figures mean little." if effort is _QUICK else "")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds only: to see that it runs")
    parser.add_argument("--write", action="store_true", help="write the table into the README, between its markers")
    readme = Path(__file__).resolve().parent.parent / "README.md"
    parser.add_argument("--readme", type=Path, default=readme, metavar="PATH", help="which file --write changes")
    return parser.parse_args()


def _rows(effort: Effort) -> Iterator[Row]:
    for kind, outputs in (("2 tensors", tensor_outputs()), ("2 floats", float_outputs())):
        yield from _iteration_rows(kind, outputs, effort)
    yield from _framework_rows(effort)
    yield _import_row(effort)
    yield _heavy_row()
    yield _memory_row(effort)


def _iteration_rows(kind: str, outputs: Outputs, effort: Effort) -> Iterator[Row]:
    # This hub has really come so far, update by update, and goes on from there.
    driven = ours_driven(effort.long_run, outputs)
    windows: dict[tuple[str, int], Window] = {
        ("by hand", 0): _fresh_window(lambda: by_hand(outputs), _WINDOW),
        ("ours after", 1_000): _fresh_window(lambda: ours_driven(1_000, outputs), _WINDOW),
        ("ours after", effort.long_run): lambda: stopwatch(driven, _WINDOW),
    }
    for length, iterations in _SEED_WINDOWS.items():
        # The first block makes the array grow, which 200,000 updates would share: it is no part of this window.
        windows["ours", length] = _fresh_window(lambda length=length: ours(length, outputs), _WINDOW, before=_WINDOW)
        windows["mmengine", length] = _fresh_window(lambda length=length: mmengine(length, outputs), iterations)
    seconds = round_robin(windows, effort.rounds)

    for length in _SEED_WINDOWS:
        mine, seeds = seconds["ours", length], seconds["mmengine", length]
        at_least = _AIMS_BESIDE_SEED.get(length)
        yield Row(
            f"iteration, {kind}, at {length:,}",
            _microseconds(mine),
            f"mmengine {_microseconds(seeds)}",
            f"{seeds / mine:.1f} x less",
            at_least and Aim(f"at least {at_least} x less", seeds / mine >= at_least),
        )
    mine, hand = seconds["ours after", 1_000], seconds["by hand", 0]
    yield Row(
        f"iteration, {kind}",
        _microseconds(mine),
        f"lists by hand {_microseconds(hand)}",
        f"{mine / hand:.2f} x",
        Aim("at most 3 x", mine / hand <= 3),
    )
    late = seconds["ours after", effort.long_run]
    yield Row(
        f"iteration, {kind}, after {effort.long_run:,}",
        _microseconds(late),
        f"after 1,000: {_microseconds(mine)}",
        f"{late / mine:.2f} x",
        Aim("at most 1.2 x", late / mine <= 1.2),
    )


def _framework_rows(effort: Effort) -> Iterator[Row]:
    for framework, (own_log, trainings) in frameworks().items():
        windows = {kind: window(training, effort.batches) for kind, training in trainings.items()}
        seconds = round_robin(windows, effort.trainings)
        bare, ours, own = (seconds[kind] for kind in ("bare", "ours", "own"))
        yield Row(
            f"iteration, in {framework}, bare {_microseconds(bare)}",
            f"with us {_microseconds(ours)}",
            f"with {own_log} {_microseconds(own)}",
            _added(ours - bare, own - bare),
        )


def _added(ours: float, own: float) -> str:
    if ours <= 0 and own <= 0:
        return "within the noise"
    if ours <= 0 or own <= 0:  # a ratio would say nothing
        return "adds more" if ours > own else "adds less"
    return f"adds {own / ours:.1f} x less" if own >= ours else f"adds {ours / own:.1f} x more"


def _fresh_window(make: Callable[[], Drive], iterations: int, before: int = 2) -> Window:
    """Measure a new subject each time, so that its histories have the length that they shall have."""

    def window() -> float:
        drive = make()
        drive(before)  # with what is done once, at the first update
        return stopwatch(drive, iterations)

    return window


def _import_row(effort: Effort) -> Row:
    seconds = import_seconds("runtimeinfo", effort.import_rounds)
    return Row(
        "import runtimeinfo, beyond a bare interpreter",
        f"{seconds * 1e3:.1f} ms",
        aim=Aim("under 50 ms", seconds < 0.050),
    )


def _heavy_row() -> Row:
    loaded = heavy_modules_after("runtimeinfo")
    return Row(
        "numpy and torch loaded by it", " and ".join(loaded) or "neither", aim=Aim("neither", reached=not loaded)
    )


def _memory_row(effort: Effort) -> Row:
    length = effort.long_run

    def mine() -> object:
        history = ScalarHistory()
        for number in range(length):
            history.update(float(number))
        return history

    def seeds() -> object:
        return HistoryBuffer(np.arange(length, dtype=float), np.ones(length, dtype=int))

    our_bytes, seed_bytes = bytes_per_value(mine, length), bytes_per_value(seeds, length)
    return Row(
        f"memory a value, of {length:,}",
        f"{our_bytes:.1f} bytes",
        f"mmengine {seed_bytes:.1f} bytes",
        f"{seed_bytes / our_bytes:.1f} x less",
    )


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:,.2f} µs" if seconds < 1e-4 else f"{seconds * 1e6:,.0f} µs"


if __name__ == "__main__":
    sys.exit(main())
