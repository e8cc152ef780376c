"""To which run a worker process belongs, at any time: faults that random schedules have shown."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from runtimeinfo import current_hub, use_hub
from runtimeinfo_adapters import MessageHub


def ask() -> Any:
    return current_hub().get_info("experiment_name")


@pytest.fixture
def hubs() -> list[MessageHub]:
    return [MessageHub(name, runtime_info={"experiment_name": name}) for name in ("first", "second", "third")]


class Child:
    """A forked process that answers each time it is asked."""

    def __init__(self, answer: Callable[[], Any] = ask) -> None:
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            while os.read(questions, 1) == b"?":
                os.write(answers, pickle.dumps(answer()).ljust(200, b"\0"))
            os._exit(0)
        os.close(questions)
        os.close(answers)

    def ask(self) -> Any:
        os.write(self._questions, b"?")
        return pickle.loads(os.read(self._answers, 200))

    def end(self) -> None:
        os.write(self._questions, b".")
        os.waitpid(self._pid, 0)
        os.close(self._questions)
        os.close(self._answers)


@contextmanager
def forked(answer: Callable[[], Any] = ask) -> Generator[Child]:
    child = Child(answer)
    try:
        yield child
    finally:
        child.end()


def test_worker_that_asks_only_after_its_run_is_told_nothing(hubs: list[MessageHub]) -> None:
    with ExitStack() as stack:
        with use_hub(hubs[0]):
            child = stack.enter_context(forked())
        assert child.ask() is None
        with use_hub(hubs[1]):
            assert child.ask() is None


def test_worker_forked_by_a_task_belongs_to_the_run_of_the_task(hubs: list[MessageHub]) -> None:
    def training() -> Iterator[None]:
        with use_hub(hubs[1]):
            yield

    async def train() -> Any:
        with use_hub(hubs[0]):
            suspended = training()
            next(suspended)
            with forked() as child:
                return child.ask()

    assert asyncio.run(train()) == "first"


def test_worker_from_before_any_run_is_told_nothing_once_two_runs_were_there(hubs: list[MessageHub]) -> None:
    with use_hub(hubs[0]):
        pass
    with forked() as child:
        with use_hub(hubs[0]):  # not for the first time, but it is the only run since
            assert child.ask() == "first"
            with use_hub(hubs[1]):
                assert child.ask() is None
            assert child.ask() is None
        with use_hub(hubs[0]):
            assert child.ask() is None


def test_worker_from_before_any_run_follows_a_hub_that_is_entered_again(hubs: list[MessageHub]) -> None:
    with forked() as child:
        for _ in ("fit", "validate"):
            with use_hub(hubs[0]), use_hub(hubs[0]):
                assert child.ask() == "first"
            assert child.ask() is None


def test_main_thread_of_a_worker_is_not_told_of_a_run_of_another_thread(hubs: list[MessageHub]) -> None:
    def train_in_a_thread() -> list[Any]:
        entered, asked = threading.Event(), threading.Event()

        def train() -> None:
            with use_hub(hubs[1]):
                entered.set()
                asked.wait(10)

        thread = threading.Thread(target=contextvars.Context().run, args=(train,))
        thread.start()
        entered.wait(10)
        answers = [ask()]
        asked.set()
        thread.join()
        return [*answers, ask()]

    with use_hub(hubs[0]), forked(train_in_a_thread) as child:
        assert child.ask() == [None, "first"]
    with forked(train_in_a_thread) as child:  # works for no run
        assert child.ask() == ["second", None]


def test_worker_is_started_outside_of_any_run_where_a_generator_was_closed_elsewhere(hubs: list[MessageHub]) -> None:
    def training() -> Iterator[None]:
        with use_hub(hubs[0]):
            yield

    generator = training()
    next(generator)
    contextvars.Context().run(generator.close)  # type: ignore[attr-defined]
    with forked() as child, use_hub(hubs[1]):
        assert child.ask() == "second"


def train_and_ask(answers: Any) -> None:
    with use_hub(MessageHub("own", runtime_info={"experiment_name": "own"})):
        answers.put(ask())
    answers.put(ask())


def test_spawned_worker_that_trains_before_it_asks_belongs_to_the_run_that_started_it(hubs: list[MessageHub]) -> None:
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.SimpleQueue()
    with use_hub(hubs[0]):
        worker = spawn.Process(target=train_and_ask, args=(answers,))
        worker.start()
        assert [answers.get(), answers.get()] == ["own", "first"]
        worker.join()
