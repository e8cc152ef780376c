from __future__ import annotations

import copy
import importlib.util
import inspect
from typing import Any

from simple_trainer import correct

from runtimeinfo import RuntimeInfoHook
from runtimeinfo.authoring import Dispatcher
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_conformance import Plan, Subject
from runtimeinfo_conformance.observation._execution import execute
from runtimeinfo_conformance.observation._user_hooks import make_hook, observer_of


class Diary:
    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def note(self, event: str, runner: Any, arguments: Any) -> None:
        self.told.append((event, arguments))


def test_a_hook_hears_each_event_with_its_arguments() -> None:
    diary = Diary()
    dispatcher = Dispatcher([make_hook(diary.note, "LOW")])
    for event, arguments in HOOK_POINTS.items():
        dispatcher.dispatch(event, None, **dict.fromkeys(arguments, 7))
    assert diary.told == [(event, dict.fromkeys(arguments, 7)) for event, arguments in HOOK_POINTS.items()]


def test_the_observer_of_a_hook_is_found_also_in_a_copy() -> None:
    diary = Diary()
    hook = make_hook(diary.note, "LOW")
    assert observer_of(hook) is observer_of(copy.copy(hook)) is diary
    assert observer_of(RuntimeInfoHook()) is observer_of(object()) is None


def test_no_hook_of_a_subject_tells_that_it_is_of_the_kit() -> None:
    given: list[Any] = []

    def run(plan: Plan, hooks: Any) -> object:
        given.extend(hook for hook in hooks if not isinstance(hook, RuntimeInfoHook))
        return correct().run(plan, hooks)

    execute(Subject("any", "1", run=run), Plan())
    assert len(given) == 6
    for hook in given:
        kind = type(hook)
        assert kind.__mro__ == (kind, object)
        methods = [getattr(hook, event) for event in HOOK_POINTS]
        for module in (kind.__module__, *(method.__module__ for method in methods)):
            assert not module.startswith("runtimeinfo")
        for method in methods:
            assert "conformance" not in inspect.unwrap(method).__code__.co_filename
        assert kind.__module__ == "__main__" or importlib.util.find_spec(kind.__module__.partition(".")[0]) is None
        assert set(vars(hook)) == {"priority", "write"}


def test_the_classes_and_places_of_hooks_differ_between_runs() -> None:
    names: set[tuple[str, ...]] = set()
    places: set[int] = set()

    def run(plan: Plan, hooks: Any) -> None:
        names.add(tuple(type(hook).__name__ for hook in hooks))
        places.add(next(index for index, hook in enumerate(hooks) if getattr(hook, "priority", None) == "LOWEST"))

    for order in range(12):
        execute(Subject("any", "1", run=run), Plan(hook_order=order))
    assert len(names) > 6
    assert len(places) > 2
