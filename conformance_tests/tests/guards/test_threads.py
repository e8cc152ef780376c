from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runtimeinfo_conformance.guards import Guard, Watch


class Stop(threading.Event):
    def begin_thread(self, **arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=wait_for_stop, args=(self,), **arguments)
        thread.start()
        return thread


def wait_for_stop(stop: threading.Event) -> None:
    stop.wait()


@pytest.fixture
def stop() -> Generator[Stop]:
    before = set(threading.enumerate())
    stop = Stop()
    yield stop
    stop.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()


@pytest.fixture
def used(guard: Guard) -> Guard:
    for _ in range(2):
        watched(guard, lambda: None)
    return guard


def watched(guard: Guard, run: Callable[[], object]) -> Watch:
    with guard.watching() as watch:
        run()
    return watch


def test_a_thread_that_is_left_alive_is_a_problem(used: Guard, stop: Stop) -> None:
    watch = watched(used, lambda: stop.begin_thread(name="poller"))
    assert watch.problem is not None
    assert watch.problem.kind == "threads"
    assert f"the thread 'poller' with the target {__name__}.wait_for_stop" in str(watch.problem)
    assert "keeps the process from ending" in str(watch.problem)
    assert [thread.name for thread in used.leftover_threads()] == ["poller"]
    assert watched(used, lambda: None).problem is None  # the next run has nothing to do with it


def test_it_has_left_none_once_they_are_over(used: Guard, stop: Stop) -> None:
    thread = None

    def run() -> None:
        nonlocal thread
        thread = stop.begin_thread()

    watched(used, run)
    stop.set()
    assert thread is not None
    thread.join()
    assert used.leftover_threads() == []


def test_what_a_framework_builds_in_its_first_runs_is_none_of_ours(guard: Guard, stop: Stop) -> None:
    for _ in range(2):
        assert watched(guard, lambda: stop.begin_thread(name="built once")).problem is None
    assert [thread.name for thread in guard.leftover_threads()] == ["built once"] * 2
    assert watched(guard, stop.begin_thread).problem is not None


def test_a_daemon_is_no_problem_but_remembered(used: Guard, stop: Stop) -> None:
    assert watched(used, lambda: stop.begin_thread(name="prefetch", daemon=True)).problem is None
    assert used.daemon_threads == {"prefetch"}
    assert used.leftover_threads() == []


def test_a_thread_that_is_about_to_end_gets_its_time(used: Guard) -> None:
    def run() -> None:
        threading.Thread(target=time.sleep, args=(0.2,)).start()

    assert watched(used, run).problem is None
    assert used.leftover_threads() == []


def test_a_timer_is_named_by_its_function(used: Guard) -> None:
    timer = threading.Timer(1000, wait_for_stop)
    watch = watched(used, timer.start)
    timer.cancel()
    timer.join()
    assert f"{__name__}.wait_for_stop" in str(watch.problem)


def test_a_thread_of_ones_own_class_is_named_by_it(used: Guard, stop: Stop) -> None:
    class Poller(threading.Thread):
        def run(self) -> None:
            stop.wait()

    assert "Poller.run" in str(watched(used, Poller().start).problem)


def test_a_pool_that_was_there_before_may_grow(used: Guard, stop: Stop) -> None:
    with ThreadPoolExecutor(max_workers=3) as pool:
        pool.submit(stop.wait)
        assert watched(used, lambda: pool.submit(stop.wait)).problem is None
        stop.set()


def test_a_pool_that_nobody_shuts_down_is_a_problem(used: Guard) -> None:
    kept: list[ThreadPoolExecutor] = []

    def run() -> None:
        pool = ThreadPoolExecutor(thread_name_prefix="saver")
        pool.submit(int).result()
        kept.append(pool)

    watch = watched(used, run)
    kept[0].shutdown()
    assert "'saver_0' of an executor that was not shut down" in str(watch.problem)


def test_a_pool_that_dies_with_its_runner_is_none(used: Guard) -> None:
    class Runner:
        def __init__(self) -> None:
            self.itself = self  # only the garbage collector ends it
            self.pool = ThreadPoolExecutor()

    gc.disable()
    try:
        assert watched(used, lambda: Runner().pool.submit(int).result()).problem is None
    finally:
        gc.enable()


def test_what_was_there_before_the_run_is_none_of_its(used: Guard, stop: Stop) -> None:
    stop.begin_thread()
    assert watched(used, lambda: None).problem is None
    assert used.leftover_threads() == []
