"""Plans for hubs and for reducers: those that are drawn, and those that are always tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from runtimeinfo_conformance.plans import (
    INFO_KEYS,
    INFO_VALUES,
    OTHER_KINDS,
    RANKS,
    REDUCE_KEYS,
    REDUCE_VALUES,
    SCALAR_KEYS,
    SCALAR_KINDS,
    TENSOR_KINDS,
    HubOp,
    HubPlan,
    Put,
    ReducePlan,
    Turn,
    is_available,
)


def fixed_reduce_plans() -> list[ReducePlan]:
    """Return plans for what reduces, each of which shows something else. They are few: ranks that wait take seconds."""
    key, other = REDUCE_KEYS[:2]
    everywhere = tuple(Put(rank, key, value, rank + 1) for rank, value in enumerate((8.0, 0.1, -2.5)))
    once_more = tuple(Put(rank, key, 1e9) for rank in range(RANKS))
    usual, empty = Turn(everywhere), Turn()
    others = tuple(Put(rank, other) for rank in range(RANKS) if rank != 1)
    plans = [
        (usual,),
        (empty,),
        (Turn((*everywhere, Put(2, key, "nan"))),),
        (Turn((*everywhere, Put(0, key, "inf"))),),
        (usual, Turn(once_more)),
        (usual, Turn((Put(1, key, 4),))),
        (usual, empty),
        (Turn((*everywhere, *others)), Turn((Put(1, other, 4, 3),))),
        (Turn(everywhere, "unreadable", 1), Turn(once_more)),
        (usual, Turn(once_more, "absent", 1), empty),
        # More than go along the first time, and as many on each rank, though others.
        (Turn(tuple(Put(rank, f"k{index}") for rank in range(RANKS) for index in range(40))),),
        (Turn(tuple(Put(rank, f"k{rank}") for rank in range(RANKS))),),
    ]
    return [ReducePlan(turns) for turns in plans]


def hub_plans() -> st.SearchStrategy[HubPlan]:
    """Draw a sequence of operations on a hub."""
    info, scalar = st.sampled_from(INFO_KEYS), st.sampled_from(SCALAR_KEYS)
    turn, count = st.integers(0, 20), st.integers(1, 3)
    info_value = st.sampled_from(INFO_VALUES)
    kind = st.sampled_from(tuple(filter(is_available, (*SCALAR_KINDS, *TENSOR_KINDS))))
    op = st.one_of(
        st.builds(HubOp, name=st.just("update_info"), key=info, value=info_value),
        st.builds(HubOp, name=st.just("update_info_dict"), key=info, value=info_value),
        st.builds(HubOp, name=st.just("pop_info"), key=info),
        st.builds(HubOp, name=st.just("update_scalar"), key=scalar, value=kind, turn=turn, count=count),
        st.builds(HubOp, name=st.just("update_scalar"), key=scalar, value=kind, turn=turn, count=count),
        st.builds(HubOp, name=st.just("update_scalars"), key=scalar, value=kind, turn=turn, count=count),
        st.builds(HubOp, name=st.just("refuse_scalar"), key=scalar, value=st.sampled_from(OTHER_KINDS), turn=turn),
        st.builds(HubOp, name=st.just("flip_resumed"), turn=turn),
        st.builds(HubOp, name=st.just("reload")),
        st.builds(HubOp, name=st.just("load_damaged"), turn=turn),
    )
    return st.lists(op, max_size=12).map(lambda ops: HubPlan(tuple(ops)))


def reduce_plans() -> st.SearchStrategy[ReducePlan]:
    """Draw turns on ranks. None in which a rank does not come: the others wait for it, and that takes seconds."""
    rank, key = st.integers(0, RANKS - 1), st.sampled_from(REDUCE_KEYS)
    put = st.builds(Put, rank, key, st.sampled_from(REDUCE_VALUES), st.integers(1, 4))
    # Mostly a scalar is published on each rank, since without that nothing is reduced.
    values = st.lists(st.sampled_from(REDUCE_VALUES), min_size=RANKS, max_size=RANKS)
    puts = st.builds(_on_each_rank, key, values, st.lists(put, max_size=4))
    fault = st.sampled_from((None, None, None, "unreadable"))
    turn = st.builds(Turn, st.just(()) | puts, fault, rank)
    return st.lists(turn, min_size=1, max_size=4).map(lambda turns: ReducePlan(tuple(turns)))


def _on_each_rank(key: str, values: Sequence[Any], more: Sequence[Put]) -> tuple[Put, ...]:
    return (*(Put(rank, key, value) for rank, value in enumerate(values)), *more)
