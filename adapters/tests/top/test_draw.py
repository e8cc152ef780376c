from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from runtimeinfo.board import BoardScalar
from runtimeinfo_adapters.top import Run
from runtimeinfo_adapters.top._draw import draw_runs
from runtimeinfo_adapters.top._layout import ASCII, UNICODE, Glyphs, LineLayout, sparkline

CURVES = {"train/lr": (0.1, 0.01), "train/loss": (4.0, 2.0, 1.0), "val/acc": (0.25, 0.75)}


def make(number: int = 1, curves: dict[str, tuple[float, ...]] = CURVES, **other: Any) -> Run:
    about: dict[str, Any] = {
        "pid": 4710 + number,
        "state": "live",
        "age_s": 0.2,
        "loop_stage": "train",
        "epoch": 2,
        "max_epochs": 10,
        "iter": 1200,
        "max_iters": 5000,
        "rate": 49.83,
        "eta_s": 76.0,
        "infos": {"experiment_name": f"digits-{number}"},
        "scalars": {key: BoardScalar(values[-1], 1.0, len(values)) for key, values in curves.items()},
        "curves": curves,
    }
    return Run(Path(f"boards/{number}-0.board"), **(about | other))


def bare(**about: Any) -> Run:
    nothing = dict.fromkeys(("loop_stage", "epoch", "iter", "max_epochs", "max_iters", "rate", "eta_s", "age_s"))
    return make(**({**nothing, "infos": {}, "curves": {}} | about))


def drawn(
    *runs: Run, width: int = 80, height: int | None = None, glyphs: Glyphs = UNICODE, folder: str = "boards"
) -> list[str]:
    """Return the printed lines, after checking that each fits and contains nothing that a terminal obeys."""
    file = io.StringIO()
    console = Console(file=file, width=1000, highlight=False, emoji=False, markup=False, color_system=None)
    for each in draw_runs(runs, LineLayout(width, glyphs), height=height, folder=folder):
        console.print(each, no_wrap=True, overflow="ignore", crop=False)
    lines = file.getvalue().split("\n")[:-1]
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    assert height is None or len(lines) <= height
    return lines


def test_run_at_80_columns() -> None:
    assert drawn(make())[2:] == [
        "● digits-1                                            pid 4711  train  0.2 s ago",
        "  epoch 2/10 ━━┄┄┄┄┄┄┄┄┄  iter 1200/5000 ━━┄┄┄┄┄┄┄┄┄   24%  49.8 it/s  ETA 1:16",
        "  lr           0.01 █▁                   loss            1 █▃▁",
        "  val/acc      0.75 ▁█",
    ]


def test_run_in_ascii() -> None:
    lines = drawn(make(infos={"experiment_name": "résumé"}), glyphs=ASCII)
    assert all(line.isascii() for line in lines)
    assert lines[2].startswith(r"* r\xe9sum\xe9 ")
    assert "##........." in lines[3]


def test_unknown_facts_are_left_out() -> None:
    assert drawn(bare())[2:] == [f"● pid 4711{'0.0 s ago':>70}"]
    (progress,) = drawn(bare(iter=7, rate=2.0))[3:]
    assert progress.split() == ["iter", "7", "2.0", "it/s"]
    (progress,) = drawn(bare(epoch=0, max_epochs=0, iter=0, max_iters=0))[3:]
    assert progress.split() == ["epoch", "0/0", "iter", "0/0"]
    (progress,) = drawn(bare(epoch=1, max_epochs=2))[3:]
    assert progress.split() == ["epoch", "1/2", "━" * 15 + "┄" * 15]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"is_stalled": True, "age_s": 45.0}, "stalled: no update for 45 s"),
        ({"state": "dead", "age_s": 400.0}, "dead, 7 min ago"),
        ({"state": "ended", "age_s": 3.0}, "ended, 3.0 s ago"),
        ({"state": "damaged", "error": "1-0.board is damaged: it ends"}, "damaged"),
    ],
)
def test_fault_of_a_run_is_at_the_end_of_its_line(about: dict[str, Any], said: str) -> None:
    for width in (80, 50):
        lines = drawn(make(**about), width=width)
        assert lines[2].endswith(f"  {said}")
    assert ("  1-0.board is damaged: it ends" in lines) is (said == "damaged")
    mark = said.partition(",")[0].partition(":")[0]
    assert f"1 {mark}" in lines[0]
    assert mark in drawn(make(**about), make(2), height=5)[3]


def test_run_in_another_container() -> None:
    assert "pid 4711 · in another container  train" in drawn(make(is_elsewhere=True))[2]


def test_inferred_run_says_so() -> None:
    inferred = make(infos={"experiment_name": "digits", "inferred": True})
    assert "pid 4711 · inferred  train" in drawn(inferred)[2]
    assert "inferred" not in "".join(drawn(make()))
    titles, first, second = drawn(make(), inferred, width=120, height=5)[2:]
    assert (titles.split()[-1], second.split()[-1], "inferred" in first) == ("source", "inferred", False)


def test_drawing_without_a_run() -> None:
    lines = drawn(folder="/dev/shm/\x1b[2J")
    assert "no runs" in lines[0]
    assert r"No run of this user is seen in /dev/shm/\x1b[2J." in lines[2]


