"""Four ranks under a real torchrun, with gloo, beside what NumPy computes of the values of all of them in one process.

Nearly all cases share one launch, since that takes longest; so each is a function in `cases.py`, and a test here.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

RANKS = range(4)
PLANS = 40

VALUES = st.one_of(
    st.floats(width=32),
    st.floats(min_value=-1e300, max_value=1e300),
    st.integers(-(2**40), 2**40).map(float),
    st.sampled_from([float("nan"), float("inf"), -0.0]),
)
UPDATE = st.tuples(st.sampled_from(["loss", "lr", "val/κ", "zzz"]), VALUES.map(str), st.integers(1, 64))
CALL = st.lists(st.lists(UPDATE, max_size=5), min_size=len(RANKS), max_size=len(RANKS))
PLAN = st.fixed_dictionaries(
    {"missing": st.sampled_from(["error", "empty"]), "calls": st.lists(CALL, min_size=1, max_size=3)}
)

BROKEN_DOWN = [[(key, "nan", 2) for key in ("loss", "lr", "val/κ")] for _ in RANKS]


def drawn_plans() -> list[Any]:
    # What is drawn depends on which modules are loaded, too: what has to come along, does.
    plans: list[Any] = [{"missing": "error", "calls": [BROKEN_DOWN, BROKEN_DOWN]}]

    @settings(
        max_examples=PLANS - 1,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(PLAN)
    def draw(plan: Any) -> None:
        plans.append(plan)

    draw()
    return plans


@pytest.fixture(scope="module")
def plans() -> list[Any]:
    return drawn_plans()


@pytest.fixture(scope="module")
def noted(launch: Any, plans: list[Any], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("cases")
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    return launch("cases.py", folder)


def of(noted: list[dict[str, Any]], case: str) -> list[Any]:
    return [rank[case] for rank in noted]


def same(noted: list[dict[str, Any]], case: str) -> Any:
    """Return what every rank has noted, which has to be the same."""
    every = of(noted, case)
    assert all(each == every[0] for each in every)
    return every[0]


def scalar(*values: float, counts: tuple[float, ...] | None = None) -> dict[str, Any]:
    """Return what is expected of one scalar, of which all ranks together have these values."""
    numbers, weights = np.array(values, float), np.array(counts or [1] * len(values), float)
    with np.errstate(all="ignore"):
        result = {
            "sum": numbers.sum(),
            "count": weights.sum(),
            "mean": numbers.sum() / weights.sum(),
            "min": numbers.min(),
            "max": numbers.max(),
        }
    return {**{name: float(value).hex() for name, value in result.items()}, "updates": len(values)}


# -- drawn plans


def test_every_rank_gets_what_numpy_says_of_all_values(noted: list[dict[str, Any]], plans: list[Any]) -> None:
    results = same(noted, "drawn_plans")
    seen = {"reduced": 0, "differ": 0, "nan": 0}
    assert len(results) == len(plans) == PLANS
    for plan, calls in zip(plans, results, strict=True):
        pending: list[dict[str, list[tuple[float, int]]]] = [{} for _ in RANKS]
        for publishes, by_hub in zip(plan["calls"], calls, strict=True):
            for mine, updates in zip(pending, publishes, strict=True):
                for key, value, count in updates:
                    mine.setdefault(key, []).append((float(value), count))
            for result in by_hub:  # of the reference hub, and of mmengine's
                judge(plan, pending, result, seen)
            if "error" not in by_hub[0]:
                for mine in pending:
                    mine.update({key: [] for key in mine})
    assert min(seen.values()) > 5, seen


def judge(plan: Any, pending: list[Any], result: Any, seen: dict[str, int]) -> None:
    keys = sorted({key for mine in pending for key in mine})
    missing = {str(rank): [key for key in keys if key not in pending[rank]] for rank in RANKS}
    missing = {rank: lacking for rank, lacking in missing.items() if lacking}
    if missing and plan["missing"] == "error":
        assert (result["error"], result["missing"]) == ("KeysDifferError", missing)
        seen["differ"] += 1
        return
    entries = {key: [entry for mine in pending for entry in mine.get(key, [])] for key in keys}
    assert list(result) == [key for key in keys if entries[key]]
    for key, got in result.items():
        values, counts = (np.array(column, float) for column in zip(*entries[key], strict=True))
        numbers = {name: float.fromhex(text) for name, text in got.items() if name != "updates"}
        with np.errstate(all="ignore"):
            # The order in which floats are added shows in the last bits; of all that were added, that is.
            slack = 1e-14 * float(np.abs(values).sum())
            expected, mean = float(values.sum()), float(values.sum() / counts.sum())
        assert got["updates"] == len(values)
        assert numbers["count"] == counts.sum()
        assert numbers["sum"] == pytest.approx(expected, rel=0, abs=slack, nan_ok=True)
        assert numbers["mean"] == pytest.approx(mean, rel=0, abs=slack, nan_ok=True)
        assert np.array_equal([numbers["min"], numbers["max"]], [values.min(), values.max()], equal_nan=True)
        seen["reduced"] += 1
        seen["nan"] += bool(np.isnan(values).any())


# -- cases


def test_the_order_of_the_keys_does_not_matter(noted: list[dict[str, Any]]) -> None:
    assert same(noted, "order_does_not_matter") == [{key: scalar(0, 1, 2, 3) for key in "abcd"}, 1]


def test_a_key_that_some_ranks_lack_is_an_error_on_every_rank_that_names_them(noted: list[dict[str, Any]]) -> None:
    error, after = same(noted, "a_missing_key")
    assert error == {
        "error": "KeysDifferError",
        "message": "the ranks have different scalars, and nothing is reduced: rank 1 lacks 'val/acc'; rank 3 lacks "
        "'val/acc'. Publish the same keys on every rank, or name those to reduce in keys=[...], or pass "
        "missing='empty' on every rank, and a rank without a key adds nothing to it [DIST-05]",
        "group": "default_pg",
        "ranks": [0, 1, 2, 3],
        "at_fault": [1, 3],
        "timeout": 1800.0,
        "cause": "NoneType",
        "missing": {"1": ["val/acc"], "3": ["val/acc"]},
    }
    assert after == {"train/loss": scalar(*[1, 2] * 4), "val/acc": scalar(0.5, 0.25, 0.5, 0.25)}


def test_rank_without_a_key_adds_nothing_if_missing_is_empty(noted: list[dict[str, Any]]) -> None:
    first, second, collectives = same(noted, "a_missing_key_is_empty")
    assert first == {"loss": scalar(1, 1, 1, 1), **{f"of {rank}": scalar(rank) for rank in RANKS}}
    assert second == {}
    assert collectives == 2 * 2


def test_one_rank_that_refuses_missing_keys_is_enough(noted: list[dict[str, Any]]) -> None:
    assert same(noted, "only_some_are_tolerant")["error"] == "KeysDifferError"


def test_an_empty_rank(noted: list[dict[str, Any]]) -> None:
    error, named, tolerant = same(noted, "an_empty_rank")
    assert error["missing"] == {"2": ["acc", "loss"]}
    assert named == {"loss": scalar(0, 1, 3)}
    assert tolerant == {"acc": scalar(1, 1, 1)}, "loss was reduced by the call before"


def test_no_rank_has_anything(noted: list[dict[str, Any]]) -> None:
    assert same(noted, "all_ranks_are_empty") == {}


def test_rank_without_new_values_adds_nothing(noted: list[dict[str, Any]]) -> None:
    first, second, third = same(noted, "no_news_on_some_ranks")
    assert first == {"loss": scalar(1, 1, 1, 1), "lr": scalar(0.1, 0.1, 0.1, 0.1)}
    assert second == {"loss": scalar(5, counts=(2,))}
    assert third == {}


def test_odd_numbers(noted: list[dict[str, Any]]) -> None:
    result = same(noted, "odd_numbers")
    inf, nan = float("inf"), float("nan")
    assert result["nan"] == scalar(1, 2, 1, 2, 1, nan, 1, 2)
    assert {result["nan"][name] for name in ("sum", "mean", "min", "max")} == {"nan"}
    assert result["inf"] == scalar(inf, 1, 1, 1)
    assert result["both"] == scalar(-inf, inf, inf, inf)
    assert result["huge"] == scalar(*[1.7e308] * 4)
    assert result["huge"]["mean"] == "inf"
    assert float.fromhex(result["great"]["max"]) == 2**53 + 4, "2**53 + 3 is not a float"
    assert result["flag"] == scalar(0, 0, 0, 1)
    assert result["no count"]["mean"] == "inf"


def test_one_collective_a_call_and_two_where_there_are_suddenly_more_keys(noted: list[dict[str, Any]]) -> None:
    head, row = 48, 40
    usual, grown = head + 16 * row, head + 1024 * row
    expected = [usual, -1, usual, -3, usual, 1000 * row, -1000, grown, -1000, grown, -2]  # bytes; keys, negative
    assert same(noted, "more_keys_than_fit") == expected


def test_a_group_of_some_ranks(noted: list[dict[str, Any]]) -> None:
    for rank, (of_group, of_all) in enumerate(of(noted, "a_group_of_some")):
        assert of_all == {"loss": scalar(0, 1, 2, 3)}, "each set of ranks has its own last call"
        if rank in (1, 3):
            assert of_group == {"loss": scalar(1, 3)}
        else:
            assert of_group["message"] == (
                f"rank {rank} is not in this process group: let only its members call reduce"
            )


def test_rank_that_cannot_read_its_hub_keeps_no_rank_waiting(noted: list[dict[str, Any]]) -> None:
    for rank, (gone, wrong, after) in enumerate(of(noted, "a_rank_cannot_read_its_hub")):
        if rank == 2:
            assert gone == "OSError('the disk is gone')"
        else:
            assert gone["message"] == (
                "nothing is reduced, because not every rank could read its scalars: rank 2 raised OSError: the disk is "
                "gone. Fix that; no value is lost, the next call reduces them all [DIST-06]"
            )
            assert gone["at_fault"] == [2]
        message = "keys must be a collection of strings, but is 'loss': pass for example ['train/loss']"
        assert wrong["message"] == message if rank == 1 else f"rank 1 raised HubError: {message}" in wrong["message"]
        assert after == {"loss": scalar(0, 1, 2, 3)}


def test_window_does_not_change_which_values_are_new(noted: list[dict[str, Any]]) -> None:
    two, new, one = same(noted, "windows")
    assert two == {"loss": scalar(4, 0, 4, 1, 4, 2, 4, 3)}
    assert new == {"loss": scalar(*[value for rank in RANKS for value in (8, 4, rank)])}
    assert one == {"loss": scalar(0, 1, 2, 3)}


def test_another_hub_can_take_the_result(noted: list[dict[str, Any]]) -> None:
    assert same(noted, "another_hub_gets_it") == [1.5, 1]


def test_a_late_rank(noted: list[dict[str, Any]]) -> None:
    for rank, (late, again, after) in enumerate(of(noted, "a_late_rank")[:2]):
        assert (late["error"], late["cause"]) == ("DistributedError", "RuntimeError")
        assert (late["ranks"], late["timeout"]) == ([0, 1], 2.0)
        assert late["message"].startswith(f"reduce failed on rank {rank}, as the ranks exchange what they have: ")
        assert "has failed before" in again["message"]
        assert after == {"loss": scalar(10, 20, 11, 21)}, "over a new group all is there that was not reduced"


def test_reducer_keeps_separate_offsets(noted: list[dict[str, Any]]) -> None:
    first, skipped, own = same(noted, "by_a_reducer")
    assert (first, skipped) == ({"loss": scalar(0, 1, 2, 3)}, {})
    assert own == {"loss": scalar(0, 7, 1, 7, 2, 7, 3, 7)}, "reduce keeps its own marks"


# -- a rank that dies


def test_death_of_a_rank_is_reported_within_the_timeout_without_losing_values(launch: Any, tmp_path: Any) -> None:
    *survivors, dead = launch("dying.py", tmp_path, fails=True)
    assert list(dead) == ["together"]
    for rank, noted in enumerate(survivors):
        assert noted["together"] == {"loss": scalar(0, 1, 2, 3)}
        alone = noted["alone"]
        assert (alone["error"], alone["cause"], alone["timeout"]) == ("DistributedError", "RuntimeError", 4.0)
        assert alone["ranks"] == [0, 1, 2, 3]
        assert alone["message"].startswith(f"reduce failed on rank {rank}, as the ranks exchange what they have: ")
        assert alone["message"].endswith("at the next call, over a new process group [DIST-07]")
        assert "has failed before" in noted["again"]["message"]
        assert noted["those who are left"] == {"loss": scalar(10, 20, 11, 21, 12, 22)}
