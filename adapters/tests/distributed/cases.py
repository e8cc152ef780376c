"""Each case is a function, run on every rank; what it returns, the rank notes."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist
from mmengine.logging import MessageHub as MMEngineHub
from noting import Notes, told

from runtimeinfo import MessageHub as AnyHub
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.distributed import Reducer, reduce

FOLDER = Path(sys.argv[1])

CASES: list[Callable[[int], Any]] = []


def case(function: Callable[[int], Any]) -> Callable[[int], Any]:
    CASES.append(function)
    return function


def hub_of(scalars: dict[str, list[float]]) -> MessageHub:
    hub = MessageHub("case")
    for key, values in scalars.items():
        for value in values:
            hub.update_scalar(key, value)
    return hub


@contextlib.contextmanager
def counted() -> Generator[list[int]]:
    """Note the bytes that each collective takes from this rank."""
    sizes: list[int] = []
    names = ["all_gather", "all_reduce", "all_gather_into_tensor", "broadcast"]
    originals = {name: getattr(dist, name) for name in names}

    def counting(original: Any) -> Any:
        def collective(output: Any, sent: Any, *args: Any, **kwargs: Any) -> Any:
            sizes.append(sent.nbytes)
            return original(output, sent, *args, **kwargs)

        return collective

    for name in names:
        setattr(dist, name, counting(originals[name]))
    try:
        yield sizes
    finally:
        for name in names:
            setattr(dist, name, originals[name])


@case
def drawn_plans(rank: int) -> Any:
    """Of each plan: for each call what this rank publishes before it."""
    plans = json.loads((FOLDER / "plans.json").read_text(encoding="utf-8"))
    results = []
    for plan in plans:
        hubs: list[AnyHub] = [MessageHub("plan"), MMEngineHub("plan")]
        missing = plan["missing"]
        results.append([])
        for publishes in plan["calls"]:
            for key, value, count in publishes[rank]:
                for hub in hubs:
                    hub.update_scalar(key, float(value), count)
            results[-1].append([told(partial(reduce, hub, missing=missing)) for hub in hubs])
    return results


@case
def order_does_not_matter(rank: int) -> Any:
    keys = ["a", "b", "c", "d"]
    hub = hub_of({key: [float(rank)] for key in keys[rank:] + keys[:rank]})
    with counted() as sizes:
        return [told(lambda: reduce(hub)), len(sizes)]


@case
def a_missing_key(rank: int) -> Any:
    hub = hub_of({"train/loss": [1.0], **({} if rank in (1, 3) else {"val/acc": [0.5]})})
    first = told(lambda: reduce(hub))
    hub.update_scalar("train/loss", 2.0)
    if rank in (1, 3):
        hub.update_scalar("val/acc", 0.25)
    return [first, told(lambda: reduce(hub))]


@case
def a_missing_key_is_empty(rank: int) -> Any:
    hub = hub_of({"loss": [1.0], f"of {rank}": [float(rank)]})
    with counted() as sizes:
        results = [told(lambda: reduce(hub, missing="empty")) for _ in range(2)]
    return [*results, len(sizes)]


@case
def only_some_are_tolerant(rank: int) -> Any:
    hub = hub_of({"loss": [1.0], f"of {rank}": [float(rank)]})
    return told(lambda: reduce(hub, missing="empty" if rank else "error"))


@case
def an_empty_rank(rank: int) -> Any:
    hub = hub_of({} if rank == 2 else {"loss": [float(rank)], "acc": [1.0]})
    return [
        told(lambda: reduce(hub)),
        told(lambda: reduce(hub, keys=["loss"])),
        told(lambda: reduce(hub, missing="empty")),
    ]


@case
def all_ranks_are_empty(rank: int) -> Any:
    return told(lambda: reduce(MessageHub("empty")))


@case
def no_news_on_some_ranks(rank: int) -> Any:
    hub = hub_of({"loss": [1.0], "lr": [0.1]})
    results = [told(lambda: reduce(hub))]
    if rank == 1:
        hub.update_scalar("loss", 5.0, 2)
    results.append(told(lambda: reduce(hub)))
    results.append(told(lambda: reduce(hub)))
    return results


@case
def odd_numbers(rank: int) -> Any:
    infinity, nan = float("inf"), float("nan")
    hub = hub_of(
        {
            "nan": [1.0, nan if rank == 2 else 2.0],
            "inf": [infinity if rank == 0 else 1.0],
            "both": [infinity if rank else -infinity],
            "huge": [1.7e308],
            "great": [2**53 + rank],  # 2**53 + 1 is not a float
            "zeros": [-0.0],
            "flag": [rank == 3],
        }
    )
    hub.update_scalar("no count", 1.0, 0)
    return told(lambda: reduce(hub))


@case
def more_keys_than_fit(rank: int) -> Any:
    with counted() as sizes:
        for keys in (1, 3, 1000, 1000, 2):
            hub = hub_of({f"k{index}": [float(rank)] for index in range(keys)})
            result = reduce(hub, NEW_GROUP)
            assert len(result) == keys
            sizes.append(-keys)
    return sizes


@case
def a_group_of_some(rank: int) -> Any:
    group = dist.new_group([1, 3])
    hub = hub_of({"loss": [float(rank)]})
    return [told(lambda: reduce(hub, group)), told(lambda: reduce(hub))]


@case
def a_rank_cannot_read_its_hub(rank: int) -> Any:
    class Breaks(MessageHub):
        @property
        def log_scalars(self) -> Any:
            raise OSError("the disk is gone")

    hub = hub_of({"loss": [float(rank)]})
    if rank == 2:
        hub.__class__ = Breaks
    try:
        first = told(lambda: reduce(hub))
    except OSError as error:
        first = f"{error!r}"
    hub.__class__ = MessageHub
    wrong = told(lambda: reduce(hub, keys="loss" if rank == 1 else ["loss"]))
    return [first, wrong, told(lambda: reduce(hub))]


@case
def windows(rank: int) -> Any:
    hub = hub_of({"loss": [8.0, 4.0, float(rank)]})
    return [told(lambda: reduce(hub, window=2)), told(lambda: reduce(hub)), told(lambda: reduce(hub, window=1))]


@case
def another_hub_gets_it(rank: int) -> Any:
    """As docs/several-processes.md shows it."""
    hub, over_all = hub_of({"loss": [float(rank)]}), MessageHub("over all")
    for key, scalar in reduce(hub).items():
        over_all.update_scalar(key, scalar.sum, scalar.count)
    return [float(over_all.get_scalar("loss").mean()), len(hub.get_scalar("loss").data[0])]


@case
def a_late_rank(rank: int) -> Any:
    """Rank 1 comes to it long after rank 0 has given up."""
    pair = dist.new_group([0, 1], timeout=timedelta(seconds=2))
    again = dist.new_group([0, 1])
    hub = hub_of({"loss": [float(rank)]})
    if rank > 1:
        return None
    reduce(hub, pair)
    hub.update_scalar("loss", 10.0 + rank)
    if rank == 1:
        time.sleep(3)
    results = [told(lambda: reduce(hub, pair)) for _ in range(2)]
    hub.update_scalar("loss", 20.0 + rank)
    return [*results, told(lambda: reduce(hub, again))]


@case
def by_a_reducer(rank: int) -> Any:
    hub = hub_of({"loss": [float(rank)]})
    reducer = Reducer(hub)
    results = [told(reducer.reduce)]
    hub.update_scalar("loss", 7.0)
    reducer.skip()
    return [*results, told(reducer.reduce), told(lambda: reduce(hub))]


def main() -> None:
    global NEW_GROUP
    dist.init_process_group("gloo")
    NEW_GROUP = dist.new_group()
    notes = Notes(FOLDER, dist.get_rank())
    try:
        for function in CASES:
            notes.note(function.__name__, function(dist.get_rank()))
        dist.barrier()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
