"""A resume in mid-epoch gives the batches that are left, and no other, in whatever way the loader orders them."""

from __future__ import annotations

import io
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)

from runtimeinfo import StateError
from runtimeinfo_adapters import ResumeWarning
from runtimeinfo_adapters.pytorch import Loop

SIZE = 12


class FromPython(Sampler[int]):
    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Iterator[int]:
        order = list(range(SIZE))
        random.shuffle(order)
        return iter(order)


class FromNumPy(FromPython):
    def __iter__(self) -> Iterator[int]:
        return iter(np.random.permutation(SIZE).tolist())


class FromOwnNumPy(FromPython):
    """Has a generator that is seeded by the process, as one that is made without a seed is."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.generator = make(torch.initial_seed())

    def __iter__(self) -> Iterator[int]:
        return iter([int(each) for each in self.generator.permutation(SIZE)])


class FromOwnPython(FromPython):
    def __init__(self) -> None:
        self.random = random.Random(torch.initial_seed())

    def __iter__(self) -> Iterator[int]:
        return iter(self.random.sample(range(SIZE), SIZE))


class ByPasses(FromPython):
    """Counts its passes itself, and shuffles by that."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(torch.randperm(SIZE, generator=torch.Generator().manual_seed(self.epoch)).tolist())


class LateGenerator(FromPython):
    """Makes its generator only when it begins for the first time."""

    generator = None

    def __init__(self) -> None:
        self.generator: torch.Generator | None = None

    def __iter__(self) -> Iterator[int]:
        if self.generator is None:
            self.generator = torch.Generator().manual_seed(torch.initial_seed())
        return iter(torch.randperm(SIZE, generator=self.generator).tolist())


class Stream(IterableDataset[int]):
    """A stream that each worker has a part of, shuffled by the worker's random state."""

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        items = list(range(first, SIZE, step))
        return iter([items[index] for index in torch.randperm(len(items)).tolist()])


class OwnLoader:
    """A loader without PyTorch."""

    def __init__(self, shuffle: Callable[[list[int]], None]) -> None:
        self.shuffle = shuffle

    def __len__(self) -> int:
        return SIZE // 2

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(SIZE))
        self.shuffle(order)
        return iter([order[first : first + 2] for first in range(0, SIZE, 2)])


