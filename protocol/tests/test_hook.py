from __future__ import annotations

import functools
import gc
import inspect
import pickle
import weakref
from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Any, get_args

import pytest

import runtimeinfo
from runtimeinfo import Event, Hook, HookBase, HookError, Priority, RuntimeInfoHook
from runtimeinfo.authoring import Dispatcher, get_priority, hook_methods
from runtimeinfo.spec import EVENTS, HOOK_POINTS


def with_methods(**methods: Any) -> Any:
    return type("Custom", (), methods)()


def test_there_is_a_hook_point_for_every_event() -> None:
    assert tuple(HOOK_POINTS) == EVENTS


@pytest.mark.parametrize(
    ("point", "arguments"),
    [
        ("before_run", ()),
        ("after_run", ()),
        ("after_train_epoch", ()),
        ("before_val_epoch", ()),
        ("after_val_epoch", ("metrics",)),
        ("after_test_epoch", ("metrics",)),
        ("before_train_iter", ("batch_idx", "data_batch")),
        ("after_train_iter", ("batch_idx", "data_batch", "outputs")),
        ("before_val_iter", ("batch_idx", "data_batch")),
        ("after_test_iter", ("batch_idx", "data_batch", "outputs")),
        ("before_save_checkpoint", ("checkpoint",)),
        ("after_load_checkpoint", ("checkpoint",)),
        ("on_exception", ("exception",)),
    ],
)
def test_a_hook_point_has_the_seeds_arguments(point: str, arguments: tuple[str, ...]) -> None:
    assert HOOK_POINTS[point] == arguments


def test_a_hook_point_that_is_implemented_is_found() -> None:
    hook = with_methods(before_run=lambda self, runner: "ran", help=lambda self: None)
    methods = hook_methods(hook)
    assert list(methods) == ["before_run"]
    assert methods["before_run"](None) == "ran"


def test_a_hook_point_that_is_none_is_not_implemented() -> None:
    assert list(hook_methods(with_methods(before_run=None, after_run=lambda self, runner: None))) == ["after_run"]


def test_the_hook_of_this_package_is_one() -> None:
    assert isinstance(RuntimeInfoHook(), Hook)
    assert hook_methods(RuntimeInfoHook()).keys() < HOOK_POINTS.keys()


def test_a_hook_may_be_a_module_like_thing_or_take_anything() -> None:
    def anything(*args: Any, **kwargs: Any) -> None: ...

    hook = with_methods(**dict.fromkeys(HOOK_POINTS, anything))
    assert hook_methods(hook).keys() == HOOK_POINTS.keys()


def test_a_builtin_without_a_signature_is_taken_at_its_word() -> None:
    hook = with_methods()
    hook.before_run = iter  # inspect.signature knows none for it
    assert hook_methods(hook) == {"before_run": iter}


def test_a_hook_without_a_hook_point_is_refused() -> None:
    hook = with_methods(on=1)
    message = r"^Custom has no hook point; it needs at least one of before_run, .*\[ORDER-03\]$"
    with pytest.raises(HookError, match=message) as caught:
        hook_methods(hook)
    assert caught.value.hook is hook
    assert caught.value.point is None


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("before_train_iteration", "before_train_iter"), ("on_exceptions", "on_exception"), ("after_vall", "after_val")],
)
def test_a_misspelt_name_is_pointed_out(misspelt: str, meant: str) -> None:
    with pytest.raises(HookError, match=f"Custom has no hook point; did you mean {meant} for {misspelt}?"):
        hook_methods(with_methods(**{misspelt: lambda self, runner: None}))


@pytest.mark.parametrize(
    ("point", "method", "call"),
    [
        ("before_run", lambda self: None, r"before_run\(runner\)"),
        ("before_run", lambda self, runner, more: None, r"before_run\(runner\)"),
        ("after_val_epoch", lambda self, runner: None, r"after_val_epoch\(runner, metrics=\.\.\.\)"),
        ("before_train_iter", lambda self, runner, batch: None, r"\(runner, batch_idx=\.\.\., data_batch=\.\.\.\)"),
        ("on_exception", lambda self, runner, error: None, r"on_exception\(runner, exception=\.\.\.\)"),
    ],
)  # fmt: skip
def test_a_method_that_cannot_be_called_as_it_will_be_is_refused(point: str, method: Any, call: str) -> None:
    hook = with_methods(**{point: method})
    with pytest.raises(HookError, match=rf"^Custom\.{point}\(.*cannot be called as .*{call}.*\[ORDER-03\]$") as caught:
        hook_methods(hook)
    assert (caught.value.hook, caught.value.point) == (hook, point)


def test_method_is_refused_under_one_point_after_it_was_accepted_under_another() -> None:
    def method(self: object, runner: object) -> None: ...

    for _ in range(2):
        assert hook_methods(with_methods(before_run=method)).keys() == {"before_run"}
        with pytest.raises(HookError, match=r"^Custom\.on_exception\(runner.*cannot be called as on_exception"):
            hook_methods(with_methods(before_run=method, on_exception=method))


