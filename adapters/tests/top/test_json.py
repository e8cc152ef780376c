"""The JSON document, each held against the published schema."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from runtimeinfo.board import BoardIdentity, BoardScalar
from runtimeinfo_adapters.top import Run, schema
from runtimeinfo_adapters.top._json import VERSION, json_document, json_line

NOW_NS = 1_700_000_000_500_000_000


def written(*runs: Run) -> dict[str, Any]:
    text = json_line(json_document(runs, NOW_NS))
    assert text.isascii()
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    read: dict[str, Any] = json.loads(text, parse_constant=refuse)
    Draft202012Validator(schema()).validate(read)
    return read


def test_json_without_a_run(folder: Path) -> None:
    assert written() == {"version": 1, "time": 1_700_000_000.5, "folder": str(folder), "runs": []}


def test_json_has_each_member_of_a_run() -> None:
    run = Run(
        Path("boards/7-0.board"),
        7,
        "live",
        is_current=True,
        user_id=1000,
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
        identity=BoardIdentity(
            "node1", 1, 0, 4, "4711", "slurm", run_id="ab12", command=("python", "train.py"), is_check=True
        ),
    )
    assert written(run)["runs"] == [
        {
            "path": "boards/7-0.board",
            "pid": 7,
            "user_id": 1000,
            "state": "live",
            "stalled": False,
            "elsewhere": False,
            "current": True,
            "check": True,
            "error": None,
            "started": 1_700_000_000.5,
            "age_s": 0.25,
            "host": "node1",
            "rank": 1,
            "local_rank": 0,
            "world_size": 4,
            "job": "4711",
            "scheduler": "slurm",
            "run_id": "ab12",
            "command": ["python", "train.py"],
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


def test_json_of_a_damaged_board_has_the_same_members() -> None:
    good, bad = written(Run(Path("a"), 1, "live"), Run(Path("b"), 2, "damaged", error="it is short"))["runs"]
    assert good.keys() == bad.keys()
    assert (bad["error"], bad["iter"], bad["scalars"], bad["started"]) == ("it is short", None, {}, None)


def test_json_has_nan_and_infinity_as_text_that_float_reads() -> None:
    numbers = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
    scalars = {key: BoardScalar(value, value, 1) for key, value in numbers.items()}
    (run,) = written(Run(Path("a"), 1, "live", scalars=scalars, infos=numbers, rate=math.inf, eta_s=math.nan))["runs"]
    for key, value in numbers.items():
        assert run["scalars"][key]["value"] == run["scalars"][key]["count"] == run["infos"][key] == key
        assert repr(float(key)) == repr(value)
    assert (run["rate"], run["eta_s"]) == ("inf", "nan")


def test_json_keeps_texts_of_other_programs() -> None:
    evil = "\x1b[2J[red]\ud800\n"
    (run,) = written(Run(Path("a"), 1, "live", infos={"experiment_name": evil}, loop_stage=evil))["runs"]
    assert run["experiment_name"] == run["loop_stage"] == evil


def test_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["properties"]["version"]["const"] == VERSION
    assert schema()["$id"] == f"urn:runtimeinfo:top:{VERSION}"


def test_schema_describes_each_member() -> None:
    document = written(Run(Path("a"), 1, "live"))
    described = schema()
    assert set(described["properties"]) == set(described["required"]) == document.keys()
    run = described["$defs"]["run"]
    assert list(run["properties"]) == run["required"] == list(document["runs"][0])


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "stalled"},
        {"pid": "7"},
        {"rate": "NaN"},
        {"rank": -1},
        {"command": None},
        {"scalars": {"train/loss": 0.5}},
        {"infos": {"cfg": {}}},
        {"epoch": 1.5},
    ],
)
def test_schema_refuses_other_values(changed: dict[str, Any]) -> None:
    document = written(Run(Path("a"), 1, "live"))
    document["runs"][0] |= changed
    with pytest.raises(ValidationError):
        Draft202012Validator(schema()).validate(document)


def test_schema_refuses_another_version_and_a_missing_member() -> None:
    validator = Draft202012Validator(schema())
    document = written(Run(Path("a"), 1, "live"))
    assert not validator.is_valid(document | {"version": VERSION + 1})
    del document["runs"][0]["job"]
    assert not validator.is_valid(document)
