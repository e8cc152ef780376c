from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from runtimeinfo.board import BoardScalar
from runtimeinfo_adapters.top import Run
from runtimeinfo_adapters.top._json import document, line

NOW_NS = 1_700_000_000_500_000_000


def written(*runs: Run) -> dict[str, Any]:
    text = line(document(runs, NOW_NS))
    assert text.isascii()
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    read: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return read


def test_nobody_runs(folder: Path) -> None:
    assert written() == {"version": 1, "time": 1_700_000_000.5, "folder": str(folder), "runs": []}


def test_each_member_of_a_run() -> None:
    run = Run(
        Path("boards/7-0.board"),
        7,
        "live",
        is_current=True,
        started_ns=NOW_NS,
        age_s=0.25,
        loop_stage="train",
        epoch=1,
        iter=12,
        max_epochs=2,
        max_iters=24,
        rate=4.0,
        eta_s=3.0,
        infos={"experiment_name": "digits", "seed": 0, "flag": True, "none": None, "cfg": "x" * 1001, "tuple": (1,)},
        scalars={"train/loss": BoardScalar(0.5, 2.0, 12)},
        unshared=1,
    )
    assert written(run)["runs"] == [
        {
            "path": "boards/7-0.board",
            "pid": 7,
            "state": "live",
            "stalled": False,
            "elsewhere": False,
            "current": True,
            "error": None,
            "started": 1_700_000_000.5,
            "age_s": 0.25,
            "experiment_name": "digits",
            "loop_stage": "train",
            "epoch": 1,
            "iter": 12,
            "max_epochs": 2,
            "max_iters": 24,
            "rate": 4.0,
            "eta_s": 3.0,
            "scalars": {"train/loss": {"value": 0.5, "count": 2.0, "updates": 12}},
            "infos": {"experiment_name": "digits", "seed": 0, "flag": True, "none": None},
            "unshared": 1,
        }
    ]


def test_a_damaged_board_has_the_same_members() -> None:
    good, bad = written(Run(Path("a"), 1, "live"), Run(Path("b"), 2, "damaged", error="it is short"))["runs"]
    assert good.keys() == bad.keys()
    assert (bad["error"], bad["iter"], bad["scalars"], bad["started"]) == ("it is short", None, {}, None)


def test_what_json_has_no_number_for_is_text_that_float_reads() -> None:
    numbers = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
    scalars = {key: BoardScalar(value, value, 1) for key, value in numbers.items()}
    (run,) = written(Run(Path("a"), 1, "live", scalars=scalars, infos=numbers, rate=math.inf, eta_s=math.nan))["runs"]
    for key, value in numbers.items():
        assert run["scalars"][key]["value"] == run["scalars"][key]["count"] == run["infos"][key] == key
        assert repr(float(key)) == repr(value)
    assert (run["rate"], run["eta_s"]) == ("inf", "nan")


def test_somebody_elses_text_is_text() -> None:
    evil = "\x1b[2J[red]\ud800\n"
    (run,) = written(Run(Path("a"), 1, "live", infos={"experiment_name": evil}, loop_stage=evil))["runs"]
    assert run["experiment_name"] == run["loop_stage"] == evil
