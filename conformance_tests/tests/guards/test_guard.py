from __future__ import annotations

import math
import os
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance.guards import Exited, Guard, Hung


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_hang_seconds_must_be_positive_and_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="hang_seconds must be positive and finite, but is"):
        Guard(hang_seconds=seconds)


@pytest.mark.parametrize("error", [ValueError("mine"), StopIteration(3), GeneratorExit(), KeyboardInterrupt()])
def test_an_exception_comes_out_unchanged(guard: Guard, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, guard.watching() as watch:
        raise error
    assert caught.value is error
    assert watch.problem is None


def tamper() -> None:
    MessageHub.update_info = None  # type: ignore[method-assign,assignment]


def test_the_worst_of_several_problems_is_reported(impatient: Guard) -> None:
    def run(*, hang: bool) -> None:
        tamper()
        try:
            os._exit(1)
        except Exited:
            if hang:
                time.sleep(1000)

    before: Any = MessageHub.update_info
    with pytest.raises(Hung), impatient.watching() as watch:
        run(hang=True)
    assert watch.problem is not None
    assert watch.problem.kind == "hang"
    assert MessageHub.update_info is before
    with impatient.watching() as watch:
        run(hang=False)
    assert watch.problem is not None
    assert watch.problem.kind == "exit"
    assert MessageHub.update_info is before


@pytest.mark.usefixtures("short_grace")
def test_a_patch_is_worse_than_a_thread(guard: Guard) -> None:
    stop = threading.Event()

    def run() -> None:
        tamper()
        threading.Thread(target=stop.wait).start()

    for _ in range(2):
        with guard.watching():
            pass
    with guard.watching() as watch:
        run()
    stop.set()
    assert watch.problem is not None
    assert watch.problem.kind == "tampering"
    for thread in guard.leftover_threads():
        thread.join()


def test_a_watch_can_be_entered_by_an_exit_stack(impatient: Guard) -> None:
    watch = impatient.watching()

    def run() -> None:
        with ExitStack() as stack:
            assert stack.enter_context(watch) is watch
            print("one", end="")
            time.sleep(1000)

    with pytest.raises(Hung):
        run()
    assert watch.printed == "one"
    assert watch.problem is not None
    assert "in run" in str(watch.problem)
