"""One small training for all sinks."""

from __future__ import annotations

import os
import pty
import termios
import threading
from collections.abc import Callable, Iterable, Iterator
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
                        evaluation.log_metrics(**val)
            if test is not None:
                with loop.test() as evaluation:
                    evaluation.log_metrics(**test)
        return loop

    return run


@pytest.fixture
def terminal() -> Iterator[tuple[Any, Callable[[], list[str]]]]:
    """A real terminal of 120 columns, and a function that closes it and returns the lines that were drawn on it."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 120))
    shown: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                shown.append(os.read(ours, 65536))
            except OSError:  # the other side is closed
                return

    listener = threading.Thread(target=listen)
    listener.start()
    file = os.fdopen(theirs, "w")

    def drawn() -> list[str]:
        file.close()
        listener.join()
        return b"".join(shown).decode().replace("\r\n", "\n").split("\n")

    yield file, drawn
    drawn()
    os.close(ours)
