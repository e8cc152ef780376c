"""Guarded classes of adapters: what leaves a method of the framework is what comes out, whatever ours do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from runtimeinfo_adapters.autopublish import AutopublishWarning
from runtimeinfo_adapters.autopublish._guard import Part
from runtimeinfo_adapters.autopublish._guarded import guarded


class Adapter:
    def __init__(self) -> None:
        self.before: Callable[[], object] = list
        self.after: Callable[[], object] = list
        self.heard = 0

    def on_event(self) -> None:
        self.heard += 1
        self.before()

    def _around(self, owner: object, method: Callable[..., Any], *args: Any) -> Any:
        self.before()
        try:
            result = method(*args)
        except TypeError as error:
            original = error.__context__ or error
        else:
            self.after()
            return result
        raise original


for function in (Adapter.on_event, Adapter._around):
    function.__module__ = "runtimeinfo_adapters.of_a_test"  # only those of adapters are guarded


@pytest.fixture
def part() -> Part:
    return Part("the test")


@pytest.fixture
def adapter(part: Part) -> Any:
    return guarded(Adapter, part, {"_around": 1}, {}, (__name__, "GuardedAdapter"))()


def fail() -> None:
    raise RuntimeError("ours")


def interrupt() -> None:
    raise KeyboardInterrupt


def double(number: int) -> int:
    return 2 * number


def test_method_is_called_through_the_adapter(adapter: Any, part: Part) -> None:
    adapter.on_event()
    assert adapter._around(None, double, 3) == 6
    assert adapter.heard == 1
    assert part.is_active


@pytest.mark.parametrize("when", ["before", "after"])
def test_error_around_a_method_withdraws_and_the_method_is_called_once(adapter: Any, part: Part, when: str) -> None:
    calls: list[int] = []
    setattr(adapter, when, fail)
    with pytest.warns(AutopublishWarning, match="RuntimeError: ours"):
        assert adapter._around(None, lambda number: calls.append(number) or 7, 3) == 7
    assert calls == [3]
    assert not part.is_active
    assert adapter._around(None, double, 3) == 6
    adapter.on_event()
    assert adapter.heard == 0


def test_error_at_an_event_withdraws(adapter: Any, part: Part) -> None:
    adapter.before = fail
    with pytest.warns(AutopublishWarning, match="RuntimeError: ours"):
        adapter.on_event()
    assert not part.is_active


def test_error_of_the_method_comes_out(adapter: Any, part: Part) -> None:
    def method() -> None:
        raise ValueError("the script's")

    with pytest.raises(ValueError, match="the script's"):
        adapter._around(None, method)
    assert part.is_active


def test_error_of_the_method_comes_out_although_the_adapter_raises_what_led_to_it(adapter: Any, part: Part) -> None:
    def method() -> None:
        try:
            raise ValueError("at first")
        except ValueError:
            raise TypeError("the framework's") from None

    with pytest.raises(TypeError, match="the framework's"):
        adapter._around(None, method)
    assert part.is_active


def test_interrupt_in_the_adapter_comes_out(adapter: Any, part: Part) -> None:
    adapter.before = interrupt
    with pytest.raises(KeyboardInterrupt) as caught:
        adapter._around(None, double, 3)
    assert [each for each in caught.traceback if each.path.name == "_guarded.py"] == []
    assert part.is_active


def test_signature_of_the_method_can_be_read_by_the_adapter(part: Part) -> None:
    class Reading:
        def _around(self, owner: object, method: Callable[..., Any], *args: Any) -> Any:
            return list(inspect.signature(method).parameters)

    Reading._around.__module__ = "runtimeinfo_adapters.of_a_test"
    reading = guarded(Reading, part, {"_around": 1}, {}, (__name__, "GuardedReading"))()
    assert reading._around(None, double) == ["number"]
