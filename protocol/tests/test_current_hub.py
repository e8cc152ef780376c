from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runtimeinfo import InfoReader, MissingScalarError, current_hub, use_hub
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


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    nobody = current_hub()
    yield
    assert current_hub() is nobody
    assert in_a_thread(current_hub) is nobody


def test_where_nobody_publishes_every_info_is_its_default() -> None:
    assert current_hub().get_info("epoch") is None
    assert current_hub().get_info("epoch", 4) == 4
    assert isinstance(current_hub(), InfoReader)
    assert "no run is publishing" in repr(current_hub())


def test_where_nobody_publishes_a_scalar_is_missing() -> None:
    with pytest.raises(MissingScalarError, match=r"no scalar 'train/loss'.*\[HUB-07\]") as caught:
        current_hub().get_scalar("train/loss")
    assert caught.value.key == "train/loss"


def test_the_innermost_hub_is_the_current_one(hubs: list[MessageHub]) -> None:
    outer, inner, _ = hubs
    with use_hub(outer):
        with use_hub(inner):
            assert current_hub() is inner
        assert current_hub() is outer


def test_a_hub_is_left_when_an_exception_comes_out(hubs: list[MessageHub]) -> None:
    with pytest.raises(KeyboardInterrupt), use_hub(hubs[0]):
        raise KeyboardInterrupt


def test_one_hub_may_be_entered_twice(hubs: list[MessageHub]) -> None:
    hub, other, _ = hubs
    with use_hub(hub), use_hub(other):
        with use_hub(hub):
            assert current_hub() is hub
        assert current_hub() is other


def test_scopes_may_be_left_in_any_order(hubs: list[MessageHub]) -> None:
    scopes = [use_hub(hub) for hub in hubs]
    for scope in scopes:
        scope.__enter__()
    seen = []
    for index in (0, 2, 1):
        scopes[index].__exit__(None, None, None)
        seen.append((current_hub(), in_a_thread(current_hub)))
    nobody = current_hub()
    assert seen == [(hubs[2], hubs[2]), (hubs[1], hubs[1]), (nobody, nobody)]


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
    assert current_hub() is second
    inner.__exit__(None, None, None)


def test_a_helper_thread_sees_the_hub_of_the_process(hubs: list[MessageHub]) -> None:
    with use_hub(hubs[0]), use_hub(hubs[1]):
        assert in_a_thread(current_hub) is hubs[1]


def test_a_thread_with_its_own_run_sees_its_own_hub(hubs: list[MessageHub]) -> None:
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
        seen_here, seen_elsewhere = current_hub(), in_a_thread(current_hub)
        looked.set()
        thread.join()
        assert seen_here is mine
        assert seen_elsewhere is others
        assert in_a_thread(current_hub) is mine


def test_tasks_have_a_hub_each(hubs: list[MessageHub]) -> None:
    async def train(hub: MessageHub) -> bool:
        with use_hub(hub):
            await asyncio.sleep(0)
            return current_hub() is hub

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
    assert in_a_thread(current_hub) is hubs[0]
    generator.close()  # type: ignore[attr-defined]
    assert in_a_thread(current_hub) is not hubs[0]
