from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimeinfo import HookError, LifecycleError, Priority, RuntimeInfoHook
from runtimeinfo.authoring import Dispatcher, PriorityLike
from runtimeinfo.spec import HOOK_POINTS


class Recorder:
    """A hook which notes the calls it gets."""

    def __init__(self, calls: list[Any], name: object = None, priority: PriorityLike = "NORMAL") -> None:
        self.calls, self.name, self.priority = calls, name, priority

    def before_run(self, runner: object) -> None:
        self.calls.append(self.name)

    def after_val_epoch(self, runner: object, metrics: object) -> None:
        self.calls.append((runner, metrics))


class WithoutPriority:
    def before_run(self, runner: object) -> None: ...


@given(st.lists(st.integers(0, 100) | st.sampled_from(Priority) | st.sampled_from([p.name for p in Priority])))
def test_hooks_run_by_priority_then_as_registered(priorities: list[PriorityLike]) -> None:
    calls: list[Any] = []
    dispatcher = Dispatcher(Recorder(calls, index, priority) for index, priority in enumerate(priorities))
    dispatcher.dispatch("before_run", None)
    ranks = [Priority[p].value if isinstance(p, str) else int(p) for p in priorities]
    assert calls == sorted(range(len(priorities)), key=lambda index: (ranks[index], index))
    assert [hook.name for hook in dispatcher.hooks] == calls  # type: ignore[attr-defined]


def test_a_hook_without_a_priority_is_normal() -> None:
    low, plain, high = Recorder([], priority="BELOW_NORMAL"), WithoutPriority(), Recorder([], priority="ABOVE_NORMAL")
    assert Dispatcher([low, plain, high]).hooks == (high, plain, low)


def test_the_priority_given_wins_over_the_hooks_own() -> None:
    dispatcher = Dispatcher([first := Recorder([], priority="HIGH")])
    dispatcher.register(second := Recorder([], priority="LOWEST"), "HIGHEST")
    dispatcher.register(third := Recorder([], priority="LOWEST"), priority=0)
    assert dispatcher.hooks == (second, third, first)


def test_the_information_hook_runs_before_every_hook_of_a_later_level() -> None:
    others = [Recorder([], priority=level) for level in Priority if level > Priority.VERY_HIGH]
    assert isinstance(Dispatcher([*others, RuntimeInfoHook()]).hooks[0], RuntimeInfoHook)


def test_the_runner_and_the_arguments_arrive() -> None:
    calls: list[Any] = []
    runner, metrics = object(), {"accuracy": 1.0}
    Dispatcher([Recorder(calls)]).dispatch("after_val_epoch", runner, metrics=metrics)
    assert calls == [(runner, metrics)]
    assert calls[0][1] is metrics


@pytest.mark.parametrize("dispatcher", [Dispatcher(), Dispatcher([WithoutPriority()])], ids=["empty", "one hook"])
def test_an_event_that_nobody_listens_to_is_no_error(dispatcher: Dispatcher) -> None:
    for point in HOOK_POINTS:
        dispatcher.dispatch(point, None)


@pytest.mark.parametrize("hooks", [(), (WithoutPriority(),)], ids=["empty", "one hook"])
@pytest.mark.parametrize("event", ["before_lunch", "priority", "", "__init__"])
def test_an_unknown_event_raises(hooks: tuple[object, ...], event: str) -> None:
    with pytest.raises(LifecycleError, match=re.escape(f"there is no event {event!r}")) as caught:
        Dispatcher(hooks).dispatch(event, None)
    assert caught.value.event == event
    assert caught.value.open_scopes == ()


def test_a_hooks_exception_comes_out_unchanged_and_stops_the_others() -> None:
    calls: list[Any] = []
    error = KeyboardInterrupt()

    class Broken:
        def before_run(self, runner: object) -> None:
            raise error

    dispatcher = Dispatcher([Recorder(calls, "first"), Broken(), Recorder(calls, "last")])
    with pytest.raises(KeyboardInterrupt) as caught:
        dispatcher.dispatch("before_run", None)
    assert caught.value is error
    assert calls == ["first"]


def test_a_hook_may_register_another_one_while_it_runs() -> None:
    calls: list[Any] = []

    class Registers:
        def before_run(self, runner: object) -> None:
            dispatcher.register(Recorder(calls, "new", "HIGHEST"))

    dispatcher = Dispatcher([Registers(), Recorder(calls, "old")])
    dispatcher.dispatch("before_run", None)
    assert calls == ["old"]
    dispatcher.dispatch("before_run", None)
    assert calls == ["old", "new", "old"]


@pytest.mark.parametrize("priority", ["urgent", 101, -1, None, 1.5, True], ids=repr)
def test_a_wrong_priority_of_a_hook_is_refused(priority: Any) -> None:
    dispatcher = Dispatcher([first := WithoutPriority()])
    hook = Recorder([], priority=priority)
    with pytest.raises(HookError, match=r"^Recorder\.priority: .*\[ORDER-01\]$") as caught:
        dispatcher.register(hook)
    assert caught.value.hook is hook
    assert dispatcher.hooks == (first,)


@pytest.mark.parametrize("hook", [object(), None, Recorder], ids=["no hook point", "None", "a class"])
def test_wrong_hook_is_refused_and_hooks_are_unchanged(hook: object) -> None:
    calls: list[Any] = []
    dispatcher = Dispatcher([first := Recorder(calls, "first")])
    with pytest.raises(HookError, match="ORDER-03"):
        dispatcher.register(hook)
    dispatcher.dispatch("before_run", None)
    assert dispatcher.hooks == (first,)
    assert calls == ["first"]


def test_dispatch_to_all_goes_on_after_a_hook_that_raises():
    heard = []

    class Hook:
        def __init__(self, name, error=None):
            self.name, self.error = name, error

        def after_run(self, runner):
            heard.append((self.name, runner))
            if self.error is not None:
                raise self.error

    errors = [ValueError("one"), KeyboardInterrupt("two")]
    dispatcher = Dispatcher([Hook("a", errors[0]), Hook("b", errors[1]), Hook("c")])
    assert dispatcher.dispatch_to_all("after_run", 7) == errors
    assert heard == [("a", 7), ("b", 7), ("c", 7)]
    assert dispatcher.dispatch_to_all("before_run", 7) == []
    with pytest.raises(LifecycleError, match="there is no event 'before_lunch'"):
        dispatcher.dispatch_to_all("before_lunch", 7)
