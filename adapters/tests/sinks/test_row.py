from __future__ import annotations

from runtimeinfo_adapters.sinks._row import POSITION, Row


def test_the_position_comes_first_and_nothing_takes_its_place() -> None:
    scalars: dict[str, int | float] = {"train/loss": 0.5, **dict.fromkeys(POSITION, 1.0)}
    cells = Row(7, 1, None, 0.25, scalars).cells()
    assert list(cells) == [*POSITION, "train/loss", "scalar/iter", "scalar/epoch", "scalar/loop_stage", "scalar/time"]
    assert [cells[name] for name in POSITION] == [7, 1, None, 0.25]
