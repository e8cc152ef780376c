"""A validation or a test of an instrumented loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from runtimeinfo import LoopError
from runtimeinfo_adapters.pytorch._named_values import named_values
from runtimeinfo_adapters.pytorch._training import Training

B = TypeVar("B")


class Evaluation:
    """One validation or test: a context manager, made by `Loop.val` and `Loop.test`.

    Each call of `batches` is an epoch of it. `metrics` ends the epoch, and publishes.

    Source: STAGE-02 to STAGE-05, LIFE-06, LIFE-07, SCALAR-06, SCALAR-09.
    """

    def __init__(self, training: Training, stage: Literal["val", "test"]) -> None:
        self._training = training
        self._publisher = training.publisher
        self._stage = stage
        self._was_entered = False
        self._outside = 0  # how many scopes are open around it
        self._pass: object = None  # identifies the pass over a loader that is under way
        self._has_metrics = False

    def __enter__(self) -> Self:
        if self._was_entered:
            raise LoopError(f"this {self._stage} was entered already; call loop.{self._stage}() for each one")
        self._training.check_running(self._stage)  # it may be entered elsewhere than it was made
        self._training.settle()
        self._was_entered = True
        self._training.evaluation = self
        self._outside = len(self._publisher.lifecycle.open_scopes)
        self._emit_or_abort(f"before_{self._stage}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_open():  # held by a generator, it has outlived what was around it
            return
        if error is not None and not isinstance(error, GeneratorExit):
            self._publisher.abort(error, keep=self._outside)
        else:
            self._emit_or_abort(f"after_{self._stage}")

    def batches(self, loader: Iterable[B]) -> Generator[B]:
        """Iterate over a loader; each batch is an iteration, and the whole an epoch.

        Raises:
            LoopError: Outside of the ``with`` block.

        Source: LIFE-06, LIFE-07.
        """
        self._check_open("batches")
        self._publisher.emit(f"before_{self._stage}_epoch")
        self._has_metrics = False
        self._pass = this_pass = object()
        return self._iterate(loader, this_pass)

    def metrics(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """End the epoch and publish its metrics: a scalar if it is one, otherwise an info.

        Args:
            values: Metrics by name.
            more: Further ones.

        Raises:
            LoopError: If this epoch has its metrics already, if a name is given twice, or outside of the
                ``with`` block.

        Source: SCALAR-06, SCALAR-07, SCALAR-09.
        """
        self._check_open("metrics")
        named = named_values("metrics", values, more)
        if self._has_metrics:
            raise LoopError(
                f"metrics() was called already for this {self._stage}: give all metrics in one call, "
                "or iterate over batches() in between"
            )
        if not self._publisher.lifecycle.is_open(f"{self._stage}_epoch"):
            self._publisher.emit(f"before_{self._stage}_epoch")
        self._has_metrics = True
        self._pass = None
        self._publisher.emit(f"after_{self._stage}_epoch", metrics=named)

    def _iterate(self, loader: Iterable[B], this_pass: object) -> Generator[B]:
        for batch_idx, batch in enumerate(loader):
            self._check_current(this_pass)
            self._publisher.emit(f"before_{self._stage}_iter", batch_idx=batch_idx, data_batch=batch)
            yield batch
            self._check_current(this_pass)
            self._publisher.emit(f"after_{self._stage}_iter")

    def _emit_or_abort(self, event: str) -> None:
        """Publish an event; should a hook raise, whoever handles that is outside of this evaluation."""
        try:
            self._publisher.emit(event)
        except BaseException as error:
            self._publisher.abort(error, keep=self._outside)
            raise

    def _is_open(self) -> bool:
        return self._training.evaluation is self and self._training.is_open(self._stage)

    def _check_open(self, method: str) -> None:
        if not self._is_open():
            raise LoopError(f"{method}() belongs inside `with loop.{self._stage}() as {self._stage}:`")

    def _check_current(self, this_pass: object) -> None:
        if this_pass is not self._pass or not self._is_open():
            raise LoopError(
                f"this pass over the {self._stage} batches is over: its metrics were given, or it has been "
                "left. Call batches() again for another one"
            )
