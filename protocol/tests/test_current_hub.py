from __future__ import annotations

import _thread
import asyncio
import contextvars
import copy
import pickle
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pluggy
import pytest

import runtimeinfo
from runtimeinfo import HubError, InfoReader, MissingScalarError, current_hub, use_hub
from runtimeinfo._scopes import ignore_generators
from runtimeinfo.authoring import enter_again, resolve_hub
from runtimeinfo_adapters import MessageHub


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Return what the function returns in a thread which has inherited no context, as in CPython < 3.14."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(contextvars.Context().run(function)))
    thread.start()
    thread.join()
    return answers[0]


@pytest.fixture
def hubs() -> list[MessageHub]:
    return [MessageHub(f"hub {index}") for index in range(3)]


@pytest.fixture
def no_run() -> InfoReader:
    return resolve_hub()


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    before = resolve_hub()
    yield
    assert resolve_hub() is before
    assert in_a_thread(resolve_hub) is before


def test_unpublished_info_is_its_default() -> None:
    assert current_hub().get_info("epoch") is None
    assert current_hub().get_info("epoch", 4) == 4
    assert isinstance(current_hub(), InfoReader)
    assert "no run is publishing" in repr(current_hub())


def test_unpublished_scalar_is_missing() -> None:
    with pytest.raises(MissingScalarError, match=r"no scalar 'train/loss'.*\[HUB-07\]") as caught:
        current_hub().get_scalar("train/loss")
    assert caught.value.key == "train/loss"


def test_the_innermost_hub_is_the_current_one(hubs: list[MessageHub]) -> None:
    outer, inner, _ = hubs
    with use_hub(outer):
        with use_hub(inner):
            assert resolve_hub() is inner
        assert resolve_hub() is outer


def test_a_hub_is_left_when_an_exception_comes_out(hubs: list[MessageHub]) -> None:
    with pytest.raises(KeyboardInterrupt), use_hub(hubs[0]):
        raise KeyboardInterrupt


def test_one_hub_may_be_entered_twice(hubs: list[MessageHub]) -> None:
    hub, other, _ = hubs
    with use_hub(hub), use_hub(other):
        with use_hub(hub):
            assert resolve_hub() is hub
        assert resolve_hub() is other


def test_scopes_may_be_left_in_any_order(hubs: list[MessageHub]) -> None:
    scopes = [use_hub(hub) for hub in hubs]
    for scope in scopes:
        scope.__enter__()
    seen = []
    for index in (0, 2, 1):
        scopes[index].__exit__(None, None, None)
        seen.append((resolve_hub(), in_a_thread(resolve_hub)))
    no_run = resolve_hub()
    # While two are open, a helper thread cannot know which one it works for.
    assert seen == [(hubs[2], no_run), (hubs[1], hubs[1]), (no_run, no_run)]


def test_equal_hubs_are_told_apart_by_identity() -> None:
    class EqualToAll:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = EqualToAll(), EqualToAll()
    outer, inner = use_hub(first), use_hub(second)  # type: ignore[arg-type]
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert resolve_hub() is second
    inner.__exit__(None, None, None)


def test_helper_thread_sees_the_only_hub_of_the_process(hubs: list[MessageHub], no_run: InfoReader) -> None:
    with use_hub(hubs[0]):
        assert in_a_thread(resolve_hub) is hubs[0]
        with use_hub(hubs[0]):
            assert in_a_thread(resolve_hub) is hubs[0]
        with use_hub(hubs[1]):
            assert in_a_thread(resolve_hub) is no_run


def test_helper_thread_that_has_served_another_run_knows_of_none(hubs: list[MessageHub], no_run: InfoReader) -> None:
    with ThreadPoolExecutor(1) as old, ThreadPoolExecutor(1) as new:
        with use_hub(hubs[0]):
            assert old.submit(resolve_hub).result() is hubs[0]
        with use_hub(hubs[0]):  # the same hub: the run goes on
            assert old.submit(resolve_hub).result() is hubs[0]
        with use_hub(hubs[1]):
            assert old.submit(resolve_hub).result() is no_run
            assert new.submit(resolve_hub).result() is hubs[1]
        with use_hub(hubs[0]):
            assert [pool.submit(resolve_hub).result() for pool in (old, new)] == [no_run, no_run]


