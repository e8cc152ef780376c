from __future__ import annotations

import signal
import threading

import pytest

from runtimeinfo_conformance.guards import Guard


def test_a_handler_that_is_left_behind_is_put_back(guard: Guard) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with guard.watching() as watch:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)
    assert watch.problem is None


def test_ctrl_c_comes_out_of_a_run(guard: Guard) -> None:
    # A shell lets what it starts in the background ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), guard.watching() as watch:
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert watch.problem is None


def test_in_another_thread_there_is_nothing_to_put_back(guard: Guard) -> None:
    def run() -> None:
        with guard.watching() as watch:
            print("one", end="")
        printed.append(watch.printed)

    printed: list[str] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert printed == ["one"]
