"""The kinds of faults: what can happen to an event between a runner and a hook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtimeinfo import RuntimeInfoHook
from runtimeinfo.spec import ABORT, FREE_EVENTS
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault
from runtimeinfo_conformance.plans import Plan

Shown = Callable[[Plan, Any], dict[str, Any]]
"""What is shown in place of the truth: called with the plan and the runner."""


class ShownRunner:
    """A runner that shows something else in place of some members."""

    def __init__(self, runner: Any, **members: Any) -> None:
        self.__dict__.update(members)
        self.__dict__["_runner"] = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


class RunnerWithout(ShownRunner):
    """A runner that lacks a member."""

    def __init__(self, runner: Any, missing: str) -> None:
        super().__init__(runner)
        self.__dict__["_missing"] = missing

    def __getattr__(self, name: str) -> Any:
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._runner, name)


def drop(*events: str, only: type | None = None, after: int = 0) -> MakeFault:
    """Let events not arrive, from the n-th on; at all hooks, or at those of one class."""

    def make(_: Plan, hook: object) -> Fault:
        arrived = 0

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            nonlocal arrived
            if event in events and (only is None or isinstance(hook, only)):
                arrived += 1
                if arrived > after:
                    return None
            return call(runner, given)

        return fault

    return make


def double(event_twice: str) -> MakeFault:
    """Let an event arrive twice."""

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        call(runner, given)
        return call(runner, given) if event == event_twice else None

    return lambda _plan, _hook: fault


def show(change: Shown, *events: str, only: type | None = None) -> MakeFault:
    """Show another runner at some events, or at all."""

    def make(plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if (not events or event in events) and (only is None or isinstance(hook, only)):
                runner = ShownRunner(runner, **change(plan, runner))
            return call(runner, given)

        return fault

    return make


def hide(member: str) -> MakeFault:
    """Show a runner without a member."""
    return lambda _plan, _hook: lambda _event, call, runner, given: call(RunnerWithout(runner, member), given)


def give(event_changed: str, argument: str, change: Callable[[Any], Any]) -> MakeFault:
    """Give another argument."""

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if event == event_changed:
            given = {**given, argument: change(given.get(argument))}
        return call(runner, given)

    return lambda _plan, _hook: fault


def stale(event_changed: str, argument: str) -> MakeFault:
    """Give the argument of the time before."""

    def make(_plan: Plan, _hook: object) -> Fault:
        last: Any = None

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            nonlocal last
            if event == event_changed:
                now, given = given.get(argument), {**given, argument: last if last is not None else given.get(argument)}
                last = now
            return call(runner, given)

        return fault

    return make


def at(then: Fault, *events: str) -> MakeFault:
    """Go wrong only at some events, or at all."""

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if not events or event in events:
            return then(event, call, runner, given)
        return call(runner, given)

    return lambda _plan, _hook: fault


def once_aborting(then: Fault, *, only: type | None = None) -> MakeFault:
    """Go wrong only after on_exception."""

    def make(_plan: Plan, hook: object) -> Fault:
        aborting = False

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            nonlocal aborting
            if event == ABORT:
                aborting = True
            elif aborting and (only is None or isinstance(hook, only)):
                return then(event, call, runner, given)
            return call(runner, given)

        return fault

    return make


def publish(change: Shown, *events: str) -> MakeFault:
    """Publish something else after the hook has published, as if it had been this."""

    def make(plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            result = call(runner, given)
            if event in events and isinstance(hook, RuntimeInfoHook):
                runner.message_hub.update_info_dict(change(plan, runner))
            return result

        return fault

    return make


def publish_twice(values_of: Callable[[Any, dict[str, Any]], dict[str, Any]], event_changed: str) -> MakeFault:
    """Publish scalars once more after the hook has."""

    def make(_plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            result = call(runner, given)
            if event == event_changed and isinstance(hook, RuntimeInfoHook):
                for key, value in values_of(runner, given).items():
                    runner.message_hub.update_scalar(key, value)
            return result

        return fault

    return make


def momentarily(change: Shown, *events: str, shown: bool = True, published: bool = True) -> MakeFault:
    """Let a runner, or its hub, or both say something else at some events, and the truth again at the next."""

    def make(plan: Plan, hook: object) -> Fault:
        to_restore: dict[str, Any] = {}

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            is_first = isinstance(hook, RuntimeInfoHook)
            if is_first:
                _put_back(runner.message_hub, to_restore)
            changed = change(plan, runner) if event in events else {}
            result = call(ShownRunner(runner, **changed) if shown and changed else runner, given)
            if is_first and published:
                for key, value in changed.items():
                    to_restore[key] = getattr(runner, key, runner.message_hub.get_info(key))
                    runner.message_hub.update_info(key, value)
            return result

        return fault

    return make


def _put_back(hub: Any, infos: dict[str, Any]) -> None:
    for key, value in infos.items():
        if value is None:
            hub.pop_info(key)
        else:
            hub.update_info(key, value)
    infos.clear()


def drop_if(lost: Callable[[Plan, str, Any, dict[str, Any]], bool]) -> MakeFault:
    """Let those events not arrive that a function of plan, event, runner and arguments picks out."""

    def make(plan: Plan, _hook: object) -> Fault:
        aborting = False

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            nonlocal aborting
            aborting = aborting or event == ABORT
            return None if not aborting and lost(plan, event, runner, given) else call(runner, given)

        return fault

    return make


def swap(first: str, *, once_aborting: bool = False) -> MakeFault:
    """Let an event arrive after the one that follows it; on request only in an abnormal end."""

    def make(_plan: Plan, _hook: object) -> Fault:
        held: list[Callable[[], object]] = []
        aborting = False

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            nonlocal aborting
            aborting = aborting or event == ABORT
            if event == first and (aborting or not once_aborting):
                held.append(lambda: call(runner, given))
                return None
            result = call(runner, given)
            while held and event not in FREE_EVENTS:
                held.pop()()
            return result

        return fault

    return make


def announce_before(event_changed: str) -> MakeFault:
    """Announce an exception before an event, though there is none."""

    def make(_plan: Plan, hook: Any) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            announce = getattr(hook, ABORT, None)
            if event == event_changed and announce is not None:
                announce(runner, exception=StopIteration("the training is stopped early"))
            return call(runner, given)

        return fault

    return make
