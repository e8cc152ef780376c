from __future__ import annotations

from typing import Any

import pytest

import runtimeinfo
from runtimeinfo import Hook, HookError, RuntimeInfoHook
from runtimeinfo.authoring import hook_methods
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
