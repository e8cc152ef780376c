"""What the ``for`` statements of an instrumented loop iterate over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from runtimeinfo import LoopError
from runtimeinfo_adapters.pytorch._training import Training

B = TypeVar("B")


class EpochIterator(Iterator[int]):
    """Opens and closes an epoch with each step."""

    def __init__(self, training: Training, max_epochs: int | None, max_iters: int | None) -> None:
        self._training = training
        self._max_epochs = max_epochs
        self._max_iters = max_iters
        self._is_over = False
        training.settle()
        training.enter_epochs(self)

    def __next__(self) -> int:
        training = self._training
        if self._is_over:
            raise StopIteration
        if not training.is_current(self):
            raise LoopError(
                "this iteration over the epochs is over: its run has ended. Call epochs() again in the next run"
            )
        training.settle()
        training.end_epoch()
        counters = training.counters
        if is_reached(counters.epoch, self._max_epochs) or is_reached(counters.iter, self._max_iters):
            self._is_over = True
            training.end()
            raise StopIteration
        training.begin_epoch()
        return counters.epoch


class BatchIterator(Iterator[B]):
    """Opens and closes an iteration with each batch."""

    def __init__(self, training: Training, loader: Iterable[B], max_iters: int | None) -> None:
        self._training = training
        self._max_iters = max_iters
        self._is_over = False
        training.settle()
        training.enter_pass(self)
        # Only now: the workers that this may start shall find the epoch in the hub.
        self._batches = iter(loader)

    def __next__(self) -> B:
        training = self._training
        if self._is_over:
            raise StopIteration
        if not training.is_current(self):
            raise LoopError(
                "this pass over the loader is over: its epoch has ended, or another train() has begun. Call "
                "train() for each pass"
            )
        training.end_iteration()
        try:
            batch = self._draw()
        except StopIteration:
            self._is_over = True
            training.end_pass()
            raise
        training.begin_iteration(batch)
        return batch

    def _draw(self) -> B:
        if is_reached(self._training.counters.iter, self._max_iters):
            raise StopIteration
        while self._training.batches_done < self._training.batches_to_skip:
            next(self._batches)
            self._training.batches_done += 1
        return next(self._batches)


class TrainPass(Generic[B]):
    """An iterable over the batches of one pass; it has a length if the loader has."""

    def __init__(self, training: Training, loader: Iterable[B], max_iters: int | None) -> None:
        self._training = training
        self._loader = loader
        self._max_iters = max_iters

    def __iter__(self) -> BatchIterator[B]:
        self._training.check_running("train")  # it may be iterated over elsewhere than it was made
        return BatchIterator(self._training, self._loader, self._max_iters)

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]  # a TypeError is right where the loader has none


def is_reached(count: int, bound: int | None) -> bool:
    """Tell whether a bound is reached; None is none."""
    return bound is not None and count >= bound