def test_thread_of_another_library_is_answered_by_the_only_run(hubs: list[MessageHub], no_run: InfoReader) -> None:
    asked, answered = threading.Semaphore(0), threading.Semaphore(0)
    answers: list[InfoReader] = []

    def answer() -> None:
        while asked.acquire():
            answers.append(resolve_hub())
            answered.release()
            if len(answers) == 3:
                return

    def ask() -> InfoReader:
        asked.release()
        assert answered.acquire(timeout=10)
        return answers[-1]

    _thread.start_new_thread(answer, ())  # as C++ code starts one: `threading` does not know it
    with use_hub(hubs[0]):
        assert ask() is hubs[0]
    with use_hub(hubs[1]):
        assert ask() is hubs[1]
        with use_hub(hubs[2]):
            assert ask() is no_run


def test_helper_thread_of_one_of_two_runs_is_told_that_its_run_is_not_known(hubs: list[MessageHub]) -> None:
    def ask() -> str:
        with pytest.raises(
            MissingScalarError, match=r"not known to which of the open runs .* contextvars.copy_context"
        ):
            current_hub().get_scalar("train/loss")
        return repr(current_hub())

    with use_hub(hubs[0]), use_hub(hubs[1]):
        assert in_a_thread(ask).startswith(
            "<current hub: <no hub: not known to which of the open runs this code belongs"
        )
    assert "no run is publishing" in repr(current_hub())


def test_a_thread_with_its_own_run_sees_its_own_hub(hubs: list[MessageHub], no_run: InfoReader) -> None:
    mine, others, _ = hubs
    entered, looked = threading.Event(), threading.Event()

    def train() -> None:
        with use_hub(others):
            entered.set()
            looked.wait(10)

    thread = threading.Thread(target=train)
    with use_hub(mine):
        thread.start()
        entered.wait(10)
        seen_here, seen_elsewhere = resolve_hub(), in_a_thread(resolve_hub)
        looked.set()
        thread.join()
        assert seen_here is mine
        assert seen_elsewhere is no_run
        assert in_a_thread(resolve_hub) is mine


def test_tasks_have_a_hub_each(hubs: list[MessageHub]) -> None:
    async def train(hub: MessageHub) -> bool:
        with use_hub(hub):
            await asyncio.sleep(0)
            return resolve_hub() is hub

    async def train_all() -> list[bool]:
        return await asyncio.gather(*map(train, hubs))

    assert asyncio.run(train_all()) == [True] * 3


def test_a_generator_may_be_closed_in_another_context(hubs: list[MessageHub]) -> None:
    def batches() -> Iterator[int]:
        with use_hub(hubs[0]):
            yield 0

    generator = batches()
    context = contextvars.copy_context()
    context.run(next, generator)
    assert in_a_thread(resolve_hub) is hubs[0]
    generator.close()  # type: ignore[attr-defined]
    assert in_a_thread(resolve_hub) is not hubs[0]


# -- contexts that outlive their run


def test_copied_context_answers_for_its_run_and_for_nothing_after_it(
    hubs: list[MessageHub], no_run: InfoReader
) -> None:
    with use_hub(hubs[0]):
        context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        ask = pool.submit
        assert ask(context.run, resolve_hub).result() is no_run
        with use_hub(hubs[1]):
            assert ask(context.run, resolve_hub).result() is no_run
            # Code of the later run calls it, and is answered by that run.
            assert context.run(resolve_hub) is hubs[1]
        with use_hub(hubs[0]):  # entered again, by other code
            assert ask(context.run, resolve_hub).result() is no_run


def test_copied_context_answers_for_its_own_run_while_another_one_is_nested(
    hubs: list[MessageHub], no_run: InfoReader
) -> None:
    with use_hub(hubs[0]), ThreadPoolExecutor(1) as pool:
        context = contextvars.copy_context()
        with use_hub(hubs[1]):
            nested = contextvars.copy_context()
            assert pool.submit(context.run, resolve_hub).result() is hubs[0]
        assert pool.submit(context.run, resolve_hub).result() is hubs[0]
        assert pool.submit(nested.run, resolve_hub).result() is no_run


