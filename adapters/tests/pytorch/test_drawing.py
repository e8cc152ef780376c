"""Batches that are drawn by other code than a ``for`` statement: an iteration is open from one draw to the next."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from runtimeinfo import LoopError, current_hub

tqdm = pytest.importorskip("tqdm")


def seen() -> tuple[Any, Any]:
    return current_hub().get_info("epoch"), current_hub().get_info("iter")


def test_zip_draws_a_batch_more_than_it_gives_if_the_loop_stands_first(make: Any) -> None:
    loop = make(4, max_epochs=2)
    had = []
    with loop.run():
        for _ in loop.epochs():
            for batch, other in zip(loop.train(), "xy"):  # noqa: B905
                had.append((batch, other, *seen()))
                loop.log(loss=1)
            with loop.val():
                assert loop.iter % 3 == 0, "the third batch counts, although no code has had it"
    assert had == [("a", "x", 0, 0), ("b", "y", 0, 1), ("a", "x", 1, 3), ("b", "y", 1, 4)]
    assert (loop.epoch, loop.iter) == (2, 6)
    assert loop.told.given("after_train_iter", "outputs") == [{"loss": 1}, {"loss": 1}, None] * 2
    assert loop.told.given("before_train_iter", "batch_idx") == [0, 1, 2] * 2


def test_zip_draws_no_more_if_the_loop_stands_last(make: Any) -> None:
    loop = make(4, max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            for _, _ in zip("xy", loop.train()):  # noqa: B905
                loop.log(loss=1)
    assert (loop.epoch, loop.iter) == (2, 4)
    assert loop.told.given("after_train_iter", "outputs") == [{"loss": 1}] * 4
    # Where the loop is the shorter one, the order makes no difference to it.
    loop = make(2, max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            assert len(list(zip(loop.train(), "xyz"))) == 2  # noqa: B905
    assert (loop.epoch, loop.iter) == (2, 4)


def test_zip_of_two_loops_and_a_strict_one(make: Any) -> None:
    one, two = make(3), make(2)
    with one.run(), two.run():
        for _ in zip(one.train(), two.train()):  # noqa: B905
            assert one.iter == two.iter
    assert (one.iter, two.iter) == (3, 2)
    loop = make(4)
    with pytest.raises(ValueError, match="shorter"), loop.run():
        for _ in zip(loop.train(), "xy", strict=True):
            pass
    assert loop.iter == 2, "an exception leaves the third one, which does not count"


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize(
    ("wrapped", "iters"),
    [
        (enumerate, [0, 1, 2, 3]),
        (tqdm.tqdm, [0, 1, 2, 3]),
        (lambda batches: map(str.upper, batches), [0, 1, 2, 3]),
        (lambda batches: (batch for batch in batches if batch != "b"), [0, 2, 3]),
        (lambda batches: itertools.islice(batches, 2), [0, 1]),
        (list, [3, 3, 3, 3]),  # no iteration is open any more
    ],
)
def test_iter_is_that_of_the_batch_in_each_wrapper(make: Any, wrapped: Any, iters: list[int], hold: bool) -> None:
    loop = make(4, max_epochs=2)
    held: list[Any] = []
    with loop.run():
        for epoch in loop.epochs():
            batches: Any = wrapped(loop.train())
            if hold:
                held.append(batches)
            first = loop.iter if wrapped is not list else loop.iter - 4
            had = [seen() for _ in batches]
            assert had == [(epoch, first + each) for each in iters]
            del batches
    # An iteration that was left counts, as after a `break`.
    done = 4 if wrapped is not list and len(iters) != 2 else len(iters)
    assert (loop.epoch, loop.iter) == (2, 2 * done)


class Prefetcher:
    """Draws the next batch before it gives the last one, as NVIDIA's data_prefetcher does."""

    def __init__(self, loader: Iterable[str]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[str]:
        batches = iter(self.loader)
        for batch in batches:
            following = batch
            break
        else:
            return
        for batch in batches:
            yield following
            following = batch
        yield following


def in_thread(batches: Iterable[str]) -> Iterator[str]:
    """Read ahead in a thread."""
    ready: queue.Queue[str | None] = queue.Queue(maxsize=2)

    def read() -> None:
        for batch in batches:
            ready.put(batch)
        ready.put(None)

    threading.Thread(target=read).start()
    while (batch := ready.get()) is not None:
        yield batch


def test_read_ahead_over_the_loop_is_a_batch_ahead(make: Any) -> None:
    loop = make(3, max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            had = []
            for batch in Prefetcher(loop.train()):
                had.append((batch, current_hub().get_info("iter")))
                if batch == "c":
                    with pytest.raises(LoopError, match="log\\(\\) belongs inside an iteration"):
                        loop.log(loss=1)
                else:
                    loop.log(loss=batch == "a")
    assert had == [("a", 1), ("b", 2), ("c", 2)], "iter is that of the batch drawn last"
    assert (loop.epoch, loop.iter) == (1, 3)
    assert loop.told.given("after_train_iter", "outputs") == [None, {"loss": True}, {"loss": False}]


@pytest.mark.parametrize("wrap", [Prefetcher, in_thread])
def test_read_ahead_under_the_loop_is_exact(make: Any, wrap: Any) -> None:
    class Loader:
        def __iter__(self) -> Iterator[str]:
            return iter(wrap("abc"))

        def __len__(self) -> int:
            return 3

    loop = make(Loader(), max_epochs=2)
    had = []
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                had.append((batch, *seen()))
                loop.log(loss=1)
                saved = loop.state_dict()
                if loop.iter == 4:
                    break
    assert had == [("a", 0, 0), ("b", 0, 1), ("c", 0, 2), ("a", 1, 3), ("b", 1, 4)]
    assert (saved["epoch"], saved["batches"], saved["iter"]) == (1, 2, 5)
    other = make(Loader(), max_epochs=2)
    other.load_state_dict(saved)
    with other.run():
        assert [batch for _ in other.epochs() for batch in other.train()] == ["c"]


def test_state_in_a_zip_is_that_of_the_batch(make: Any) -> None:
    loop = make(4, max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            for batch, _ in zip(loop.train(), "xyz"):  # noqa: B905
                if batch == "b":
                    state = loop.state_dict()
    other = make(4, max_epochs=1)
    other.load_state_dict(state)
    with other.run():
        assert [batch for _ in other.epochs() for batch in other.train()] == ["c", "d"]
