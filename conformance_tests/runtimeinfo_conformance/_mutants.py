"""Faults put into a runner on purpose: the kit has to notice each one, under the right requirement.

A fault sits between the runner and its hooks, so that it can be put into any subject: an event does not arrive,
arrives twice, or shows another runner or other arguments than there are.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from runtimeinfo import ABORT, CLOSES, EVENTS, HOOK_POINTS, RuntimeInfoHook
from runtimeinfo_conformance._plan import Plan, PlannedError
from runtimeinfo_conformance._subject import Subject, testable

Call = Callable[[Any, dict[str, Any]], object]
"""Passes an event on to a hook: called with the runner and the arguments."""

Fault = Callable[[str, Call, Any, dict[str, Any]], object]
"""Stands in the way of an event: called with the event, what passes it on, the runner and the arguments."""

Around = Callable[[Callable[[], object]], object]
"""Stands around a whole run: called with what runs it."""


def _no_fault(_plan: Plan, _hook: object) -> Fault:
    return lambda _event, call, runner, given: call(runner, given)


def _just_run(run: Callable[[], object]) -> object:
    return run()


@dataclass(frozen=True)
class Mutant:
    """A subject with a fault.

    Attributes:
        name: What the fault is.
        requirement: The requirement that it breaks.
        make: Makes the fault for one hook of a run on a plan.
        needs: A capability without which the fault shows nothing, beyond those of the requirement.
        around: A fault in how the run ends, which no hook sees.
    """

    name: str
    requirement: str
    make: Callable[[Plan, object], Fault] = _no_fault
    needs: str | None = None
    around: Around = _just_run

    def fits(self, subject: Subject) -> bool:
        """Tell whether the fault shows in what a subject has declared."""
        return self.requirement in testable(subject) and (self.needs is None or self.needs in subject.capabilities)

    def applied_to(self, subject: Subject) -> Subject:
        """Return the subject with the fault in it."""

        def run(plan: Plan, hooks: Sequence[Any]) -> object:
            relays = [_behind(hook, self.make(plan, hook)) for hook in hooks]
            return self.around(lambda: subject.run(plan, relays))

        return Subject(f"{subject.name} ({self.name})", subject.version, run=run, capabilities=subject.capabilities)


def _behind(hook: Any, fault: Fault) -> Any:
    """Return a copy of a hook, of a subclass of its class, whose events have to pass a fault."""
    kind = cast("type[Any]", type(hook))

    def passing(event: str) -> Any:
        original = getattr(kind, event)

        def method(self: Any, runner: Any, *args: Any, **kwargs: Any) -> object:
            return fault(event, lambda shown, given: original(self, shown, *args, **given), runner, kwargs)

        return method

    methods = {event: passing(event) for event in EVENTS if hasattr(kind, event)}
    relay = copy.copy(hook)
    relay.__class__ = type(kind.__name__, (kind,), methods)
    return relay


class _Shown:
    """A runner of which some members are other than they are."""

    def __init__(self, runner: Any, **members: Any) -> None:
        self.__dict__.update(members)
        self.__dict__["_runner"] = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


class _Without(_Shown):
    """A runner of which a member is missing."""

    def __init__(self, runner: Any, missing: str) -> None:
        super().__init__(runner)
        self.__dict__["_missing"] = missing

    def __getattr__(self, name: str) -> Any:
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._runner, name)


# -- kinds of faults


def _drop(*events: str, only: type | None = None, after: int = 0) -> Callable[[Plan, object], Fault]:
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


def _double(event_twice: str) -> Callable[[Plan, object], Fault]:
    """Let an event arrive twice."""

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        call(runner, given)
        return call(runner, given) if event == event_twice else None

    return lambda _plan, _hook: fault


def _show(
    change: Callable[[Plan, Any], dict[str, Any]], *events: str, only: type | None = None
) -> Callable[[Plan, object], Fault]:
    """Show another runner at some events, or at all."""

    def make(plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if (not events or event in events) and (only is None or isinstance(hook, only)):
                runner = _Shown(runner, **change(plan, runner))
            return call(runner, given)

        return fault

    return make


def _hide(member: str) -> Callable[[Plan, object], Fault]:
    """Show a runner without a member."""
    return lambda _plan, _hook: lambda _event, call, runner, given: call(_Without(runner, member), given)


def _give(event_changed: str, argument: str, change: Callable[[Any], Any]) -> Callable[[Plan, object], Fault]:
    """Give another argument."""

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if event == event_changed:
            given = {**given, argument: change(given.get(argument))}
        return call(runner, given)

    return lambda _plan, _hook: fault


def _stale(event_changed: str, argument: str) -> Callable[[Plan, object], Fault]:
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


def _once_aborting(then: Fault, *, only: type | None = None) -> Callable[[Plan, object], Fault]:
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


def _lose(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    return None if event in CLOSES else call(runner, given)


def _count_it(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    return call(_Shown(runner, iter=runner.iter + 1), given)


def _give_results(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    results = {"outputs", "metrics"}.intersection(HOOK_POINTS[event])
    return call(runner, {**given, **{name: {"half": 0.5} for name in results if event in CLOSES}})


def _swallow(run: Callable[[], object]) -> object:
    try:
        return run()
    except (PlannedError, KeyboardInterrupt):
        return None


def _swallow_interrupts(run: Callable[[], object]) -> object:
    try:
        return run()
    except KeyboardInterrupt:
        return None


def _dress_up(run: Callable[[], object]) -> object:
    try:
        return run()
    except PlannedError as error:
        raise RuntimeError("the training failed") from error


def _without_first(values: Any) -> Any:
    return dict(list(values.items())[1:]) if values else values


def _all_numbers(values: Any) -> Any:
    return (
        {name: 0.5 if isinstance(value, str | list) else value for name, value in values.items()} if values else values
    )


class _HalvedRates:
    """Rates as they will be in the next iteration of a halving schedule."""

    def __init__(self, optim_wrapper: Any) -> None:
        self._optim_wrapper = optim_wrapper

    def get_lr(self) -> dict[str, list[float]]:
        rates = self._optim_wrapper.get_lr()
        return {name: [float(value) / 2 for value in values] for name, values in rates.items()}


def _with_priorities(*priorities: str) -> Callable[[Plan, object], Fault]:
    """Give hooks other priorities; the fault itself is none."""

    def make(_plan: Plan, hook: Any) -> Fault:
        hook.priority = priorities[0] if isinstance(hook, RuntimeInfoHook) else priorities[-1]
        return lambda _event, call, runner, given: call(runner, given)

    return make


def _forget_histories(_plan: Plan, runner: Any) -> dict[str, Any]:
    for key in list(runner.message_hub.log_scalars):
        pop = getattr(runner.message_hub, "pop_scalar", None) or runner.message_hub.log_scalars.pop
        pop(key)
    return {}


# What else than itself a runner may show: of the plan and the runner.


def _iter_ahead(_: Plan, runner: Any) -> dict[str, Any]:
    return {"iter": runner.iter + 1}


def _iter_of_epoch(plan: Plan, runner: Any) -> dict[str, Any]:
    return {"iter": runner.iter % (plan.batches or 1)}


def _iter_of_steps(plan: Plan, runner: Any) -> dict[str, Any]:
    return {"iter": runner.iter // plan.accumulation}


def _epoch_ahead(_: Plan, runner: Any) -> dict[str, Any]:
    return {"epoch": runner.epoch + 1}


def _counters_since_resume(plan: Plan, runner: Any) -> dict[str, Any]:
    return {"iter": runner.iter - plan.start_iteration, "epoch": runner.epoch - plan.start_epoch}


def _huge_where_unknown(plan: Plan, _: Any) -> dict[str, Any]:
    return {"max_iters": plan.max_iters if plan.sized else sys.maxsize}


def _rates_to_come(plan: Plan, runner: Any) -> dict[str, Any]:
    return {"optim_wrapper": _HalvedRates(runner.optim_wrapper)} if plan.schedule else {}


def _dataset_wrapped(_: Plan, runner: Any) -> dict[str, Any]:
    return {"train_dataloader": _Shown(runner.train_dataloader, dataset=object())}


RUNNER_MUTANTS: tuple[Mutant, ...] = (
    Mutant("before_train_epoch comes twice", "LIFE-01", _double("before_train_epoch")),
    Mutant("before_train does not come", "LIFE-01", _drop("before_train")),
    Mutant("before_run does not come", "LIFE-02", _drop("before_run")),
    Mutant("after_run does not come", "LIFE-02", _drop("after_run")),
    Mutant("the second after_train_iter and all later ones do not come", "LIFE-03", _drop("after_train_iter", after=1)),
    Mutant("before_train_iter comes twice", "LIFE-03", _double("before_train_iter")),
    Mutant("after_train_epoch does not come", "LIFE-04", _drop("after_train_epoch")),
    Mutant("after_train does not come", "LIFE-05", _drop("after_train")),
    Mutant("after_val_iter does not come", "LIFE-06", _drop("after_val_iter")),
    Mutant("before_test_iter does not come", "LIFE-07", _drop("before_test_iter")),
    Mutant("batch_idx is always 0", "LIFE-08", _give("before_train_iter", "batch_idx", lambda _: 0)),
    Mutant("the stage is not entered", "STAGE-01", _drop("before_train", only=RuntimeInfoHook)),
    Mutant("the stage is not changed by a validation", "STAGE-02", _drop("before_val", only=RuntimeInfoHook)),
    Mutant("the stage is not restored after a validation", "STAGE-03", _drop("after_val", only=RuntimeInfoHook)),
    Mutant("the stage is not changed by a test", "STAGE-04", _drop("before_test", only=RuntimeInfoHook)),
    Mutant("the stage is not restored after a test", "STAGE-05", _drop("after_test", only=RuntimeInfoHook)),
    Mutant("the stage is not left", "STAGE-06", _drop("after_train", only=RuntimeInfoHook)),
    Mutant("iter is one ahead", "COUNT-01", _show(_iter_ahead)),
    Mutant("iter starts anew in each epoch", "COUNT-01", _show(_iter_of_epoch)),
    Mutant("iter is counted too early", "COUNT-02", _show(_iter_ahead, "after_train_iter")),
    Mutant("epoch is one ahead", "COUNT-03", _show(_epoch_ahead)),
    Mutant("epoch is counted too early", "COUNT-04", _show(_epoch_ahead, "after_train_epoch")),
    Mutant("iter is not published", "COUNT-05", _drop("before_train_iter", only=RuntimeInfoHook)),
    Mutant("epoch is not published", "COUNT-06", _drop("before_train_epoch", only=RuntimeInfoHook)),
    Mutant("max_epochs is one more", "COUNT-07", _show(lambda plan, _: {"max_epochs": plan.max_epochs + 1})),
    Mutant("max_iters is huge where it is not known", "COUNT-08", _show(_huge_where_unknown), needs="unsized"),
    Mutant("max_iters is that of one epoch", "COUNT-08", _show(lambda plan, _: {"max_iters": plan.batches})),
    Mutant("there is no optim_wrapper", "COUNT-09", _hide("optim_wrapper")),
    Mutant("iter counts optimizer steps", "COUNT-10", _show(_iter_of_steps)),
    Mutant("a validation counts", "COUNT-11", _show(_iter_ahead, "after_val")),
    Mutant("cfg is not published", "META-01", _drop("before_run", only=RuntimeInfoHook)),
    Mutant("the seed is another one", "META-02", _show(lambda plan, _: {"seed": plan.seed + 7})),
    Mutant("the name is another one", "META-03", _show(lambda _, __: {"experiment_name": "another"})),
    Mutant("the framework's version is not published", "META-04", _drop("before_run", only=RuntimeInfoHook)),
    Mutant("the hook's version is not published", "META-05", _drop("before_run", only=RuntimeInfoHook)),
    Mutant("there is no cfg", "META-06", _hide("cfg")),
    Mutant("the dataset is wrapped, and its metainfo hidden", "META-07", _show(_dataset_wrapped)),
    Mutant("a resumed run publishes no metadata", "META-08", _drop("before_run", "before_train", only=RuntimeInfoHook)),
    Mutant("a rate is published twice", "SCALAR-02", _double("before_train_iter")),
    Mutant("the rate is that of the next iteration", "SCALAR-03", _show(_rates_to_come)),
    Mutant("the first output is missing", "SCALAR-04", _give("after_train_iter", "outputs", _without_first)),
    Mutant("outputs are those of the iteration before", "SCALAR-04", _stale("after_train_iter", "outputs")),
    Mutant("other outputs are turned into numbers", "SCALAR-05", _give("after_train_iter", "outputs", _all_numbers)),
    Mutant("metrics are those of the validation before", "SCALAR-06", _stale("after_val_epoch", "metrics")),
    Mutant("the first metric is missing", "SCALAR-07", _give("after_val_epoch", "metrics", _without_first)),
    Mutant("a metric keeps its first kind", "SCALAR-08", _stale("after_val_epoch", "metrics")),
    Mutant("there are no test metrics", "SCALAR-09", _give("after_test_epoch", "metrics", lambda _: None)),
    Mutant("an exception is swallowed", "FAIL-01", around=_swallow),
    Mutant("an interrupt is swallowed", "FAIL-01", around=_swallow_interrupts),
    Mutant("an exception is dressed up", "FAIL-01", around=_dress_up),
    Mutant("on_exception does not come", "FAIL-02", _drop(ABORT)),
    Mutant("on_exception comes twice", "FAIL-02", _double(ABORT)),
    Mutant("nothing closes after on_exception", "FAIL-03", _once_aborting(_lose)),
    Mutant("what failed is counted", "FAIL-04", _once_aborting(_count_it)),
    Mutant("half a result is handed out", "FAIL-05", _once_aborting(_give_results)),
    Mutant("the stage is left behind", "FAIL-06", _once_aborting(_lose, only=RuntimeInfoHook)),
    Mutant("all hooks have the same priority", "ORDER-01", _with_priorities("NORMAL")),
    Mutant("information comes last", "ORDER-02", _with_priorities("VERY_LOW", "NORMAL")),
    Mutant("counters start anew after a resume", "RESUME-01", _show(_counters_since_resume)),
    Mutant("histories start anew after a resume", "RESUME-02", _show(_forget_histories, "before_train")),
)
"""The faults, each with the requirement that it breaks."""
