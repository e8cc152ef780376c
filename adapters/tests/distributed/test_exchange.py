"""The exchange, with threads for ranks: whatever they have, each gathers as often as the others, and as many bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtimeinfo import DistributedError, KeysDifferError
from runtimeinfo_adapters.distributed._aggregate import Aggregate
from runtimeinfo_adapters.distributed._exchange import (
    FIRST_CAPACITY,
    HEADER_BYTES,
    Agreement,
    Contribution,
    combine,
    exchange,
)


@dataclass
class Members:
    ranks: tuple[int, ...]
    name: str = "threads"
    timeout: float | None = None


class Threads:
    """Ranks that are threads, and meet at a barrier. What would hang under a real backend breaks the barrier."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.agreements = [Agreement() for _ in range(count)]
        self.sizes: list[list[int]] = [[] for _ in range(count)]

    def run(self, contributions: list[Contribution]) -> list[Any]:
        barrier = threading.Barrier(self.count, timeout=20)
        sent: list[Any] = [None] * self.count
        outcomes: list[Any] = [None] * self.count

        def gather(rank: int, bytes_of_rank: Any) -> Any:
            self.sizes[rank].append(len(bytes_of_rank))
            sent[rank] = bytes_of_rank
            barrier.wait()
            rows = np.stack(sent)
            barrier.wait()
            return rows

        def work(rank: int) -> None:
            try:
                outcomes[rank] = exchange(
                    contributions[rank],
                    Members(tuple(range(self.count))),
                    self.agreements[rank],
                    lambda mine: gather(rank, mine),
                )
            except Exception as error:
                outcomes[rank] = error
            # Another rank may wait for this one, which comes no more: as it would with a real backend.
            if not isinstance(outcomes[rank], DistributedError | tuple):
                barrier.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes


def contribution_of(keys: list[str], *, is_tolerant: bool = False, value: float = 1.0) -> Contribution:
    names = sorted(set(keys))
    return Contribution.of(names, [Aggregate(value, 2.0, value, value, 1.0)] * len(names), is_tolerant=is_tolerant)


A_CONTRIBUTION = st.one_of(
    st.builds(
        contribution_of,
        st.one_of(
            st.just([f"k{index}" for index in range(40)]),
            st.just([f"k{index}" for index in range(FIRST_CAPACITY)]),
            st.lists(st.text(st.characters(), max_size=3), max_size=3),
            st.sampled_from([["a"], ["b"], ["a", "b"], []]),
        ),
        is_tolerant=st.booleans(),
        value=st.floats(-100, 100),
    ),
    st.just(Contribution.of_problem("OSError: gone")),
)


@given(
    st.integers(1, 4).flatmap(
        lambda ranks: st.lists(st.lists(A_CONTRIBUTION, min_size=ranks, max_size=ranks), max_size=3)
    )
)
@settings(max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_rank_waits_in_vain_and_all_get_the_same_result(calls: list[list[Contribution]]) -> None:
    if not calls:
        return
    threads = Threads(len(calls[0]))
    for contributions in calls:
        before = len(threads.sizes[0])
        outcomes = threads.run(contributions)
        assert all(sizes == threads.sizes[0] for sizes in threads.sizes)
        assert 1 <= len(threads.sizes[0]) - before <= 2
        assert all(agreement == threads.agreements[0] for agreement in threads.agreements)
        assert not threads.agreements[0].is_broken
        judge(contributions, outcomes)


def judge(contributions: list[Contribution], outcomes: list[Any]) -> None:
    union = sorted({key for each in contributions for key in each.keys})
    problems = [rank for rank, each in enumerate(contributions) if each.problem is not None]
    missing = {rank: tuple(key for key in union if key not in each.keys) for rank, each in enumerate(contributions)}
    missing = {rank: keys for rank, keys in missing.items() if keys}
    for outcome in outcomes:
        if problems:
            assert type(outcome) is DistributedError, outcome
            assert outcome.at_fault == tuple(problems)
        elif missing and not all(each.is_tolerant for each in contributions):
            assert type(outcome) is KeysDifferError, outcome
            assert outcome.missing == missing
        else:
            scalars = combine(outcome)
            assert list(scalars) == union
            for key, scalar in scalars.items():
                values = [each.rows[0][0] for each in contributions if key in each.keys]
                assert scalar.sum == pytest.approx(sum(values))
                assert (scalar.min, scalar.max) == (min(values), max(values))
                assert (scalar.updates, scalar.count) == (len(values), 2 * len(values))
    assert len({str(outcome) for outcome in outcomes if isinstance(outcome, Exception)}) <= 1


def test_usual_exchange_is_one_collective_of_a_header_and_the_rows() -> None:
    threads = Threads(3)
    for _ in range(2):
        threads.run([contribution_of(["a", "b"])] * 3)
    assert threads.sizes[0] == [HEADER_BYTES + FIRST_CAPACITY * 40] * 2


def test_equal_numbers_of_different_keys_are_an_error() -> None:
    outcomes = Threads(2).run([contribution_of(["a", "b"]), contribution_of(["a", "c"])])
    assert [outcome.missing for outcome in outcomes] == [{0: ("c",), 1: ("b",)}] * 2


def test_names_of_any_characters_arrive() -> None:
    keys = ["κ", "\ud800", "a\x00", '"', "\\", " "]
    threads = Threads(2)
    outcome, _ = threads.run([contribution_of(keys), contribution_of([])])
    assert outcome.missing == {1: tuple(sorted(keys))}


def test_a_thousand_ranks_with_a_thousand_keys_are_not_all_named() -> None:
    keys = [f"k{index}" for index in range(1000)]
    threads = Threads(8)
    outcome = threads.run([contribution_of(keys), *[contribution_of([])] * 7])[0]
    assert "rank 1 lacks 'k0', 'k1', 'k10', 'k100', 'k101', and 995 more; rank 2" in str(outcome)
    assert "; and 2 more. Publish" in str(outcome)
    assert len(str(outcome)) < 1000
    assert len(outcome.missing[7]) == 1000


class Interrupt(BaseException):
    """As KeyboardInterrupt, at which pytest would end."""


def test_after_a_failure_the_group_is_not_used_again() -> None:
    def fails(_: Any) -> Any:
        raise Interrupt

    agreement, members = Agreement(), Members((0, 1))
    with pytest.raises(Interrupt):
        exchange(contribution_of(["a"]), members, agreement, fails)
    with pytest.raises(DistributedError, match="'threads' has failed before") as caught:
        exchange(contribution_of(["a"]), members, agreement, fails)
    assert caught.value.ranks == (0, 1)


def test_ranks_of_another_version_are_told_apart() -> None:
    def gather(sent: Any) -> Any:
        other = sent.copy()
        other[0] += 1
        return np.stack([sent, other])

    agreement = Agreement()
    with pytest.raises(DistributedError, match="different versions of runtimeinfo"):
        exchange(contribution_of(["a"]), Members((0, 1)), agreement, gather)
    assert agreement.is_broken