def test_task_that_outlives_its_run_answers_nothing(hubs: list[MessageHub], no_run: InfoReader) -> None:
    async def ask_until(end: asyncio.Event, answers: list[InfoReader]) -> None:
        while not end.is_set():
            answers.append(resolve_hub())
            await asyncio.sleep(0)

    async def train_in_sequence() -> list[InfoReader]:
        end, answers = asyncio.Event(), list[InfoReader]()
        for hub in hubs[:2]:
            with use_hub(hub):
                if hub is hubs[0]:
                    task = asyncio.create_task(ask_until(end, answers))
                await asyncio.sleep(0.001)
                assert resolve_hub() is hub
        end.set()
        await task
        return answers

    answers = asyncio.run(train_in_sequence())
    assert answers[0] is hubs[0]
    assert hubs[1] not in answers
    assert answers[-1] is no_run


# -- generators that one thread steps in turn


def training(hub: MessageHub, steps: int = 3) -> Generator[InfoReader]:
    with use_hub(hub):
        for _ in range(steps):
            before = resolve_hub()
            yield before
            assert resolve_hub() is before  # after the others had their turn


def test_generators_in_turn_have_their_own_hub_each(hubs: list[MessageHub]) -> None:
    for _ in range(2):
        turns = [list(turn) for turn in zip(*map(training, hubs), strict=True)]
        assert turns == [hubs] * 3


def test_driver_of_several_suspended_generators_is_in_no_run(hubs: list[MessageHub], no_run: InfoReader) -> None:
    first, second = training(hubs[0]), training(hubs[1])
    assert next(first) is hubs[0]
    assert next(second) is hubs[1]
    assert resolve_hub() is no_run
    with use_hub(hubs[2]):
        assert resolve_hub() is hubs[2]
        assert next(first) is hubs[0]
        assert resolve_hub() is hubs[2]
    second.close()
    assert next(first) is hubs[0]
    first.close()


def test_code_around_a_suspended_generator_has_its_own_hub(hubs: list[MessageHub]) -> None:
    with use_hub(hubs[0]):
        inner = training(hubs[1])
        assert next(inner) is hubs[1]
        assert resolve_hub() is hubs[0]
        assert list(inner) == [hubs[1]] * 2
        assert resolve_hub() is hubs[0]


def test_generator_that_serves_as_a_context_manager_is_at_work_meanwhile(hubs: list[MessageHub]) -> None:
    @contextmanager
    def run(hub: MessageHub) -> Iterator[None]:
        with use_hub(hub):
            yield

    class Run:
        def __enter__(self) -> None:
            self._entered = run(hubs[2])
            self._entered.__enter__()

        def __exit__(self, *_: object) -> None:
            self._entered.__exit__(None, None, None)

    def nested() -> Iterator[InfoReader]:
        with run(hubs[0]):
            with run(hubs[1]):
                yield resolve_hub()
                with Run():
                    yield resolve_hub()
            yield resolve_hub()

    with use_hub(hubs[2]):
        assert list(nested()) == [hubs[1], hubs[2], hubs[0]]


def test_scope_that_a_handler_opens_outlives_the_generator_of_its_framework(hubs: list[MessageHub]) -> None:
    def run(handler: Callable[[], object]) -> Iterator[None]:
        handler()
        yield

    ignore_generators(run)
    with use_hub(hubs[0]), ExitStack() as stack:
        for _ in run(lambda: stack.enter_context(use_hub(hubs[1]))):
            assert resolve_hub() is hubs[1]
        assert resolve_hub() is hubs[1]


@pytest.fixture
def outer_hub(hubs: list[MessageHub]) -> Iterator[MessageHub]:
    with use_hub(hubs[0]):
        yield hubs[0]


@pytest.fixture
def inner_hub(hubs: list[MessageHub], outer_hub: MessageHub) -> Iterator[MessageHub]:
    with use_hub(hubs[1]):
        yield hubs[1]
    assert resolve_hub() is outer_hub


