from __future__ import annotations

import copy
import gc
import inspect
import multiprocessing
import pickle
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from runtimeinfo import LifecycleError, RunnerError, current_hub
from runtimeinfo import MessageHub as AnyHub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo.spec import Lifecycle
from runtimeinfo_adapters import FrameworkRunner, MessageHub
from runtimeinfo_adapters._adapter import (
    HubInForce,
    Target,
    WrappedMethod,
    adapter_around,
    check_target,
    wrap_method,
    wrapped_methods,
)


class Trainer:
    """Stands for a trainer of a framework: it counts its steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.callbacks: list[Any] = []

    def fit(self, steps: int = 1, *, loud: bool = False) -> int:
        """Train."""
        self.steps += steps
        return self.steps + loud

    @staticmethod
    def version() -> str:
        return "1.0"


class Adapter:
    """Stands for an adapter: it notes the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def around(self, owner: Trainer, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls.append((owner.steps, args, kwargs))
        return original(*args, **kwargs)

    def around_as(self, name: str, owner: Trainer, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls.append((name,))
        return original(*args, **kwargs)


def attached() -> tuple[Trainer, Adapter]:
    trainer, adapter = Trainer(), Adapter()
    trainer.callbacks.append(adapter)
    wrap_method(trainer, "fit", adapter.around)
    return trainer, adapter


def through_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


both_ways = pytest.mark.parametrize("clone", [copy.deepcopy, through_pickle])


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_call_goes_through_the_adapter_with_its_arguments_and_result() -> None:
    trainer, adapter = attached()
    assert trainer.fit(2, loud=True) == 3
    assert adapter.calls == [(0, (2,), {"loud": True})]


def test_a_wrapped_method_looks_like_the_method() -> None:
    trainer, _ = attached()
    assert inspect.signature(trainer.fit) == inspect.signature(Trainer().fit)
    assert trainer.fit.__name__ == "fit"
    assert trainer.fit.__self__ is trainer
    wrap_method(trainer, "version", Adapter().around)
    assert trainer.version() == "1.0"


@both_ways
def test_a_copy_trains_itself_and_has_its_own_adapter(clone: Callable[[Any], Any]) -> None:
    trainer, adapter = attached()
    trainer.fit()
    twin = clone(trainer)
    assert twin.fit(5) == 6
    assert (trainer.steps, twin.steps) == (1, 6)
    assert len(adapter.calls) == 1
    (own,) = twin.callbacks
    assert own is not adapter
    assert own.calls[1:] == [(1, (5,), {})]
    assert adapter_around(twin, "fit") is own


@both_ways
def test_a_partial_of_an_adapters_method_is_copied_as_well(clone: Callable[[Any], Any]) -> None:
    trainer, adapter = Trainer(), Adapter()
    wrap_method(trainer, "fit", partial(adapter.around_as, "fit"))
    twin = clone(trainer)
    twin.fit()
    assert adapter.calls == []
    assert adapter_around(twin, "fit").calls == [("fit",)]


@both_ways
def test_a_method_that_is_copied_alone_keeps_its_owner(clone: Callable[[Any], Any], no_collector: None) -> None:
    trainer, adapter = attached()
    fit = clone(trainer.fit)
    assert fit(3) == 3
    assert fit(1) == 4
    assert trainer.steps == 0
    assert adapter.calls == []


def test_a_method_can_be_the_target_of_a_spawned_process() -> None:
    trainer, _ = attached()
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(trainer.fit, (7,)) == 7
    assert trainer.steps == 0


def test_the_owner_is_freed_by_reference_counting(no_collector: None) -> None:
    trainer, _ = attached()
    trainer.fit()
    method, gone = trainer.fit, weakref.ref(trainer)
    del trainer
    assert gone() is None
    with pytest.raises(ReferenceError, match=r"fit\(\) belongs to an object that was freed: keep a reference to it"):
        method()


def test_remove_leaves_the_owner_as_it_was() -> None:
    trainer = Trainer()
    before = dict(vars(trainer))
    wrapped = wrap_method(trainer, "fit", Adapter().around)
    wrapped.remove()
    wrapped.remove()
    assert vars(trainer) == before


def test_a_method_that_was_replaced_on_the_instance_is_called_and_restored() -> None:
    trainer, adapter = Trainer(), Adapter()

    def own(steps: int = 1) -> int:
        return -steps

    trainer.fit = own
    wrapped = wrap_method(trainer, "fit", adapter.around)
    assert trainer.fit(4) == -4
    assert len(adapter.calls) == 1
    wrapped.remove()
    assert trainer.fit is own


def test_under_the_wrapper_of_another_it_passes_calls_on_once_removed() -> None:
    trainer, adapter = attached()
    inner = trainer.fit

    def outer(*args: Any) -> Any:
        return inner(*args)

    outer.__dict__["__wrapped__"] = inner
    trainer.fit = outer
    (found,) = wrapped_methods(trainer, "fit")
    assert found is inner
    found.remove()
    assert trainer.fit is outer
    assert trainer.fit(2) == 2
    assert adapter.calls == []
    assert list(wrapped_methods(trainer, "fit")) == []
    assert adapter_around(trainer, "fit") is None


def test_it_is_found_under_a_wrapper_that_hides_it() -> None:
    trainer, adapter = attached()
    inner = trainer.fit
    trainer.fit = lambda *args: inner(*args)
    assert adapter_around(trainer, "fit") is adapter
    assert list(wrapped_methods(trainer, "other")) == []
    (found,) = wrapped_methods(trainer, "fit")
    found.remove()
    assert trainer.fit(2) == 2
    assert adapter.calls == []
    assert list(wrapped_methods(trainer, "fit")) == []


def test_an_owner_is_not_taken_for_one_that_equals_it() -> None:
    class Equal(Trainer):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        def __hash__(self) -> int:
            return 0

    first, second = Equal(), Equal()
    adapter = Adapter()
    wrap_method(first, "fit", adapter.around)
    assert list(wrapped_methods(second, "fit")) == []
    assert adapter_around(first, "fit") is adapter
    wrap_method(second, "fit", adapter.around)
    kept = first.fit
    del first
    assert [each.belongs_to(second) for each in wrapped_methods(second, "fit")] == [True]
    assert not kept.belongs_to(second)


def test_two_adapters_are_found_outermost_first() -> None:
    trainer, first = attached()
    second = Adapter()
    wrap_method(trainer, "fit", second.around)
    assert [each.adapter for each in wrapped_methods(trainer, "fit")] == [second, first]
    trainer.fit()
    assert len(first.calls) == len(second.calls) == 1


def test_missing_method_is_named() -> None:
    trainer = Trainer()
    with pytest.raises(AttributeError, match=r"Trainer has no train\(\)"):
        WrappedMethod(trainer, "train", Adapter().around)()


def test_a_target_follows_a_copy_that_is_made_together_with_it() -> None:
    trainer = Trainer()
    pair = [trainer, Target(trainer)]
    twin, target = copy.deepcopy(pair)
    assert target() is twin
    assert copy.deepcopy(pair[1])() is None
    assert through_pickle(pair[1])() is None
    assert Target()() is None


def test_a_target_without_weak_references_is_held() -> None:
    slotted = type("Slotted", (), {"__slots__": ()})()
    assert Target(slotted)() is slotted


@both_ways
def test_a_copy_of_a_hub_in_force_is_not_in_force(clone: Callable[[Any], Any]) -> None:
    hub, in_force = MessageHub("in-force"), HubInForce()
    in_force.enter(hub)
    twin = clone(in_force)
    assert (in_force.is_in_force, twin.is_in_force) == (True, False)
    twin.leave()
    assert resolve_hub() is hub
    in_force.leave()
    in_force.leave()
    assert resolve_hub() is not hub


def test_entering_another_hub_takes_the_place_of_the_first() -> None:
    first, second, in_force = MessageHub("first"), MessageHub("second"), HubInForce()
    before = resolve_hub()
    in_force.enter(first)
    in_force.enter(second)
    assert resolve_hub() is second
    in_force.leave()
    assert resolve_hub() is before


class Runner(FrameworkRunner):
    framework_name, framework_version = "plain", "1.0"


def test_a_runner_has_a_hub_of_its_own_unless_it_is_given_one() -> None:
    assert Runner(experiment_name="digits").message_hub.instance_name == "digits"
    assert Runner().message_hub.instance_name == "plain"
    hub: AnyHub = MessageHub("given")
    assert Runner(hub=hub).message_hub is hub


@pytest.mark.parametrize(
    ("name", "hint"), [("sed", ": did you mean 'seed'?"), ("lr", "; it takes hub, hooks, cfg, seed, experiment_name")]
)
def test_a_keyword_that_is_not_an_option_is_named(name: str, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        Runner(**{name: 1})
    assert str(caught.value) == f"Runner got an unexpected keyword argument {name!r}{hint}"


def test_missing_members_of_a_target_are_listed() -> None:
    with pytest.raises(RunnerError, match="Trainer has no _loop, _state, which this adapter relies on"):
        check_target(Trainer(), Trainer, "a Trainer", ("steps", "_loop", "_state"))
    with pytest.raises(RunnerError, match=r"attach\(\) takes a Trainer, but got int"):
        check_target(3, Trainer, "a Trainer")


def test_an_abort_that_ends_nothing_leaves_a_run_that_an_exception_has_left_as_it_was() -> None:
    lifecycle = Lifecycle()
    lifecycle.feed("before_val")
    lifecycle.advance("on_exception")
    assert lifecycle.abort(keep=2) == ()
    assert [step.event for step in lifecycle.feed("before_val")] == ["after_val", "before_val"]


class EndRun:
    """Ends the run as soon as it has begun."""

    priority = "LOWEST"

    def before_run(self, runner: Runner) -> None:
        runner.emitter.emit("after_run")


def test_a_hook_that_moves_the_run_while_its_beginning_is_made_up_is_told_so() -> None:
    emitter = Runner(hooks=[EndRun()]).emitter
    with pytest.raises(LifecycleError, match="before_val is illegal here: it must come directly inside 'run'"):
        emitter.emit("before_val_iter")
    assert emitter.lifecycle.open_scopes == ()


class BeginAnother:
    """Begins another iteration of a validation while one closes."""

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        runner.emitter.emit("before_val_iter", batch_idx=batch_idx + 1)


class Closes:
    """Notes the number of each iteration of a validation that closes."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.heard.append(batch_idx)


def test_every_hook_hears_the_close_of_an_iteration_with_its_own_number() -> None:
    closes = Closes()
    emitter = Runner(hooks=[BeginAnother(), closes]).emitter
    emitter.emit("before_val_iter", batch_idx=7)
    emitter.emit("after_val_iter")
    assert closes.heard == [7]


def nth(number: int) -> Callable[[Any], Any]:
    """Return a decorator as users write them: what it makes has a name of its own."""

    def decorate(function: Any) -> Any:
        def inner(self: Any, runner: Runner) -> None:
            if runner.emitter.iter % number == 0:
                function(self, runner)

        return inner

    return decorate


class Decorated:
    """Has a method that a decorator has made, and one under two names."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @nth(1)
    def before_run(self, runner: Runner) -> None:
        self.heard.append("before_run")

    def before_val(self, runner: Runner) -> None:
        self.heard.append("before a validation or a test")

    before_test = before_val


class Overriding(Decorated):
    """Overrides one of the two names."""

    def before_val(self, runner: Runner) -> None:
        self.heard.append("before_val")


@both_ways
def test_the_methods_of_a_copied_hook_are_those_of_its_hook_points(clone: Callable[[Any], Any]) -> None:
    runner = Runner(hooks=[Overriding()])
    twin = clone(runner)
    for each in (runner, twin):
        for event in ("before_run", "before_val", "before_test"):
            each.emitter.emit(event)
        assert each.emitter.dispatcher.hooks[-1].heard == ["before_run", "before_val", "before a validation or a test"]


# -- The hub of each training


class View(FrameworkRunner):
    framework_name, framework_version = "plain", "1.0"


def test_each_training_from_the_start_gets_its_own_hub() -> None:
    view = View(experiment_name="folds")
    first = view.message_hub
    first.update_info("note", 1)
    view.renew_hub()
    assert view.message_hub is first  # no run has published to it
    with view.running():
        first.update_scalar("train/loss", 1.0)
    view.renew_hub()
    second = view.message_hub
    assert second is not first
    assert (second.instance_name, dict(second.log_scalars), second.get_info("note")) == ("folds", {}, None)
    assert list(first.log_scalars) == ["train/loss"]
    with view.running():
        assert current_hub().get_info("experiment_name") == "folds"


def test_a_hub_that_was_given_stays() -> None:
    hub = MessageHub("mine")
    view = View(hub=hub)
    for _ in range(2):
        view.renew_hub()
        with view.running():
            hub.update_scalar("train/loss", 1.0)
    assert view.message_hub is hub
    assert hub.get_scalar("train/loss").data[0].tolist() == [1.0, 1.0]