def logged(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return wrapper


def of_class() -> Any:
    def before_train_iter(self: object, runner: object, batch_idx: int, data_batch: object) -> None: ...

    return with_methods(before_train_iter=before_train_iter)


def of_instance() -> Any:
    hook = with_methods()
    hook.before_train_iter = lambda runner, *, batch_idx, data_batch=None: None
    return hook


def of_decorator() -> Any:
    return with_methods(before_train_iter=logged(lambda self, runner, *others, **named: None))


@pytest.mark.parametrize("make", [of_class, of_instance, of_decorator])
def test_signatures_of_new_functions_with_known_parameters_are_not_inspected(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_methods(make())
    monkeypatch.setattr(inspect, "signature", None)  # a call would raise
    assert list(hook_methods(make())) == ["before_train_iter"]


def test_a_function_whose_parameters_change_is_checked_again() -> None:
    def before_run(self: object, runner: object, more: object = None) -> None: ...

    def narrow(self: object) -> None: ...

    hook = with_methods(before_run=before_run)
    for attribute, value in (("__defaults__", None), ("__code__", narrow.__code__)):
        assert list(hook_methods(hook)) == ["before_run"]
        before = getattr(before_run, attribute)
        setattr(before_run, attribute, value)
        with pytest.raises(HookError, match=r"^Custom\.before_run.*cannot be called"):
            hook_methods(hook)
        setattr(before_run, attribute, before)
    before_run.__signature__ = inspect.signature(narrow)  # type: ignore[attr-defined]
    with pytest.raises(HookError, match=r"^Custom\.before_run.*cannot be called"):
        hook_methods(hook)


def test_a_keyword_only_parameter_that_loses_its_default_is_noticed() -> None:
    def before_run(self: object, runner: object, *, more: object = None) -> None: ...

    hook = with_methods(before_run=before_run)
    assert list(hook_methods(hook)) == ["before_run"]
    before_run.__kwdefaults__ = None
    with pytest.raises(HookError, match=r"^Custom\.before_run.*cannot be called"):
        hook_methods(hook)


def test_one_function_can_be_callable_as_a_method_and_not_as_a_function() -> None:
    def before_run(first: object, second: object) -> None: ...

    assert list(hook_methods(with_methods(before_run=before_run))) == ["before_run"]
    with pytest.raises(HookError, match=r"^Custom\.before_run.*cannot be called"):
        hook_methods(with_methods(before_run=staticmethod(before_run)))


def test_partials_of_one_function_are_checked_one_by_one() -> None:
    def call(runner: object, more: object) -> None: ...

    hook = with_methods()
    hook.before_run = functools.partial(call, more=1)
    assert list(hook_methods(hook)) == ["before_run"]
    hook.before_run = functools.partial(call)
    with pytest.raises(HookError, match=r"^Custom\.before_run.*cannot be called"):
        hook_methods(hook)


def test_a_decorated_function_is_checked_by_the_one_inside() -> None:
    assert hook_methods(with_methods(before_run=logged(lambda self, runner: None)))
    with pytest.raises(HookError, match=r"^Custom\.before_run\(runner, more\) cannot be called"):
        hook_methods(with_methods(before_run=logged(lambda self, runner, more: None)))


def test_a_function_that_wraps_itself_is_taken_at_its_word() -> None:
    def before_run(self: object, runner: object) -> None: ...

    before_run.__wrapped__ = before_run  # type: ignore[attr-defined]
    assert list(hook_methods(with_methods(before_run=before_run))) == ["before_run"]


def test_hooks_and_their_functions_are_not_kept_alive() -> None:
    def before_run(self: object, runner: object) -> None: ...

    hook = with_methods(before_run=before_run)
    assert hook_methods(hook)
    function = weakref.ref(before_run)
    del hook, before_run
    gc.collect()
    assert function() is None


@pytest.mark.parametrize("value", [3, 0, "", ()], ids=repr)
def test_a_hook_point_that_is_no_method_is_refused(value: object) -> None:
    with pytest.raises(HookError) as caught:
        hook_methods(with_methods(before_run=value))
    remedy = "make it a method, called as before_run(runner) [ORDER-03]"
    assert str(caught.value) == f"Custom.before_run is {value!r}: {remedy}"
    assert caught.value.point == "before_run"


def test_a_class_given_instead_of_its_instance_is_refused() -> None:
    with pytest.raises(HookError, match=r"^RuntimeInfoHook\.before_run\(.*cannot be called"):
        hook_methods(RuntimeInfoHook)


def test_a_class_that_hears_everything_passes_each_hook_point_on() -> None:
    heard: list[tuple[str, object, dict[str, object]]] = []

    @runtimeinfo.authoring.on_any_event(by="note")
    class Diary:
        def note(self, event: str, runner: object, arguments: dict[str, object]) -> None:
            heard.append((event, runner, arguments))

    diary = Diary()
    assert hook_methods(diary).keys() == HOOK_POINTS.keys()
    for point, names in HOOK_POINTS.items():
        arguments: dict[str, object] = {name: f"{point} {name}" for name in names}
        getattr(diary, point)(7, **arguments)
        getattr(diary, point)(7, *arguments.values())
        assert heard[-2:] == [(point, 7, arguments)] * 2


@runtimeinfo.authoring.on_any_event(by="note")
class Failing:
    def note(self, event: str, runner: object, arguments: dict[str, object]) -> None:
        raise KeyError(event)


def test_a_class_that_hears_everything_has_readable_names_in_tracebacks_and_profiles() -> None:
    for point, names in HOOK_POINTS.items():
        method: Any = getattr(Failing, point)
        assert (method.__module__, method.__qualname__) == (__name__, f"Failing.{point}")
        assert (method.__code__.co_name, method.__code__.co_qualname) == (point, f"Failing.{point}")
        assert pickle.loads(pickle.dumps(method)) is method
        with pytest.raises(KeyError) as caught:
            method(Failing(), None, *names)
        assert [frame.name for frame in caught.traceback][-2:] == [point, "note"]


# Those of mmengine 0.10.7; adapters/tests/test_mmengine_structure.py compares with the real ones.
LEVELS = {
    "HIGHEST": 0,
    "VERY_HIGH": 10,
    "HIGH": 30,
    "ABOVE_NORMAL": 40,
    "NORMAL": 50,
    "BELOW_NORMAL": 60,
    "LOW": 70,
    "VERY_LOW": 90,
    "LOWEST": 100,
}


class ForeignPriority(Enum):
    VERY_HIGH = 10
    WORDY = "high"
    TOO_HIGH = 101


class ForeignIntPriority(IntEnum):
    LOW = 70


def test_the_levels_are_the_seeds() -> None:
    assert {level.name: level.value for level in Priority} == LEVELS


@pytest.mark.parametrize(("name", "number"), LEVELS.items())
def test_a_level_goes_by_its_name_in_any_case(name: str, number: int) -> None:
    answers = [get_priority(name), get_priority(name.lower()), get_priority(name.title()), get_priority(Priority[name])]
    assert answers == [number] * 4
    assert {type(answer) for answer in answers} == {int}


@pytest.mark.parametrize("number", [0, 1, 55, 100])
def test_a_number_is_its_own_priority(number: int) -> None:
    assert get_priority(number) == number


def test_another_packages_enum_goes_by_its_value() -> None:
    assert get_priority(ForeignPriority.VERY_HIGH) == 10
    assert type(get_priority(ForeignIntPriority.LOW)) is int
    assert get_priority(ForeignIntPriority.LOW) == 70


@pytest.mark.parametrize("number", [-1, 101, 10**9, ForeignPriority.TOO_HIGH])
def test_a_number_outside_0_to_100_is_refused(number: object) -> None:
    with pytest.raises(ValueError, match=r"a number from 0 to 100$"):
        get_priority(number)


def test_an_unknown_name_is_refused_and_the_levels_are_listed() -> None:
    with pytest.raises(
        ValueError, match=r"unknown priority 'urgent': give a number from 0 to 100, or one of HIGHEST, .*LOWEST$"
    ):
        get_priority("urgent")


@pytest.mark.parametrize(
    "priority", [None, 1.0, True, False, [], pytest.param(object(), id="object"), ForeignPriority.WORDY], ids=repr
)
def test_anything_else_is_refused(priority: object) -> None:
    with pytest.raises(TypeError, match=r"give a level, its name, or a number from 0 to 100$"):
        get_priority(priority)


def test_the_literal_of_events_is_the_spec() -> None:
    assert set(get_args(Event)) == set(EVENTS)


def test_the_base_has_every_hook_point_with_its_arguments() -> None:
    for point, arguments in HOOK_POINTS.items():
        parameters = list(inspect.signature(getattr(HookBase, point)).parameters)
        assert parameters == ["self", "runner", *arguments]


def test_only_what_overrides_the_base_is_called() -> None:
    class PrintEpoch(HookBase):
        def after_val(self, runner: object) -> None: ...

    hook = PrintEpoch()
    assert hook_methods(hook) == {"after_val": hook.after_val}
    assert Dispatcher([hook]).methods["before_run"] == ()


def test_a_hook_that_overrides_nothing_of_the_base_is_refused_and_a_misspelt_name_pointed_out() -> None:
    class Misspelt(HookBase):
        def before_train_epochs(self, runner: object) -> None: ...

    with pytest.raises(HookError, match="did you mean before_train_epoch for before_train_epochs"):
        hook_methods(Misspelt())
    with pytest.raises(HookError, match="HookBase has no hook point; it needs at least one of before_run"):
        hook_methods(HookBase())
