"""Totals of loaders that change their length or have a wrong one, and loops that start late or are finished."""

# ruff: noqa: PT031  # what raises or warns here is a whole training

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler

from runtimeinfo import LoopError, current_hub
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import FinishedLoopWarning, Loop


class Growing(Sampler[list[int]]):
    """Has two batches more in each epoch, which it is told."""

    epoch = 0

    def __init__(self) -> None:
        pass

    def __len__(self) -> int:
        return 2 + 2 * self.epoch

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[0]] * len(self))


class LateLength(Sampler[list[int]]):
    """Makes its batches, and knows how many there are, only when it begins."""

    def __init__(self) -> None:
        self.passes = 0

    def __len__(self) -> int:
        return 3 + self.passes

    def __iter__(self) -> Iterator[list[int]]:
        self.passes += 1
        yield from [[0]] * len(self)


class Wrong:
    """A stream whose length is wrong."""

    def __init__(self, said: int, real: int) -> None:
        self.said, self.real = said, real

    def __len__(self) -> int:
        return self.said

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.real))


class Check:
    """A hook that compares the totals of the loop and its hub at every event."""

    priority = "LOW"

    def __init__(self) -> None:
        self.totals: list[int | None] = []

    def compare(self, runner: Any, **_: Any) -> None:
        assert runner.message_hub.get_info("max_iters") == runner.max_iters

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.compare(runner)
        total = runner.max_iters
        self.totals.append(total)
        assert total is None or runner.message_hub.get_info("iter") / total < 1

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.compare(runner)

    before_train = before_train_epoch = after_train_epoch = after_train = before_val = after_val = compare


def totals_of(loader: Any, *, passes: int = 1, told: Any = None, **bounds: Any) -> tuple[list[int | None], int | None]:
    """Train, and return the totals at each iteration, and the one after the end."""
    check = Check()
    loop: Loop[Any] = Loop(None, loader, hooks=[check], **bounds)
    with loop.run():
        for epoch in loop.epochs():
            if told is not None:
                told.epoch = epoch
            assert loop.max_iters == current_hub().get_info("max_iters")
            for _ in range(passes):
                for _ in loop.train():
                    assert loop.max_iters == current_hub().get_info("max_iters")
                assert loop.max_iters == current_hub().get_info("max_iters")
            with loop.val():
                assert loop.max_iters == current_hub().get_info("max_iters")
    assert loop.max_iters == loop.message_hub.get_info("max_iters")
    return check.totals, loop.max_iters


def test_batch_sampler_that_is_told_its_epoch_inside_the_loop() -> None:
    sampler = Growing()
    loader = DataLoader([1.0], batch_sampler=sampler)  # type: ignore[arg-type]
    assert totals_of(loader, told=sampler, max_epochs=3) == ([6] * 2 + [10] * 4 + [12] * 6, 12)


def test_sampler_that_knows_its_length_when_it_has_begun() -> None:
    loader = DataLoader([1.0], batch_sampler=LateLength())  # type: ignore[arg-type]
    assert totals_of(loader, max_epochs=2) == ([8] * 4 + [9] * 5, 9)


def test_list_that_grows_between_epochs() -> None:
    batches = [1]

    class Grow(Check):
        def after_train_epoch(self, runner: Any) -> None:
            batches.append(1)

    loop: Loop[int] = Loop(None, batches, max_epochs=3, hooks=[check := Grow()])
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
    assert check.totals == [3, 5, 5, 6, 6, 6]


def test_stream_that_is_longer_than_it_says() -> None:
    assert totals_of(Wrong(2, 4), max_epochs=2) == ([4, 4] + [None] * 6, None)
    assert totals_of(Wrong(2, 4), max_epochs=2, max_iters=7) == ([4, 4] + [7] * 5, 7)


def test_stream_that_is_shorter_than_it_says() -> None:
    assert totals_of(Wrong(4, 2), max_epochs=3) == ([12, 12] + [None] * 4, None)
    assert totals_of(Wrong(4, 0), max_epochs=1) == ([], None)


@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
def test_stream_of_pytorch_that_has_a_wrong_length() -> None:
    class Stream(IterableDataset[int]):
        def __len__(self) -> int:
            return 4

        def __iter__(self) -> Iterator[int]:
            return iter(range(6))

    assert totals_of(DataLoader(Stream(), 2), max_epochs=2) == ([4, 4] + [None] * 4, None)


