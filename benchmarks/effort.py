"""The time that the benchmarks take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Counts of rounds, windows and iterations: how much time to take."""

    rounds: int
    import_rounds: int
    long_run: int
    trainings: int
    """How often each framework trains in one process, bare, with us and with its own log."""
    processes: int
    """How many processes of each source tree do so, one after another."""
    is_one_process: bool
    """Whether all frameworks train in the same one: to import PyTorch once is quicker, but they disturb one another."""
    batches: int
    """Of each of these trainings."""
    seed_windows: dict[int, int]
    """How many iterations of mmengine make a window, by the length of its histories: they take longer and longer."""
    calls: int
    """How many writes or reads of a shared number make a window."""
    ranks: int
    reduced: tuple[int, ...]
    """How many scalars the ranks reduce."""


FULL = Effort(
    rounds=15,
    import_rounds=15,
    long_run=1_000_000,
    trainings=8,
    processes=2,
    is_one_process=False,
    batches=1_000,
    seed_windows={0: 256, 1_000: 256, 10_000: 128, 100_000: 32, 200_000: 16, 1_000_000: 3},
    calls=20_000,
    ranks=4,
    reduced=(10, 100),
)
QUICK = Effort(
    rounds=1,
    import_rounds=3,
    long_run=20_000,
    trainings=1,
    processes=1,
    is_one_process=True,
    batches=20,
    seed_windows={0: 8, 10_000: 8, 200_000: 2},
    calls=100,
    ranks=2,
    reduced=(10,),
)