def test_fixture_of_pytest_is_at_work_while_a_test_runs(hubs: list[MessageHub], inner_hub: MessageHub) -> None:
    assert resolve_hub() is inner_hub
    with use_hub(hubs[2]):
        assert resolve_hub() is hubs[2]
    assert resolve_hub() is inner_hub


def test_hook_wrapper_of_pytest_is_at_work_while_the_hook_runs(hubs: list[MessageHub]) -> None:
    class Plugin:
        def __init__(self, hub: MessageHub) -> None:
            self.hub = hub

        @pluggy.HookimplMarker("runtimeinfo")(wrapper=True)
        def call(self) -> Generator[None, list[InfoReader], list[InfoReader]]:
            with use_hub(self.hub):
                found = yield
            return [resolve_hub(), *found]

    class Called:
        @pluggy.HookimplMarker("runtimeinfo")
        def call(self) -> InfoReader:
            return resolve_hub()

    manager = pluggy.PluginManager("runtimeinfo")
    for plugin in (Called(), Plugin(hubs[1]), Plugin(hubs[0])):  # the last one is called first
        manager.register(plugin)
    with use_hub(hubs[2]):
        assert manager.hook.call() == [hubs[2], hubs[0], hubs[1]]


def test_tasks_of_a_loop_that_runs_in_a_generator_have_a_hub_each(hubs: list[MessageHub], no_run: InfoReader) -> None:
    async def train(hub: MessageHub) -> list[InfoReader]:
        with use_hub(hub):
            await asyncio.sleep(0.001)
            return [resolve_hub(), await asyncio.create_task(ask())]

    async def ask() -> InfoReader:
        return resolve_hub()

    async def ask_later() -> InfoReader:
        await asyncio.sleep(0.002)
        return resolve_hub()

    async def train_both() -> list[Any]:
        with use_hub(hubs[2]):
            late = asyncio.create_task(ask_later())
        return list(await asyncio.gather(train(hubs[0]), train(hubs[1]), late))

    def generator() -> Iterator[list[Any]]:
        yield asyncio.run(train_both())
        with use_hub(hubs[2]):
            yield [resolve_hub(), asyncio.run(ask()), *asyncio.run(train_both())]

    found = [[hubs[0]] * 2, [hubs[1]] * 2, no_run]
    with use_hub(hubs[1]):
        suspended = training(hubs[0])
        next(suspended)
        assert list(generator()) == [found, [hubs[2]] * 2 + found]
        suspended.close()


def test_hubs_that_take_turns_in_a_generator(hubs: list[MessageHub]) -> None:
    def generator() -> Iterator[InfoReader]:
        with use_hub(hubs[0]), use_hub(hubs[1]):
            for hub in hubs[:2] * 2:
                enter_again(hub)
                yield resolve_hub()

    assert list(generator()) == hubs[:2] * 2


def test_hubs_that_take_turns_in_nested_generators_that_another_thread_goes_on_with(hubs: list[MessageHub]) -> None:
    def turns() -> Iterator[InfoReader]:
        for hub in hubs[:2] * 2:
            yield resolve_hub()
            enter_again(hub)
            yield resolve_hub()

    def inner() -> Iterator[InfoReader]:
        with use_hub(hubs[1]):
            yield from turns()

    def generator() -> Iterator[InfoReader]:
        with use_hub(hubs[0]):
            yield from inner()
            yield resolve_hub()

    stepped = generator()
    assert next(stepped) is hubs[1]
    old = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        found = [pool.submit(next, stepped).result() for _ in range(2)]
        found += [pool.submit(old.run, next, stepped).result(), next(stepped)]
        found += [pool.submit(next, stepped).result() for _ in range(4)]
    assert [found[0], found[2], found[4], found[6]] == hubs[:2] * 2
    assert found[7] is hubs[0]


