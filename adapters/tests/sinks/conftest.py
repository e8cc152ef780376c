"""One small training for all sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from runtimeinfo_adapters.pytorch import Loop

Train = Callable[..., Loop[Any]]


@pytest.fixture(autouse=True)
def _first_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)


@pytest.fixture
def train() -> Train:
    """Return a function that trains: each batch is a dict of what is logged; an exception in its place is raised."""

    def run(
        hooks: Iterable[object],
        *epochs: list[Any],
        val: dict[str, Any] | None = None,
        test: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> Loop[Any]:
        batches = iter([batch for epoch in epochs for batch in epoch])
        loop: Loop[Any] = Loop(
            train_loader=range(len(epochs[0]) if epochs else 0), max_epochs=len(epochs), hooks=hooks, **arguments
        )
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    batch = next(batches)
                    if isinstance(batch, BaseException):
                        raise batch
                    loop.log(**batch)
                if val is not None:
                    with loop.val() as evaluation:
                        evaluation.metrics(**val)
            if test is not None:
                with loop.test() as evaluation:
                    evaluation.metrics(**test)
        return loop

    return run
