"""What one training iteration costs, by how many have been: with us, with mmengine, and by hand."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from cost_plot import Series
from effort import Effort
from subjects import Drive, Outputs, by_hand, mmengine, ours, ours_driven
from table import Aim, Row, microseconds
from timing import Window, round_robin, stopwatch

_AIMS_BESIDE_SEED = {0: 15, 200_000: 500}

# Beside a loop by hand that does as much: it shares its number, and its outputs are tensors. Twice the time was the aim
# once, for any loop by hand. Generated and unrolled Python code takes 2.3 to 2.6 times as long, and compiled code 1.9:
# see docs/design/what-an-iteration-costs.md.
_AT_MOST_BESIDE_HAND = 3

TENSORS = "2 tensors"
"""The kind of outputs that the aim is about."""

# A history moves its values into an array once in 512 to 1,024 updates: so each window of ours has some such moves.
_WINDOW = 4096


@dataclass(frozen=True, slots=True)
class IterationCosts:
    """What an iteration costs: with us and with mmengine by the length of the histories, and by hand."""

    ours: dict[int, float]
    mmengine: dict[int, float]
    unshared: float
    by_hand: float
    by_hand_shared: float
    late: float

    @classmethod
    def measure(cls, outputs: Outputs, effort: Effort) -> IterationCosts:
        # This hub has really come so far, update by update, and goes on from there.
        driven = ours_driven(effort.long_run, outputs)
        windows: dict[tuple[str, int], Window] = {
            ("unshared", 0): _fresh_window(lambda: ours(0, outputs, share=False), _WINDOW, _WINDOW),
            ("by hand", 0): _fresh_window(lambda: by_hand(outputs), _WINDOW),
            ("by hand, shared", 0): _fresh_window(lambda: by_hand(outputs, share=True), _WINDOW),
            ("late", 0): lambda: stopwatch(driven, _WINDOW),
        }
        for length, iterations in effort.seed_windows.items():
            # The first block makes the array grow, which 200,000 updates would share: it is no part of this window.
            windows["ours", length] = _fresh_window(lambda length=length: ours(length, outputs), _WINDOW, _WINDOW)
            windows["mmengine", length] = _fresh_window(lambda length=length: mmengine(length, outputs), iterations)
        seconds = round_robin(windows, effort.rounds)
        lengths = {
            who: {length: taken for (name, length), taken in seconds.items() if name == who} for who, _ in windows
        }
        return cls(
            lengths["ours"],
            lengths["mmengine"],
            *(seconds[who, 0] for who in ("unshared", "by hand", "by hand, shared", "late")),
        )

    def rows(self, kind: str, effort: Effort, headline_lengths: Container[int] = ()) -> Iterator[Row]:
        for length, mine in self.ours.items():
            seeds = self.mmengine[length]
            at_least = _AIMS_BESIDE_SEED.get(length)
            yield Row(
                f"iteration, {kind}, {f'at {length:,}' if length else 'fresh'}",
                microseconds(mine),
                f"mmengine {microseconds(seeds)}",
                f"{seeds / mine:.1f} x less",
                at_least and Aim(f"at least {at_least} x less", seeds / mine >= at_least),
                is_headline=length in headline_lengths,
            )
        for suffix, mine, hand, how, has_aim in (
            ("", self.ours[0], self.by_hand, "lists by hand", False),
            (", not shared", self.unshared, self.by_hand, "lists by hand", False),
            ("", self.ours[0], self.by_hand_shared, "lists and a multiprocessing.Value by hand", kind == TENSORS),
        ):
            ratio = mine / hand
            yield Row(
                f"iteration, {kind}{suffix}",
                microseconds(mine),
                f"{how} {microseconds(hand)}",
                f"{ratio:.2f} x",
                Aim(f"at most {_AT_MOST_BESIDE_HAND} x", ratio <= _AT_MOST_BESIDE_HAND) if has_aim else None,
                is_headline=how == "lists by hand" and not suffix,
            )
        yield Row(
            f"iteration, {kind}, after {effort.long_run:,}",
            microseconds(self.late),
            f"fresh: {microseconds(self.ours[0])}",
            f"{self.late / self.ours[0]:.2f} x",
            Aim("at most 1.2 x", self.late / self.ours[0] <= 1.2),
        )

    def series(self) -> list[Series]:
        longest = max(self.ours)
        return [
            Series("mmengine", list(self.mmengine.items())),
            Series("runtimeinfo", list(self.ours.items())),
            Series("lists by hand", [(0, self.by_hand), (longest, self.by_hand)]),
        ]


def _fresh_window(make: Callable[[], Drive], iterations: int, before: int = 2) -> Window:
    """Measure a new subject each time, so that its histories have the length that they shall have."""

    def window() -> float:
        drive = make()
        drive(before)  # with what is done once, at the first update
        return stopwatch(drive, iterations)

    return window