class Stateful:
    """A loader that really goes on where its state says, in an order that is in its state alone."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.position = SIZE
        self.loaded = False

    def __len__(self) -> int:
        return SIZE // 2

    def __iter__(self) -> Iterator[list[int]]:
        if not self.loaded:
            self.order, self.position = random.Random(torch.initial_seed()).sample(range(SIZE), SIZE), 0
        self.loaded = False
        while self.position < SIZE:
            self.position += 2
            yield self.order[self.position - 2 : self.position]

    def state_dict(self) -> dict[str, Any]:
        return {"order": list(self.order), "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.position, self.loaded = list(state["order"]), state["position"], True


def seeded(**options: Any) -> DataLoader[int]:
    return DataLoader(range(SIZE), 2, **options)  # type: ignore[arg-type]


def own_generator() -> torch.Generator:
    return torch.Generator().manual_seed(torch.initial_seed())


LOADERS: dict[str, Callable[[], Any]] = {
    "a list": lambda: [[item, item + 1] for item in range(0, SIZE, 2)],
    "not shuffled": seeded,
    "shuffled": lambda: seeded(shuffle=True),
    "a generator": lambda: seeded(shuffle=True, generator=own_generator()),
    "the global generator": lambda: seeded(shuffle=True, generator=torch.default_generator),
    "a sampler's generator": lambda: seeded(sampler=RandomSampler(range(SIZE), generator=own_generator())),
    "a subset": lambda: seeded(sampler=SubsetRandomSampler(range(SIZE))),
    "weighted": lambda: seeded(sampler=WeightedRandomSampler([1.0] * SIZE, SIZE, replacement=False)),
    "a batch sampler": lambda: DataLoader(
        range(SIZE),
        batch_sampler=BatchSampler(RandomSampler(range(SIZE)), 2, drop_last=False),  # type: ignore[arg-type]
    ),
    "distributed": lambda: seeded(
        sampler=DistributedSampler(range(SIZE), num_replicas=1, rank=0)  # type: ignore[arg-type]
    ),
    "random": lambda: seeded(sampler=FromPython()),
    "NumPy's legacy": lambda: seeded(sampler=FromNumPy()),
    "NumPy's generator": lambda: seeded(sampler=FromOwnNumPy(np.random.default_rng)),
    "NumPy's RandomState": lambda: seeded(sampler=FromOwnNumPy(np.random.RandomState)),
    "an own Random": lambda: seeded(sampler=FromOwnPython()),
    "passes": lambda: seeded(sampler=ByPasses()),
    "a late generator": lambda: seeded(sampler=LateGenerator()),
    "a stream": lambda: DataLoader(Stream(), 2),
    "a loader without PyTorch": lambda: OwnLoader(random.shuffle),
    "stateful": Stateful,
}
WORKERS: dict[str, Callable[[], Any]] = {
    "workers": lambda: seeded(shuffle=True, num_workers=2),
    "spawned workers": lambda: seeded(shuffle=True, num_workers=1, multiprocessing_context="spawn"),
    "workers and a generator": lambda: seeded(shuffle=True, num_workers=2, generator=own_generator()),
    "persistent workers": lambda: seeded(shuffle=True, num_workers=2, persistent_workers=True),
    "persistent workers and a generator": lambda: seeded(
        shuffle=True, num_workers=1, persistent_workers=True, generator=own_generator()
    ),
    "a stream in workers": lambda: DataLoader(Stream(), 2, num_workers=2),
}


def saved(loop: Loop[Any]) -> Any:
    """Return the state as a file gives it back."""
    file = io.BytesIO()
    torch.save(loop.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def items_of(batch: Any) -> list[int]:
    return [int(item) for item in batch]


def seed(value: int) -> None:
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value)


def train(loop: Loop[Any], stop_at: int | None = None) -> tuple[list[tuple[int, int]], Any]:
    """Train until an iteration, draw random numbers as a training does, and return what was had and the state."""
    had: list[tuple[int, int]] = []
    with loop.run():
        for epoch in loop.epochs():
            sampler = getattr(loop.train_dataloader, "sampler", None)
            if isinstance(sampler, DistributedSampler):
                sampler.set_epoch(epoch)
            for batch in loop.train():
                had += [(epoch, item) for item in items_of(batch)]
                torch.rand(3), random.random(), np.random.rand()
                if loop.iter + 1 == stop_at:
                    return had, saved(loop)
    return had, None


def resume(
    make: Callable[[], Any], stop_at: int, carry: Callable[[Any], Any] = lambda state: state, **how: Any
) -> tuple[list[tuple[int, int]], Loop[Any]]:
    """Train for two epochs, resumed in what is like a new process, and return what was had in both."""
    seed(1)
    first, state = train(Loop(None, make(), max_epochs=2), stop_at)
    seed(2)
    loop: Loop[Any] = Loop(None, make(), max_epochs=2)
    loop.load_state_dict(carry(state), **how)
    second, _ = train(loop)
    return first + second, loop


EACH_ONCE = Counter((epoch, item) for epoch in range(2) for item in range(SIZE))


@pytest.mark.parametrize("stop_at", [1, 4, 6, 7, 12])
@pytest.mark.parametrize("name", LOADERS)
def test_each_item_comes_once_in_each_epoch(name: str, stop_at: int) -> None:
    had, loop = resume(LOADERS[name], stop_at)
    assert Counter(had) == EACH_ONCE
    assert (loop.epoch, loop.iter, loop.max_iters) == (2, 12, None if "stream" in name else 12)


# Spawned workers take seconds to start, and order as forked ones do.
@pytest.mark.parametrize(
    ("name", "stop_at"), [(name, at) for name in WORKERS for at in (4, 9) if (name[0], at) != ("s", 9)]
)
def test_each_item_comes_once_from_workers(name: str, stop_at: int) -> None:
    had, loop = resume(WORKERS[name], stop_at)
    assert Counter(had) == EACH_ONCE
    assert loop.epoch == 2


@pytest.mark.parametrize("name", ["persistent workers", "persistent workers and a generator"])
@pytest.mark.parametrize("stop_at", [3, 9])
def test_resume_with_the_very_loader_whose_workers_are_there(name: str, stop_at: int) -> None:
    seed(1)
    loader = WORKERS[name]()
    first, state = train(Loop(None, loader, max_epochs=2), stop_at)
    list(loader)  # whether it had begun before, or not
    loop: Loop[Any] = Loop(None, loader, max_epochs=2)
    loop.load_state_dict(state)
    assert Counter(first + train(loop)[0]) == EACH_ONCE


class StatefulByGenerator(Stateful):
    """Has the state of a generator in its own, as torchdata's RandomSampler does."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = own_generator()

    def __iter__(self) -> Iterator[list[int]]:
        begun = self.generator.get_state()
        order = torch.randperm(SIZE, generator=self.generator).tolist()
        for position in range(self.position if self.loaded else 0, SIZE, 2):
            self.begun, self.position = begun, position + 2
            yield order[position : position + 2]
        self.loaded = False

    def state_dict(self) -> dict[str, Any]:
        return {"generators": [self.begun], "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        (begun,) = state["generators"]
        self.generator.set_state(begun)
        self.position, self.loaded = state["position"], True


@pytest.mark.parametrize("name", [*LOADERS, "stateful by a generator"])
def test_resume_from_a_state_on_another_device(name: str, moved: Callable[[Any], Any]) -> None:
    make = (LOADERS | {"stateful by a generator": StatefulByGenerator})[name]
    had, _ = resume(make, 4, carry=moved)
    assert Counter(had) == EACH_ONCE


def test_place_on_the_meta_device_is_refused() -> None:
    _, state = train(Loop(None, LOADERS["shuffled"](), max_epochs=1), 2)
    state["position"]["start"]["torch"] = state["position"]["start"]["torch"].to("meta")
    loop: Loop[Any] = Loop(None, LOADERS["shuffled"](), max_epochs=1)
    with pytest.raises(StateError, match=r"^position cannot be copied to the CPU: .*map_location='cpu'"):
        loop.load_state_dict(state)
    assert (loop.iter, loop.state_dict()["batches"], dict(loop.message_hub.log_scalars)) == (0, 0, {})


def test_sampling_with_replacement_goes_on_as_it_would_have() -> None:
    def make() -> Any:
        return seeded(sampler=RandomSampler(range(SIZE), replacement=True, num_samples=80, generator=own_generator()))

    seed(1)
    whole = train(Loop(None, make(), max_epochs=2))[0]
    assert resume(make, 17)[0] == whole
    assert resume(make, 57)[0] == whole


@pytest.mark.parametrize("name", ["a generator", "weighted", "NumPy's legacy", "passes"])
def test_the_next_epoch_is_that_of_an_uninterrupted_training_where_a_loader_has_its_generator(name: str) -> None:
    seed(1)
    whole = train(Loop(None, LOADERS[name](), max_epochs=2))[0]
    had, _ = resume(LOADERS[name], 4)
    assert had[:SIZE] == whole[:SIZE]
    if name in {"a generator", "passes"}:
        assert had == whole


def test_resume_leaves_the_global_generators_alone() -> None:
    seed(1)
    _, state = train(Loop(None, LOADERS["shuffled"](), max_epochs=1), 3)
    loop: Loop[Any] = Loop(None, LOADERS["shuffled"](), max_epochs=1)
    loop.load_state_dict(state)
    seed(7)
    expected = torch.rand(1), random.random(), np.random.rand()
    seed(7)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                assert (torch.rand(1), random.random(), np.random.rand()) == expected
                break


@pytest.mark.parametrize("name", ["shuffled", "a generator", "passes", "random"])
@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit(1)])
def test_second_run_gives_the_items_that_are_left(name: str, error: BaseException) -> None:
    seed(1)
    loop: Loop[Any] = Loop(None, LOADERS[name](), max_epochs=1)
    had = []

    def run(fail_at: int | None) -> None:
        with loop.run():
            for _ in loop.epochs():
                for batch in loop.train():
                    torch.rand(3)
                    if loop.iter == fail_at:
                        raise error
                    had.extend(items_of(batch))

    for fail_at in (0, 2, 2, 5):
        with pytest.raises(type(error)):
            run(fail_at)
    run(None)
    assert sorted(had) == list(range(SIZE))
    assert (loop.epoch, loop.iter) == (1, SIZE // 2)


def test_second_run_over_an_iterator_goes_on_with_it() -> None:
    loop: Loop[int] = Loop(None, iter(range(6)), max_epochs=1)
    with pytest.raises(ValueError), loop.run():  # noqa: PT012
        for _ in loop.epochs():
            for batch in loop.train():
                if batch == 2:
                    raise ValueError
    with loop.run():
        assert [batch for _ in loop.epochs() for batch in loop.train()] == [3, 4, 5]


def test_second_pass_of_an_epoch_is_resumed_in_its_own_order() -> None:
    def go(loop: Loop[Any], upto: int) -> tuple[list[tuple[int, int]], Any]:
        had: list[tuple[int, int]] = []
        with loop.run():
            for _ in loop.epochs():
                for part in range(3):
                    for batch in loop.train():
                        had += [(part, item) for item in items_of(batch)]
                        if loop.iter + 1 == upto:
                            return had, saved(loop)
                        if part == 0 and len(had) == 4:
                            break  # the first pass is left early
        return had, None

    seed(1)
    first, state = go(Loop(None, LOADERS["shuffled"](), max_epochs=1), 5)
    seed(2)
    loop: Loop[Any] = Loop(None, LOADERS["shuffled"](), max_epochs=1)
    loop.load_state_dict(state)
    second, _ = go(loop, -1)
    had = Counter(first + second)
    assert all(had[part, item] == 1 for part in (1, 2) for item in range(SIZE))
    assert sum(had.values()) == 4 + 2 * SIZE
    assert loop.iter == 2 + SIZE


def test_state_that_is_saved_again_before_it_was_used() -> None:
    seed(1)
    first, state = train(Loop(None, LOADERS["shuffled"](), max_epochs=2), 3)
    for stage in range(3):
        seed(10 + stage)
        loop: Loop[Any] = Loop(None, LOADERS["shuffled"](), max_epochs=2)
        loop.load_state_dict(state)
        state = saved(loop)
    loop.load_state_dict(state)
    assert Counter(first + train(loop)[0]) == EACH_ONCE


def test_batches_are_numbered_from_where_they_go_on() -> None:
    for skip in (None, True, False):
        numbers = []

        class Note:
            def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
                numbers.append(batch_idx)  # noqa: B023

        _, state = train(Loop(None, LOADERS["a list"](), max_epochs=1), 4)
        left = LOADERS["a list"]() if skip is not False else LOADERS["a list"]()[4:]
        loop: Loop[Any] = Loop(None, left, max_epochs=1, hooks=[Note()])
        loop.load_state_dict(state, skip_batches=skip)
        train(loop)
        assert numbers == [4, 5]


@pytest.mark.parametrize("name", ["shuffled", "a generator", "a stream", "passes", "stateful"])
@pytest.mark.parametrize("bound", [1, 4, 6, 9])
def test_epoch_that_max_iters_has_cut_goes_on_with_a_higher_bound(name: str, bound: int) -> None:
    seed(1)
    loop: Loop[Any] = Loop(None, LOADERS[name](), max_iters=bound)
    first, _ = train(loop)
    state = saved(loop)
    assert (state["epoch"], state["iter"], state["batches"]) in [
        (bound // 6, bound, bound % 6),
        (bound // 6 - 1, bound, 6),  # that a stream has ended is not known yet
    ]
    seed(2)
    loop = Loop(None, LOADERS[name](), max_epochs=2)
    loop.load_state_dict(state)
    assert Counter(first + train(loop)[0]) == EACH_ONCE
    assert (loop.epoch, loop.iter) == (2, 12)


# -- loaders that have their own state


def test_own_state_is_loaded_once_whoever_else_loads_it() -> None:
    seed(1)
    loader = Stateful()
    first, state = train(Loop(None, loader, max_epochs=1), 4)
    own = loader.state_dict()
    for loads_it in (False, True):
        seed(2)
        other = Stateful()
        if loads_it:
            other.load_state_dict(own)
        loop: Loop[Any] = Loop(None, other, max_epochs=1)
        loop.load_state_dict(state)
        assert sorted(first + train(loop)[0]) == [(0, item) for item in range(SIZE)]


def test_own_state_is_left_alone_where_batches_are_skipped_or_come_by_themselves() -> None:
    seed(1)
    loader = Stateful()
    first, state = train(Loop(None, loader, max_epochs=1), 4)
    own = loader.state_dict()
    other = Stateful()
    other.load_state_dict(own)
    loop: Loop[Any] = Loop(None, other, max_epochs=1)
    loop.load_state_dict(state, skip_batches=False)
    assert sorted(first + train(loop)[0]) == [(0, item) for item in range(SIZE)]
    loop = Loop(None, Stateful(), max_epochs=1)
    loop.load_state_dict(state, skip_batches=True)
    assert len(train(loop)[0]) == 4


class Restored(Stateful):
    """Keeps the state that it is given until its next pass, as torchdata's loader does, or litdata's."""

    def __init__(self, pending: str) -> None:
        super().__init__()
        self.pending = pending

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        setattr(self, self.pending, state if self.pending == "next_iter_state" else True)

    def __iter__(self) -> Iterator[Any]:
        setattr(self, self.pending, None)
        return super().__iter__()


class Around:
    """Wraps a loader, as a prefetcher does."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        yield from self.loader


@pytest.mark.parametrize("pending", ["next_iter_state", "restore"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_wrapped_loader_that_was_given_its_state_skips_nothing(pending: str, layers: int, by_hand: bool) -> None:
    def around(loader: Any) -> Any:
        for _ in range(layers):
            loader = Around(loader)
        return loader

    loader = Restored(pending)
    first, state = train(Loop(None, around(loader), max_epochs=1), 2)
    own_state = loader.state_dict()
    loader = Restored(pending)
    if by_hand:
        loader.load_state_dict(own_state)
    loop: Loop[Any] = Loop(None, around(loader), max_epochs=1)
    loop.load_state_dict(state)
    rest, _ = train(loop)
    assert Counter([*first, *rest]) == Counter((0, item) for item in range(SIZE))
    assert loop.iter == SIZE // 2


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # by torchdata 0.11 on torch 2.13
def test_stateful_data_loader_of_torchdata() -> None:
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")

    class Lazy(FromPython):
        def __iter__(self) -> Iterator[int]:
            yield from super().__iter__()

    def make(**options: Any) -> Callable[[], Any]:
        return lambda: torchdata.StatefulDataLoader(range(SIZE), 2, **options)

    kinds: list[dict[str, Any]] = [
        {},
        {"shuffle": True},
        {"shuffle": True, "num_workers": 2},
        {"shuffle": True, "num_workers": 1, "persistent_workers": True},
        {"sampler": Lazy()},
        {"sampler": RandomSampler(range(SIZE))},
        {"sampler": RandomSampler(range(SIZE)), "num_workers": 1},
    ]
    for options in kinds:
        for stop_at in (1, 7, 12) if "num_workers" in options else (1, 4, 6, 7, 12):
            had, loop = resume(make(**options), stop_at)
            assert Counter(had) == EACH_ONCE, (options, stop_at)
            assert (loop.epoch, loop.iter) == (2, 12)
    with pytest.warns(ResumeWarning, match="begins its sampler, FromPython, several times"):
        resume(make(sampler=FromPython()), 4)


def test_loader_that_begins_its_sampler_several_times() -> None:
    class Restoring(DataLoader[int]):
        """As torchdata's does."""

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            iter(self.sampler)

    def make() -> Restoring:
        return Restoring(range(SIZE), 2, sampler=FromPython())  # type: ignore[arg-type]

    _, state = train(Loop(None, make(), max_epochs=1), 2)
    resumed_with_warning(make(), state, "begins its sampler, FromPython, several times.*give it a state_dict")


# -- where it cannot be had


def resumed_with_warning(loader: Any, state: Any, match: str) -> None:
    loop: Loop[Any] = Loop(None, loader, max_epochs=2)
    loop.load_state_dict(state)
    with pytest.warns(ResumeWarning, match=match) as told:
        train(loop)
    assert {each.filename for each in told} == {__file__}


def test_batches_that_come_out_of_order() -> None:
    def make() -> DataLoader[int]:
        return seeded(num_workers=2, in_order=False)

    _, state = train(Loop(None, make(), max_epochs=1), 2)
    resumed_with_warning(make(), state, "^DataLoader may give other batches .* in_order=False .* Say in_order=True")
    resumed_with_warning(seeded(num_workers=1), state, "in_order=False")


@pytest.mark.parametrize("make", [LOADERS["shuffled"], LOADERS["a batch sampler"], LOADERS["weighted"]])
def test_state_of_an_earlier_release_over_a_loader_that_shuffles(make: Callable[[], Any]) -> None:
    _, state = train(Loop(None, make(), max_epochs=1), 2)
    del state["position"]
    resumed_with_warning(make(), state, "it shuffles, and the state, of an earlier release, does not say")


@pytest.mark.parametrize("name", ["a list", "not shuffled", "distributed"])
def test_state_of_an_earlier_release_over_a_loader_that_does_not(name: str) -> None:
    first, state = train(Loop(None, LOADERS[name](), max_epochs=1), 2)
    del state["position"]
    loop: Loop[Any] = Loop(None, LOADERS[name](), max_epochs=1)
    loop.load_state_dict(state)
    assert sorted(first + train(loop)[0]) == [(0, item) for item in range(SIZE)]


def test_state_of_an_earlier_release_in_the_second_pass_of_an_epoch() -> None:
    loop: Loop[str] = Loop(None, ["a", "b"], max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
            next(iter(loop.train()))
            break
    state = {**loop.state_dict(), "epoch": 0, "iter": 3, "batches": 3, "position": None}
    other: Loop[str] = Loop(None, ["a", "b"], max_epochs=1)
    other.load_state_dict(state)
    with other.run():
        for _ in other.epochs():
            assert [list(other.train()) for _ in range(2)] == [[], ["b"]]
    assert other.iter == 4


def test_loader_that_lacks_the_generator_it_had() -> None:
    _, state = train(Loop(None, LOADERS["an own Random"](), max_epochs=1), 2)
    resumed_with_warning(LOADERS["shuffled"](), state, "it has no sampler.random, which it had when the state was")
    resumed_with_warning(LOADERS["NumPy's generator"](), state, "it has no sampler.random")


def test_own_state_that_is_missing_or_has_no_taker() -> None:
    _, state = train(Loop(None, Stateful(), max_epochs=1), 2)
    resumed_with_warning(LOADERS["a list"](), state, "has no load_state_dict")
    state["position"]["loader"] = None
    resumed_with_warning(
        Stateful(), state, "its own state, but the state of this training lacks it.*skip_batches=False"
    )


def test_second_run_of_a_loader_with_its_own_state() -> None:
    loop: Loop[Any] = Loop(None, Stateful(), max_epochs=1)
    with pytest.raises(ValueError), loop.run():  # noqa: PT012
        for _ in loop.train():
            if loop.iter == 2:
                raise ValueError
    with pytest.warns(ResumeWarning, match="its own state, which was not saved where the last run stopped"):
        train(loop)


def test_stream_in_persistent_workers_of_an_earlier_epoch() -> None:
    def make() -> DataLoader[int]:
        return DataLoader(Stream(), 2, num_workers=1, persistent_workers=True)

    _, state = train(Loop(None, make(), max_epochs=2), 8)
    resumed_with_warning(make(), state, "a stream in persistent workers, whose random state is lost")


def test_state_of_another_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = train(Loop(None, LOADERS["shuffled"](), max_epochs=1), 2)
    monkeypatch.setenv("RANK", "1")
    resumed_with_warning(LOADERS["shuffled"](), state, "the state is that of rank 0, but this is rank 1")
    _, state = train(Loop(None, LOADERS["distributed"](), max_epochs=1), 2)
    monkeypatch.setenv("RANK", "0")
    loop: Loop[Any] = Loop(None, LOADERS["distributed"](), max_epochs=1)
    loop.load_state_dict(state)
    train(loop)


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (lambda position: position.update(passes=-1), "position.passes"),
        (lambda position: position.update(in_pass="2"), "position.in_pass"),
        (lambda position: position.update(start=3), "position.start"),
        (lambda position: position["start"].update(torch=torch.zeros(2)), "position.start.torch"),
        (lambda position: position["start"].pop("python"), "position.start.python"),
        (lambda position: position["start"].update(numpy={}), "position.start.numpy"),
        (lambda position: position["start"].update(generators=[]), "position.start.generators"),
        (lambda position: position["start"].update(rank=None), "position.start.rank"),
    ],
)
def test_damaged_place_is_refused_by_name(damage: Callable[[Any], None], field: str) -> None:
    _, state = train(Loop(None, LOADERS["random"](), max_epochs=1), 2)
    damage(state["position"])
    loop: Loop[Any] = Loop(None, LOADERS["shuffled"](), max_epochs=1)
    with pytest.raises(StateError, match=f"^{field.replace('.', '[.]')} must be") as caught:
        loop.load_state_dict(state)
    assert caught.value.field == field
    assert (loop.iter, loop.state_dict()["batches"], dict(loop.message_hub.log_scalars)) == (0, 0, {})


def test_persistent_workers_without_the_member_that_tells_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimeinfo_adapters._loader_state._ITERATOR", "_gone")
    _, state = train(Loop(None, WORKERS["persistent workers"](), max_epochs=1), 2)
    resumed_with_warning(WORKERS["persistent workers"](), state, "whether its workers were those of an earlier pass")


# -- generated programs

LEG = st.tuples(
    st.integers(1, 9),  # batches until it is stopped
    st.integers(0, 3),  # batches before that at which the state was saved
    st.sampled_from(["raise", "kill", "kill", "break"]),
)


class Stop(Exception):  # noqa: N818
    """Stops a run."""


class Legs:
    """Trains in legs, and counts by itself what is had in each epoch."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.loop: Loop[Any] = Loop(None, make(), max_epochs=3)
        self.had: list[list[int]] = [[]]
        self.cut: set[int] = set()
        self.saved: tuple[Any, list[list[int]], set[int]] | None = None

    def run(self, batches: int, save_before: int, how: str) -> None:
        """Train until a number of batches was had, and stop."""
        self.saved = None
        with self.loop.run():
            for epoch in self.loop.epochs():
                assert epoch == self.loop.epoch == len(self.had) - 1
                for batch in self.loop.train():
                    if batches == 0 and how != "break":
                        raise Stop
                    assert self.loop.iter == sum(map(len, self.had)) // 2
                    self.had[epoch] += items_of(batch)
                    torch.rand(2), random.random(), np.random.rand()
                    batches -= 1
                    if batches == save_before:
                        self.saved = saved(self.loop), [list(items) for items in self.had], set(self.cut)
                    if batches == 0 and how == "break":
                        self.cut.add(epoch)
                        break
                self.had.append([])

    def go_on(self, number: int) -> None:
        """Go on from the state that was saved, as another process does: what was had since then was not."""
        seed(100 + number)
        if self.saved is not None:
            state, self.had, self.cut = self.saved
            self.loop = Loop(None, self.make(), max_epochs=3)
            self.loop.load_state_dict(state)


@settings(deadline=None, max_examples=80, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(set(LOADERS) - {"stateful"})), legs=st.lists(LEG, max_size=6))
def test_generated_legs_give_each_item_once(name: str, legs: list[tuple[int, int, str]]) -> None:
    seed(0)
    trained = Legs(LOADERS[name])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the training is complete")
        for number, (batches, save_before, how) in enumerate(legs):
            try:
                trained.run(batches, save_before, how)
            except Stop:
                if how == "kill":
                    trained.go_on(number)
        trained.run(1000, -1, "")
    for epoch, items in enumerate(trained.had[:3]):
        assert len(set(items)) == len(items), "an item came twice"
        assert epoch in trained.cut or len(items) == SIZE, "an item was lost"
    assert trained.loop.epoch == 3
    assert trained.loop.iter == sum(map(len, trained.had)) // 2


class InPlace(FromPython):
    """Shuffles an order that it keeps."""

    def __init__(self) -> None:
        self.order = list(range(SIZE))

    def __iter__(self) -> Iterator[int]:
        random.shuffle(self.order)
        return iter(list(self.order))


class BySeen(FromPython):
    """Counts its passes under a name of its own."""

    def __init__(self) -> None:
        self.epochs_seen = 0

    def __iter__(self) -> Iterator[int]:
        self.epochs_seen += 1
        return iter(torch.randperm(SIZE, generator=torch.Generator().manual_seed(self.epochs_seen)).tolist())


class FromList(FromPython):
    """Has its generators in a list."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.generators = [make(5)]

    def __iter__(self) -> Iterator[int]:
        order = list(range(SIZE))
        for place in range(SIZE):
            generator = self.generators[0]
            draw = generator.integers(SIZE) if hasattr(generator, "integers") else generator.randrange(SIZE)
            order[place], order[int(draw)] = order[int(draw)], order[place]
        return iter(order)


class Slotted(FromPython):
    __slots__ = ("order",)

    def __init__(self) -> None:
        self.order = torch.arange(SIZE)

    def __iter__(self) -> Iterator[int]:
        self.order = self.order[torch.randperm(SIZE)]
        return iter(self.order.tolist())


class Lazy(IterableDataset[int]):
    """Draws from a global generator as it goes."""

    def __iter__(self) -> Iterator[int]:
        items = list(range(SIZE))
        while items:
            yield items.pop(random.randrange(len(items)))


KEPT: dict[str, tuple[Callable[[], Any], str]] = {
    "an order": (InPlace, "sampler.order"),
    "a counter": (BySeen, "sampler.epochs_seen"),
    "a list of Random": (lambda: FromList(random.Random), "sampler.generators"),
    "a list of NumPy's": (lambda: FromList(np.random.default_rng), "sampler.generators"),
    "a slot": (Slotted, "sampler.order"),
}


@pytest.mark.parametrize(("make", "name"), KEPT.values(), ids=KEPT)
def test_sampler_that_keeps_its_order_is_named_where_it_was_not_restored(make: Callable[[], Any], name: str) -> None:
    loop: Loop[Any] = Loop(None, seeded(sampler=make()), max_epochs=3)
    states: list[Any] = []
    with loop.run():
        for epoch in loop.epochs():
            for _ in loop.train():
                if loop.iter in {1, 7}:  # in the first epoch, and in the second one
                    states.append(saved(loop))
            if epoch == 1:
                break
    resumed_with_warning(seeded(sampler=make()), states[1], f"{name} of it is not what it was when the pass began")
    with warnings.catch_warnings():  # in the first epoch it is as it was made
        warnings.simplefilter("error")
        again: Loop[Any] = Loop(None, seeded(sampler=make()), max_epochs=1)
        again.load_state_dict(states[0])
        train(again)


def test_stream_that_draws_as_it_goes_is_told_of() -> None:
    _, state = train(Loop(None, DataLoader(Lazy(), 2), max_epochs=1), 3)
    resumed_with_warning(DataLoader(Lazy(), 2), state, "a stream that draws from a global random generator")