def test_a_wrong_length_is_forgotten_by_the_next_training() -> None:
    loader = Wrong(2, 3)
    loop: Loop[int] = Loop(None, loader, max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
        assert loop.max_iters is None
        loader.real = 2
        loop.max_epochs = 2
        for _ in loop.epochs():
            assert (loop.max_iters, current_hub().get_info("max_iters")) == (5, 5)
            list(loop.train())
    assert loop.max_iters == 5


def test_epoch_that_is_left_early_does_not_make_a_length_wrong() -> None:
    loop: Loop[int] = Loop(None, [1, 2, 3], max_epochs=3, hooks=[check := Check()])
    with loop.run():
        for epoch in loop.epochs():
            for _ in loop.train():
                if epoch == 0:
                    break
            with loop.val():
                assert loop.max_iters == current_hub().get_info("max_iters")
    assert check.totals == [9] + [7] * 6


def test_several_passes_in_an_epoch() -> None:
    assert totals_of([1, 2], passes=2, max_epochs=3) == ([6, 6] + [12] * 10, 12)
    assert totals_of([1, 2], passes=2, max_epochs=3, max_iters=5) == ([5] * 5, 5)


@pytest.mark.parametrize(("bounds", "totals"), [({"max_iters": 5}, [5] * 5), ({"max_epochs": 2}, [4] * 4 + [6] * 2)])
def test_passes_without_epochs(bounds: dict[str, int], totals: list[int]) -> None:
    loop: Loop[int] = Loop(None, [1, 2], hooks=[check := Check()], **bounds)
    with loop.run():
        for _ in range(3):
            list(loop.train())
    assert check.totals == totals


def test_totals_of_a_resumed_training() -> None:
    loop: Loop[int] = Loop(None, list(range(4)), max_epochs=3)
    with loop.run():
        for epoch in loop.epochs():
            for batch in loop.train():
                if (epoch, batch) == (1, 2):
                    state = loop.state_dict()
            if epoch == 1:
                break
    for skip, left in ((None, range(4)), (True, range(4)), (False, range(3, 4))):
        check = Check()
        loop = Loop(None, list(left), max_epochs=3, hooks=[check])
        loop.load_state_dict(state, skip_batches=skip)
        if skip is not False:
            assert loop.max_iters == 12
        with loop.run():
            for _ in loop.epochs():
                list(loop.train())
        if skip is not False:
            assert check.totals == [12] * 5
            assert (loop.epoch, loop.iter, loop.max_iters) == (3, 12, 12)


# -- a project that has its own checkpoints


def test_start_at_an_epoch() -> None:
    loop: Loop[int] = Loop(None, range(4), max_epochs=5, start_epoch=3, hooks=[check := Check()])
    assert (loop.epoch, loop.iter, loop.max_iters) == (3, 12, 20)
    with loop.run():
        seen = [(epoch, batch, current_hub().get_info("iter")) for epoch in loop.epochs() for batch in loop.train()]
    assert seen == [(epoch, n, 4 * epoch + n) for epoch in (3, 4) for n in range(4)]
    assert check.totals == [20] * 8


def test_start_at_an_iteration_inside_an_epoch_skips_no_batches() -> None:
    numbers = []

    class Note:
        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            numbers.append(batch_idx)

    loop: Loop[int] = Loop(None, range(4), max_epochs=2, start_epoch=1, start_iter=6, hooks=[Note(), check := Check()])
    with loop.run():
        assert [batch for _ in loop.epochs() for batch in loop.train()] == [0, 1, 2, 3]
    assert (numbers, check.totals, loop.iter) == ([0, 1, 2, 3], [10] * 4, 10)


def test_start_counts_in_the_bound_of_iterations() -> None:
    loop: Loop[int] = Loop(None, iter(range(100)), max_iters=7, start_iter=4)
    with loop.run():
        assert list(loop.train()) == [0, 1, 2]
    assert loop.message_hub.get_info("max_iters") == 7


def test_loaded_state_wins_over_the_start() -> None:
    loop: Loop[int] = Loop(None, range(4), max_epochs=5, start_epoch=3)
    loop.load_state_dict(Loop(None, range(4), max_epochs=5, start_epoch=1, start_iter=4).state_dict())
    assert (loop.epoch, loop.iter, loop.max_iters) == (1, 4, 20)


@pytest.mark.parametrize("name", ["start_epoch", "start_iter"])
@pytest.mark.parametrize("value", [-1, 1.0, "2", True])
def test_start_that_is_none(name: str, value: Any) -> None:
    with pytest.raises(LoopError, match=f"^{name} must be an int from 0, or None, but is .*: give how many are done"):
        Loop(None, range(4), **{name: value})


def test_start_of_a_loader_without_a_length() -> None:
    with pytest.raises(LoopError, match=r"^start_iter is needed beside start_epoch=2, because train_loader has no l"):
        Loop(None, iter("ab"), start_epoch=2)
    with pytest.raises(LoopError, match="start_iter is needed"):
        Loop(start_epoch=2)
    assert Loop(None, iter("ab"), start_epoch=2, start_iter=9).iter == 9
    assert Loop(None, iter("ab"), start_epoch=0).iter == 0


# -- a loop that is finished


def finished(**bounds: Any) -> Loop[int]:
    loop: Loop[int] = Loop(None, [1, 2], **bounds)
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
    return loop


@pytest.mark.parametrize(("bounds", "said"), [({"max_epochs": 2}, "max_epochs=2"), ({"max_iters": 4}, "max_iters=4")])
@pytest.mark.parametrize("how", ["run again", "loaded", "loaded inside the run"])
def test_finished_training_says_so_once(bounds: dict[str, int], said: str, how: str) -> None:
    loop = finished(**bounds)
    before = loop.epoch, loop.iter
    if how != "run again":
        state, loop = loop.state_dict(), Loop(None, [1, 2], **bounds)
    if how == "loaded":
        loop.load_state_dict(state)
    message = rf"^the training is complete: {said}, .* Make a new Loop .*, or .*{said[:-2]} to go on"
    with pytest.warns(FinishedLoopWarning, match=message) as told, loop.run():
        if how == "loaded inside the run":
            loop.load_state_dict(state)
        assert list(loop.train()) == []
        assert list(loop.epochs()) == []
        assert list(loop.epochs()) == []
        assert list(loop.train()) == []
    assert (len(told), told[0].filename) == (1, __file__)
    assert (loop.epoch, loop.iter) == before
    with pytest.warns(FinishedLoopWarning), loop.run():
        list(loop.epochs())


def test_finished_training_goes_on_with_a_higher_bound() -> None:
    loop = finished(max_epochs=1)
    loop.max_epochs = 2
    with loop.run():
        assert list(loop.epochs()) == [1]


def test_nothing_is_said_where_nothing_was_to_be_trained() -> None:
    for loop in (Loop(None, [1], max_epochs=0), Loop(None, [1], max_iters=0), finished(max_epochs=1)):
        with loop.run():
            with loop.test() as test:
                list(test.batches([1]))
            if loop.epoch == 0:
                assert list(loop.epochs()) == []


def test_nothing_is_said_in_the_run_that_finishes() -> None:
    loop: Loop[int] = Loop(None, [1, 2], max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
        assert list(loop.epochs()) == []
    empty: Loop[int] = Loop(None, [], max_epochs=2)
    with empty.run():
        assert list(empty.epochs()) == [0, 1]


# -- an iteration that was aborted


@pytest.mark.parametrize("kind", ["ours", "mmengine's"])
def test_aborted_iteration_leaves_no_learning_rate_behind(kind: str) -> None:
    hub: Any = MessageHub("aborted")
    if kind == "mmengine's":
        from mmengine.logging import MessageHub as SeedHub

        hub = SeedHub("runtimeinfo-aborted")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    loop: Loop[int] = Loop(optimizer, range(4), max_epochs=2, hub=hub)

    def run(fail_at: int | None) -> None:
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    if loop.iter == fail_at:
                        raise ValueError
                    loop.log(loss=loop.iter)
                    optimizer.step()
                    scheduler.step()

    for fail_at in (5, 5, 0):
        if fail_at:
            with pytest.raises(ValueError):
                run(fail_at)
    run(None)
    assert [float(rate) for rate in hub.get_scalar("train/lr").data[0]] == [0.5**done for done in range(8)]
    assert [float(loss) for loss in hub.get_scalar("train/loss").data[0]] == list(range(8))