@pytest.mark.parametrize("width", [1, 5, 20, 40, 60, 80, 120, 200, 400])
@pytest.mark.parametrize("height", [None, 1, 3, 10, 24, 60])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_drawing_fits_any_size_with_any_values(width: int, height: int | None, glyphs: Glyphs) -> None:
    evil = "[red]\x1b[2J\x1b]0;title\x07\r\n\u202e\ud800数字" * 50
    numbers = (math.nan, math.inf, -math.inf, 1.7e308, -1e-300, 0.0)
    hostile = make(
        2,
        {evil: numbers, f"train/lr{evil}": numbers[:1], **{f"val/{each}": (each,) for each in numbers}},
        infos={"experiment_name": evil},
        loop_stage=evil,
        epoch=-(2**62),
        iter=2**62,
        max_epochs=-1,
        max_iters=-(2**62),
        rate=1e300,
        eta_s=1e300,
        age_s=1e300,
        pid=2**62,
    )
    drawn(make(), hostile, make(3, state="damaged", error=evil), width=width, height=height, glyphs=glyphs)


# -- many runs


def test_many_blocks_lose_lines_then_become_a_table_and_at_last_are_counted() -> None:
    many = [make(number, {f"train/loss{at}": (1.0,) for at in range(12)}) for number in range(1, 9)]
    assert len(drawn(*many, height=100)) == 2 + 8 * 6 + 7
    fewer = drawn(*many, height=50)
    assert len(fewer) == 2 + 8 * 5 + 7
    assert sum("… and 7 more" in line for line in fewer) == 8  # scalars, of each
    bare_blocks = drawn(*many, height=25)
    assert len(bare_blocks) == 2 + 8 * 2 + 7
    assert not any("loss" in line for line in bare_blocks)
    table = drawn(*many, height=11)
    assert table[2].split() == ["run", "state", "stage", "epoch", "iter", "done", "rate", "ETA", "loss", "updated"]
    assert [line.split()[1] for line in table[3:]] == [f"digits-{number}" for number in range(1, 9)]
    cut = drawn(*many, height=10)
    assert [line.split()[1] for line in cut[3:-1]] == [f"digits-{number}" for number in range(1, 7)]
    assert cut[-1] == "  … and 2 more"


def test_table_at_80_columns() -> None:
    runs = [make(1), make(2, state="dead", rate=None, eta_s=None), bare(number=3, state="damaged", error="odd")]
    assert drawn(*runs, height=6)[2:] == [
        "  run       state    stage  epoch       iter  done       rate   ETA  loss",
        "● digits-1  live     train   2/10  1200/5000   24%  49.8 it/s  1:16     1",
        "● digits-2  dead     train   2/10  1200/5000   24%                      1",
        "● pid 4713  damaged",
    ]


def test_narrow_table_leaves_out_the_least_important_columns() -> None:
    titles = [drawn(make(), make(2), width=width, height=5)[2].split() for width in (100, 60, 40, 20)]
    assert titles[0] == ["run", "state", "stage", "epoch", "iter", "done", "rate", "ETA", "loss", "updated"]
    assert titles[1] == ["run", "state", "stage", "epoch", "iter", "done", "ETA", "loss"]
    assert titles[2] == ["run", "state", "done", "ETA", "loss"]
    assert titles[3] == ["run", "state"]


def test_scalars_that_do_not_fit_are_counted_and_learning_rates_first() -> None:
    many = {"train/lr": (0.1,), **{f"train/loss{number}": (float(number),) for number in range(20)}}
    lines = drawn(make(curves=many))
    assert len(lines) == 2 + 2 + 4
    assert lines[4].split()[:2] == ["loss0", "0"]
    assert lines[-1].split() == ["loss6", "6", "▄", "…", "and", "14", "more"]


def test_nan_is_shown_as_such() -> None:
    (loss,) = drawn(make(curves={"train/loss": (1.0, 2.0, math.nan)}))[4:]
    assert loss.split() == ["loss", "nan", "▁█!"]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([1.0], "▄"),
        ([1.0, 1.0], "▄▄"),
        ([0.0, 7.0], "▁█"),
        ([7.0, 0.0, math.inf, -math.inf, math.nan], "█▁!!!"),
        ([math.nan], "!"),
        ([-1.7e308, 1.7e308], "▁█"),
        ([0.0] * 50 + [1.0] * 50, "▁▁▁▁▁█████"),
        ([0.05] * 51, "▄▄▄▄▄▄▄▄▄▄"),  # their means differ by a rounding error
        ([1.0] * 99 + [math.nan], "▄▄▄▄▄▄▄▄▄!"),
    ],
)
def test_sparkline_of_values(values: list[float], shown: str) -> None:
    assert sparkline(values, width=10) == shown


def test_sparkline_in_ascii() -> None:
    assert sparkline([0.0, 6.0, math.nan], 10, ASCII) == "_#!"
    assert sparkline([1.0], width=0) == ""


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats()), st.integers(0, 30))
def test_sparkline_of_any_values_fits(values: list[float], width: int) -> None:
    shown = sparkline(values, width)
    assert len(shown) == min(len(values), width)
    assert set(shown) <= set(UNICODE.levels + UNICODE.broken)
