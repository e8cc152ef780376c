"""Plans for hubs and for reducers: those that are drawn, and those that are always tried."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from hypothesis import strategies as st

from runtimeinfo_conformance.plans import (
    HUB_SCALAR_KINDS,
    INFO_KEYS,
    INFO_VALUES,
    LIKE_KEYS,
    OBJECT_KINDS,
    OTHER_KINDS,
    OTHER_TENSOR_KINDS,
    RANKS,
    REDUCE_KEYS,
    REDUCE_VALUES,
    SCALAR_KEYS,
    TENSOR_KINDS,
    HubOp,
    HubOpName,
    HubPlan,
    Put,
    ReducePlan,
    Turn,
    is_available,
)

_PAIRS_OF_KINDS = (
    ("negative", "minus_zero"),
    ("decimal", "decimal"),
    ("odd_int", "decimal"),
    ("int_of_63_bits", "int_of_63_bits"),
    ("huge_int", "int"),
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
        # A sum that depends on the order of its terms, and infinities of both signs.
        (Turn(tuple(Put(rank, key, value) for rank, value in enumerate((1e16, 1.0, -1e16)))),),
        (Turn((*everywhere, Put(0, key, "inf"), Put(1, key, "-inf"))),),
        # A scalar that comes later, and more values than a block of usual size.
        (usual, Turn((*once_more, *(Put(rank, other, rank) for rank in range(RANKS))))),
        (Turn(tuple(Put(rank, key, 0.1, times=5000 - rank) for rank in range(RANKS))),),
        # More than go along the first time, and as many on each rank, though others.
        (Turn(tuple(Put(rank, f"k{index}") for rank in range(RANKS) for index in range(40))),),
        (Turn(tuple(Put(rank, f"k{rank}") for rank in range(RANKS))),),
    ]
    return [ReducePlan(turns) for turns in plans]


def fixed_hub_plans() -> list[HubPlan]:
    """Return plans for hubs, each of which shows something else. Those that show a fault best come after them."""
    scalar, info = partial(HubOp, "update_scalar"), partial(HubOp, "update_info")
    loss, acc, stage = "train/loss", "val/κ", "loop_stage"
    reload, flip = HubOp("reload"), HubOp("flip_resumed")
    some = (info(value=2), info("here/path", "here"), scalar(loss, value="decimal", count=4), scalar(acc, value="int"))
    # To stand for each other: a hub that asks whether a value is true, or None, takes them for nothing.
    nothing: tuple[Any, ...] = (None, False, 0, "", 0.0, [], {}, ())
    arrays = tuple(filter(is_available, ("array_of_one", "tensor_float32", "tensor_of_one")))
    plans = [
        (),
        # Values that are not what they look like, and keys that are alike.
        tuple(HubOp("update_object", value=kind) for kind in OBJECT_KINDS),
        tuple(info(value=value) for value in (1, True, 1.0, 2**53 + 1, 0.1, -0.0, 0, False, "", (1, 2), [1, 2])),
        (*(info(f"info {at}", value) for at, value in enumerate((1, True, 1.0, 2**53 + 1, -0.0, (1, "a")))), reload),
        (*(info(key, index) for index, key in enumerate((*INFO_KEYS, *LIKE_KEYS))), reload),
        (*(scalar(key, "float", index) for index, key in enumerate((*SCALAR_KEYS, *LIKE_KEYS))), reload),
        (
            *(scalar(f"scalar {at}", value=one) for at, (one, _) in enumerate(_PAIRS_OF_KINDS)),
            *(scalar(f"scalar {at}", value=other, turn=5) for at, (_, other) in enumerate(_PAIRS_OF_KINDS)),
            reload,
        ),
        (
            *(HubOp("update_info_dict", value=value) for value in nothing),
            HubOp("pop_info"),
            HubOp("pop_info", "epoch/too"),
        ),
        tuple(op for value in nothing for op in (info(value=value), HubOp("pop_info"))),
        (*(info(f"info {at}", value) for at, value in enumerate(nothing)), scalar(loss, value="bool", turn=1), reload),
        # Arrays that the caller uses again.
        tuple(scalar(loss, value=kind, turn=4) for kind in arrays),
        # And each kind of value in a dict.
        tuple(
            HubOp("update_scalars", key, kind, 4)
            for key, kinds in ((loss, arrays), (acc, filter(is_available, HUB_SCALAR_KINDS)))
            for kind in kinds
        ),
        # An info and a scalar of one name.
        (info(loss, "text"), scalar(loss, value="float"), HubOp("pop_info", loss), reload, flip),
        (info(loss, "text"), scalar(loss, value="float"), HubOp("save"), HubOp("pop_scalar", loss), HubOp("load")),
        # Past every block in which values may wait.
        (HubOp("keep_history", loss), scalar(loss, value="float", times=5000), reload),
        (scalar(loss, value="decimal", count=3, times=4200), HubOp("keep_history", loss), scalar(loss, value="int")),
        (scalar(loss, value="float"), HubOp("keep_history", loss), scalar(loss, value="float", turn=1, times=4200)),
        (scalar(loss, value="negative", times=60), HubOp("drop_latest", loss), HubOp("drop_latest", loss)),
        # What is refused.
        (*some, HubOp("refuse_entry", loss, "text"), HubOp("refuse_entry", "new", "none"), scalar("new", value="int")),
        (HubOp("refuse_scalar", loss, "text"), scalar(loss, value="float"), flip),
        (HubOp("pop_and_flip"),),
        (*some, flip, HubOp("flip_resumed", turn=1), HubOp("flip_resumed", turn=2), reload, flip),
        # States: into a hub that holds other things, twice, and after updates of the hub that has loaded them.
        (
            *some,
            HubOp("save"),
            info(value=3),
            info(stage, "val"),
            scalar(loss, value="float"),
            scalar("val/more", value="float"),
            HubOp("load"),
            scalar(loss, value="float", turn=7),
            info(value=4),
            HubOp("load"),
        ),
        (*some, HubOp("save"), HubOp("pop_info"), HubOp("save", turn=1), info(value=3), HubOp("load", turn=1)),
        (*some, HubOp("save"), reload, scalar(loss, value="float"), HubOp("load"), flip, reload),
        (*some, *(HubOp("load_damaged", turn=turn) for turn in range(4))),
        (*some, HubOp("load_broken")),
        # What was returned.
        (*some, HubOp("copy", loss), HubOp("write_data", loss), HubOp("keep_history", loss), reload),
        (HubOp("pop_scalar", loss), *some, HubOp("drop_latest", loss), HubOp("drop_latest", acc)),
        # Threads that publish at once.
        (HubOp("publish_in_threads", "here/time"),),
    ]
    much = (
        *some,
        scalar(loss, value="float", turn=2, count=2, times=3),
        HubOp("update_info_dict", value=7),
        HubOp("update_scalars", acc, "decimal", count=3),
        HubOp("refuse_scalar", loss, "text"),
        flip,
        HubOp("pop_info"),
        HubOp("drop_latest", loss),
        HubOp("save"),
        HubOp("pop_scalar", acc),
        HubOp("load"),
        info("here/path", "there"),
        scalar("here/time", value="float", count=2),
        scalar("here/time", value="int"),
    )
    lately = (scalar(loss, value="float", times=3), HubOp("drop_latest", loss), scalar(loss, value="decimal"))
    return [
        *(HubPlan(ops) for ops in plans),
        # Of the same length as before, and never read in between: what is kept for later reads must be renewed.
        HubPlan((*lately, HubOp("drop_latest", loss), scalar(loss, value="int", count=2)), compare_every=3),
        HubPlan((*lately[:1], HubOp("save"), *lately[1:]), compare_every=4),
        HubPlan(much, arguments="by_place"),
        HubPlan(much, arguments="by_name"),
    ]


def slow_hub_plans() -> list[HubPlan]:
    """Return the plans that are tried once in a check: each starts another interpreter."""
    scalar = HubOp("update_scalar", "train/loss", "decimal", count=4)
    return [HubPlan((HubOp("update_info", value=(1, "a")), scalar, HubOp("load_elsewhere")))]


def is_slow(plan: HubPlan) -> bool:
    """Tell whether a plan starts another interpreter."""
    return any(op.name == "load_elsewhere" for op in plan.ops)


def hub_plans() -> st.SearchStrategy[HubPlan]:
    """Draw a sequence of operations on a hub."""
    info, scalar = st.sampled_from(INFO_KEYS), st.sampled_from(SCALAR_KEYS)
    key = info | scalar
    turn, count, slot = st.integers(0, 20), st.integers(1, 3), st.integers(0, 1)
    kind = st.sampled_from(tuple(filter(is_available, (*HUB_SCALAR_KINDS, *TENSOR_KINDS))))
    other = st.sampled_from(tuple(filter(is_available, (*OTHER_KINDS, *OTHER_TENSOR_KINDS))))
    infos: dict[str, Any] = {"key": info | info | info | scalar, "value": st.sampled_from(INFO_VALUES)}
    scalars: dict[str, Any] = {"key": scalar | scalar | scalar | info, "value": kind, "turn": turn, "count": count}
    drawn: list[tuple[HubOpName, int, dict[str, Any]]] = [
        ("update_info", 2, infos),
        ("update_info_dict", 1, infos),
        ("pop_info", 1, {"key": info}),
        ("update_scalar", 3, scalars),
        ("update_scalars", 1, scalars),
        ("pop_scalar", 1, {"key": scalar}),
        ("drop_latest", 1, {"key": scalar}),
        ("refuse_scalar", 1, {"key": key, "value": other, "turn": turn}),
        ("refuse_entry", 1, {"key": key, "value": other, "turn": turn}),
        ("flip_resumed", 1, {"turn": turn}),
        ("pop_and_flip", 1, {"key": key}),
        ("keep_history", 1, {"key": scalar}),
        ("write_data", 1, {"key": scalar}),
        ("copy", 1, {"key": scalar}),
        ("reload", 1, {}),
        ("save", 2, {"turn": slot}),
        ("load", 2, {"turn": slot}),
        ("load_damaged", 1, {"turn": turn}),
    ]
    op = st.one_of(
        [st.builds(HubOp, name=st.just(name), **given) for name, often, given in drawn for _ in range(often)]
    )
    every = st.sampled_from((1, 1, 2, 3, 12))
    arguments = st.sampled_from(("usual", "usual", "by_place", "by_name"))
    return st.builds(HubPlan, st.lists(op, max_size=12).map(tuple), every, arguments)


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
