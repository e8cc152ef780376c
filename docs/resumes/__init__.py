"""Trainings that are stopped and resumed under each adapter, compared with the counters of its framework.

Each module here is named after an adapter, and has a function ``resumes()``: it stops a real training in one way,
takes the checkpoint that the framework made or that the adapter documents, resumes it in a new trainer, and yields a
`Resume`.
`table` renders them for docs/adapters.md; adapters/tests/test_resumes.py asserts that each one is right.
"""

import importlib
from collections.abc import Iterator
from typing import NamedTuple

ADAPTERS = ("accelerate", "ignite", "keras", "lightning", "mmengine", "pytorch", "transformers")

STOPS = ("max_iters", "max_epochs", "time limit", "exception", "signal", "early stop", "terminate")
"""How a training is stopped."""

POINTS = ("in mid-epoch", "at the last batch of an epoch", "between two epochs", "at the last batch of all")
"""Where its checkpoint was made."""


class Resume(NamedTuple):
    """One training that was stopped and resumed."""

    stop: str
    """One of `STOPS`."""

    point: str
    """One of `POINTS`."""

    ours: list[tuple[object, ...]]
    """`epoch` and `iter` of the hub as each batch of the resumed training begins, and once more after its end."""

    theirs: list[tuple[object, ...]]
    """The same by the framework's own counters; where it has none, by a count that is independent of the adapter."""

    items: list[int]
    """The items of the interrupted epoch that both trainings were given, in their order; empty if it was not in
    mid-epoch."""

    size: int = 0
    """How many items the data set has."""

    @property
    def is_right(self) -> bool:
        """Whether the hub agrees with the framework at every batch."""
        return self.ours == self.theirs

    @property
    def data(self) -> str:
        """What became of the items of the interrupted epoch."""
        lost = self.size - len(set(self.items))
        twice = sum(self.items.count(item) > 1 for item in set(self.items))
        return "goes on" if not lost and not twice else f"{lost} never, {twice} twice"


def resumes_of(adapter: str) -> Iterator[Resume]:
    """Yield the resumes under an adapter."""
    yield from importlib.import_module(f"resumes.{adapter}").resumes()


def table(found: dict[str, list[Resume]]) -> Iterator[str]:
    """Yield the lines of the two tables: the counters, and the data after a resume in mid-epoch."""
    yield f"| stopped by | saved | {' | '.join(found)} |"
    yield f"|---|---|{':---:|' * len(found)}"
    for stop in STOPS:
        for point in POINTS:
            cells = [_counters([each for each in resumes if each[:2] == (stop, point)]) for resumes in found.values()]
            if any(cell != "·" for cell in cells):
                yield f"| {stop} | {point} | {' | '.join(cells)} |"
    yield ""
    yield f"| data after a resume in mid-epoch | {' | '.join(found)} |"
    yield f"|---|{'---|' * len(found)}"
    yield f"| shuffled, in a process with another random state | {' | '.join(map(_data, found.values()))} |"


def _counters(resumes: list[Resume]) -> str:
    if not resumes:
        return "·"
    return "✓" if all(each.is_right for each in resumes) else "✗"


def _data(resumes: list[Resume]) -> str:
    return "; ".join(sorted({each.data for each in resumes if each.size})) or "·"