def test_generator_that_another_thread_goes_on_with_keeps_its_hub(hubs: list[MessageHub]) -> None:
    generators = [training(hub) for hub in hubs[:2]]
    assert [next(each) for each in generators] == hubs[:2]
    with ThreadPoolExecutor(1) as pool:
        assert [pool.submit(next, each).result() for each in generators] == hubs[:2]
    for each in generators:
        each.close()


def test_enter_again_makes_a_hub_the_innermost_one(hubs: list[MessageHub]) -> None:
    with use_hub(hubs[0]), use_hub(hubs[1]):
        enter_again(hubs[0])
        assert resolve_hub() is hubs[0]
        enter_again(hubs[1])
        assert resolve_hub() is hubs[1]
        enter_again(hubs[2])  # it is not open
        assert resolve_hub() is hubs[1]
        enter_again(hubs[0])


def test_only_generator_is_at_work_in_a_thread_that_has_served_another_run(
    hubs: list[MessageHub], no_run: InfoReader
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with use_hub(hubs[0]):
            assert pool.submit(resolve_hub).result() is hubs[0]
            ended = contextvars.copy_context()
        generator = training(hubs[1])
        assert next(generator) is hubs[1]
        assert pool.submit(next, generator).result() is hubs[1]
        assert pool.submit(ended.run, next, generator).result() is hubs[1]
        assert pool.submit(resolve_hub).result() is no_run
        generator.close()


def test_copied_context_does_not_tell_whether_a_generator_or_its_driver_made_the_copy(
    hubs: list[MessageHub], no_run: InfoReader
) -> None:
    def train() -> Iterator[contextvars.Context]:
        with use_hub(hubs[0]):
            while True:
                yield contextvars.copy_context()

    with ThreadPoolExecutor(1) as pool:
        generator = train()
        next(generator)
        with use_hub(hubs[1]):
            copies = [next(generator), contextvars.copy_context()]
            assert [pool.submit(each.run, resolve_hub).result() for each in copies] == [no_run] * 2
            copies[0].run(generator.close)  # type: ignore[attr-defined]
            assert [pool.submit(each.run, resolve_hub).result() for each in copies] == [no_run] * 2
            assert resolve_hub() is hubs[1]
            generator = train()
            copies = [next(generator)]
            assert pool.submit(copies[0].run, resolve_hub).result() is no_run
            assert resolve_hub() is hubs[1]
            generator.close()  # type: ignore[attr-defined]


def test_copied_context_answers_for_the_inner_one_of_two_runs_in_one_generator(hubs: list[MessageHub]) -> None:
    def train() -> Iterator[contextvars.Context]:
        with use_hub(hubs[0]), use_hub(hubs[1]):
            yield contextvars.copy_context()

    with ThreadPoolExecutor(1) as pool:
        generator = train()
        assert pool.submit(next(generator).run, resolve_hub).result() is hubs[1]
        generator.close()  # type: ignore[attr-defined]


def test_loop_that_another_thread_steps_does_not_take_the_hub_from_the_code_around_it(hubs: list[MessageHub]) -> None:
    def trainings() -> Iterator[InfoReader]:
        with use_hub(hubs[0]), use_hub(hubs[1]):
            while True:
                enter_again(hubs[0])
                yield resolve_hub()

    def step() -> list[InfoReader]:
        with use_hub(hubs[2]):
            return [next(generator), resolve_hub()]

    generator = trainings()
    next(generator)
    assert in_a_thread(step) == [hubs[0], hubs[2]]
    generator.close()  # type: ignore[attr-defined]


def test_generator_that_is_closed_elsewhere_does_not_take_the_hub_from_the_code_around_it(
    hubs: list[MessageHub],
) -> None:
    def step() -> list[InfoReader]:
        generator = training(hubs[1])
        next(generator)
        in_a_thread(generator.close)
        return [resolve_hub(), in_a_thread(resolve_hub)]

    with use_hub(hubs[0]):
        context = contextvars.copy_context()
        assert step() == [hubs[0]] * 2
        assert in_a_thread(lambda: context.run(step)) == [hubs[0]] * 2


def test_copied_context_stays_that_of_its_run_after_another_run_in_it(
    hubs: list[MessageHub], no_run: InfoReader
) -> None:
    def train() -> InfoReader:
        with use_hub(hubs[2]):
            assert resolve_hub() is hubs[2]
        return resolve_hub()

    with use_hub(hubs[0]):
        with use_hub(hubs[1]):
            context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(context.run, train).result() is no_run
            assert pool.submit(context.run, resolve_hub).result() is no_run


def test_context_of_an_outer_run_is_called_by_a_nested_one(hubs: list[MessageHub]) -> None:
    with use_hub(hubs[0]):
        generator = training(hubs[1])
        next(generator)
        context = contextvars.copy_context()
        with use_hub(hubs[2]):
            assert context.run(resolve_hub) is hubs[2]
        generator.close()


def test_context_that_outlives_its_run_is_called_by_a_generator(hubs: list[MessageHub]) -> None:
    with use_hub(hubs[0]):
        context = contextvars.copy_context()

    def train() -> Iterator[InfoReader]:
        with use_hub(hubs[1]):
            yield context.run(resolve_hub)

    assert list(train()) == [hubs[1]]


# -- what is kept


def test_kept_hub_follows_the_run_in_which_it_is_used(hubs: list[MessageHub]) -> None:
    before = current_hub()
    for number, hub in enumerate(hubs):
        hub.update_info("epoch", number)
        hub.update_scalar("train/loss", number)
    with use_hub(hubs[1]):
        during = current_hub()
        kept = [before, during, copy.copy(during), copy.deepcopy(during), pickle.loads(pickle.dumps(during))]
        assert [each.get_info("epoch") for each in kept] == [1] * 5
        assert [each.get_scalar("train/loss").current() for each in kept] == [1] * 5
        assert repr(during) == f"<current hub: {hubs[1]!r}>"
    assert [each.get_info("epoch") for each in kept] == [None] * 5
    with use_hub(hubs[2]):
        assert [each.get_info("epoch") for each in kept] == [2] * 5


def test_component_publishes_to_the_run_in_which_it_works(hubs: list[MessageHub]) -> None:
    hub = current_hub()
    assert isinstance(hub, runtimeinfo.MessageHub)
    for _ in ("outside of any run, where nothing happens", "after one"):
        hub.update_info("mine", 1)
        hub.update_info_dict({"mine": 1})
        hub.update_scalar("train/mine", 1)
        hub.update_scalars({"train/mine": 1})
        assert (hub.runtime_info, hub.log_scalars, hub.pop_info("mine", 5)) == ({}, {}, 5)
        with pytest.raises(HubError, match=r"no run is publishing here.*has no state_dict\(\)"):
            hub.state_dict()
        with use_hub(hubs[0]):
            hub.update_info("mine", 3)
            hub.update_info_dict({"other": 4})
            hub.update_scalar("train/mine", 0.5, count=2)
            hub.update_scalars({"train/mine": 0.25})
            assert hub.runtime_info == {"mine": 3, "other": 4}
            assert hub.log_scalars["train/mine"] is hubs[0].get_scalar("train/mine")
            assert hub.get_scalar("train/mine").current() == 0.25
            state = hub.state_dict()
            assert (hub.pop_info("mine"), hub.pop_info("mine", 6)) == (3, 6)
            hub.load_state_dict(state)
            assert hubs[0].get_info("mine") == 3


class _Reader:
    def get_info(self, key: str, default: Any = None) -> Any:
        return default

    def get_scalar(self, key: str) -> Any:
        raise KeyError(key)

    def __repr__(self) -> str:
        return "<a reader>"


def test_publishing_to_a_hub_that_can_only_be_read_is_an_error() -> None:
    with use_hub(_Reader()), pytest.raises(HubError, match=r"<a reader> has no update_info\(\): use it in a run"):
        current_hub().update_info("mine", 1)


def test_entering_what_current_hub_returned_enters_the_hub_itself(hubs: list[MessageHub], no_run: InfoReader) -> None:
    with use_hub(hubs[0]):
        outer = current_hub()
        with use_hub(outer):
            assert resolve_hub() is hubs[0]
    with use_hub(outer):
        assert resolve_hub() is no_run
        assert outer.get_info("epoch", 7) == 7
