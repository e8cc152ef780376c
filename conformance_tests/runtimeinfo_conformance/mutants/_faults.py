"""Building blocks for faults of runners: in events, values and abnormal ends, and between two runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from runtimeinfo import RuntimeInfoHook
from runtimeinfo.spec import ABORT, CLOSES, FREE_EVENTS, HOOK_POINTS
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault
from runtimeinfo_conformance.observation import Recorder, observer_of
from runtimeinfo_conformance.plans import Plan

Shown = Callable[[Plan, Any], dict[str, Any]]
"""Returns the members to show in place of the real ones: called with the plan and the runner."""


class ShownRunner:
    """A runner with some members replaced."""

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
    """Lose events from the n-th on, for all hooks or for hooks of one class."""

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


class _Round:
    """Calls made after all hooks have heard of an event, as if a second event came."""

    def __init__(self) -> None:
        self._calls: dict[int, list[Callable[[], object]]] = {}

    def put(self, hook: object, runner: Any, call: Callable[[], object]) -> None:
        """Keep the call of a hook. After the last hook, make all kept calls."""
        if isinstance(hook, RuntimeInfoHook):  # the first one
            self._calls[id(runner)] = []
        self._calls.setdefault(id(runner), []).append(call)
        if isinstance(observer_of(hook), Recorder):  # the last one
            for each in self._calls.pop(id(runner)):
                each()


def double(event_twice: str) -> MakeFault:
    """Deliver an event twice."""
    second = _Round()

    def make(_plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            result = call(runner, given)
            if event == event_twice:
                second.put(hook, runner, lambda: call(runner, given))
            return result

        return fault

    return make


def show(change: Shown, *events: str, only: type | None = None) -> MakeFault:
    """Replace members of the runner at some events, or at all."""

    def make(plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if (not events or event in events) and (only is None or isinstance(hook, only)):
                runner = ShownRunner(runner, **change(plan, runner))
            return call(runner, given)

        return fault

    return make


def hide(member: str) -> MakeFault:
    """Remove a member of the runner."""
    return lambda _plan, _hook: lambda _event, call, runner, given: call(RunnerWithout(runner, member), given)


def give(event_changed: str, argument: str, change: Callable[[Any], Any]) -> MakeFault:
    """Replace an argument of an event."""

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if event == event_changed:
            given = {**given, argument: change(given.get(argument))}
        return call(runner, given)

    return lambda _plan, _hook: fault


def stale(event_changed: str, argument: str) -> MakeFault:
    """Pass the argument of the previous occurrence of an event."""

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
    """Apply a fault at some events only, or at all."""

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if not events or event in events:
            return then(event, call, runner, given)
        return call(runner, given)

    return lambda _plan, _hook: fault


def once_aborting(then: Fault, *, only: type | None = None) -> MakeFault:
    """Apply a fault after on_exception only."""

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
    """Overwrite infos after the hook has published them."""

    def make(plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            result = call(runner, given)
            if event in events and isinstance(hook, RuntimeInfoHook):
                runner.message_hub.update_info_dict(change(plan, runner))
            return result

        return fault

    return make


def publish_twice(values_of: Callable[[Any, dict[str, Any]], dict[str, Any]], event_changed: str) -> MakeFault:
    """Publish scalars a second time after the hook has."""

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
    """Change values of the runner, its hub or both at some events, and restore them at the next event."""

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


def between_events(change: Shown, *events: str) -> MakeFault:
    """Change infos after all hooks have heard of some events, and restore them at the next event."""
    to_restore: dict[str, Any] = {}

    def make(plan: Plan, hook: object) -> Fault:
        is_first, is_last = isinstance(hook, RuntimeInfoHook), isinstance(observer_of(hook), Recorder)

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            hub = runner.message_hub
            if is_first:
                _put_back(hub, to_restore)
            result = call(runner, given)
            if is_last and event in events:
                for key, value in change(plan, runner).items():
                    to_restore[key] = hub.get_info(key)
                    hub.update_info(key, value)
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
    """Lose the events that a function of plan, event, runner and arguments selects."""

    def make(plan: Plan, _hook: object) -> Fault:
        aborting = False

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            nonlocal aborting
            aborting = aborting or event == ABORT
            return None if not aborting and lost(plan, event, runner, given) else call(runner, given)

        return fault

    return make


def drop_last_batch(stage: str) -> MakeFault:
    """Lose the events of the last batch of each validation or test."""

    def make(plan: Plan, hook: Any) -> Fault:
        begun = 0  # in this epoch, because batch_idx may start at any number

        def is_lost(plan: Plan, event: str, _runner: Any, _given: dict[str, Any]) -> bool:
            nonlocal begun
            if event == f"before_{stage}_epoch":
                begun = 0
            begun += event == f"before_{stage}_iter"
            batches = plan.val_batches if stage == "val" else plan.test_batches
            return event in {f"before_{stage}_iter", f"after_{stage}_iter"} and begun == batches

        return drop_if(is_lost)(plan, hook)

    return make


def swap(first: str, *, once_aborting: bool = False) -> MakeFault:
    """Deliver an event after the one that follows it, optionally only in an abnormal end."""
    late = _Round()

    def make(_plan: Plan, hook: object) -> Fault:
        held: list[Callable[[], object]] = []
        aborting = False

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            nonlocal aborting
            aborting = aborting or event == ABORT
            if event == first and (aborting or not once_aborting):
                held.append(lambda: call(runner, given))
                return None
            result = call(runner, given)
            if held and event not in FREE_EVENTS:
                late.put(hook, runner, held.pop())
            return result

        return fault

    return make


def announce_after(event_before: str) -> MakeFault:
    """Announce an exception that was not raised, after an event."""
    announced = _Round()

    def make(_plan: Plan, hook: Any) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            result = call(runner, given)
            if event == event_before:
                error = StopIteration("the training is stopped early")
                announced.put(hook, runner, lambda: getattr(hook, ABORT)(runner, exception=error))
            return result

        return fault

    return make


# -- other values, each a function of the plan and the runner


class _HalvedRates:
    """The rates of the next iteration under a halving schedule."""

    def __init__(self, optim_wrapper: Any) -> None:
        self._optim_wrapper = optim_wrapper

    def get_lr(self) -> dict[str, list[float]]:
        """Return half of the rates in force."""
        rates = self._optim_wrapper.get_lr()
        return {name: [float(value) / 2 for value in values] for name, values in rates.items()}


def forget_histories(_plan: Plan, runner: Any) -> dict[str, Any]:
    """Remove the histories from the hub, and leave the members unchanged."""
    for key in list(runner.message_hub.log_scalars):
        pop = getattr(runner.message_hub, "pop_scalar", None) or runner.message_hub.log_scalars.pop
        pop(key)
    return {}


def iter_ahead(_: Plan, runner: Any) -> dict[str, Any]:
    """Count one iteration too many."""
    return {"iter": runner.iter + 1}


def iter_of_epoch(plan: Plan, runner: Any) -> dict[str, Any]:
    """Count iterations from the start of the epoch."""
    return {"iter": runner.iter % (plan.batches or 1)}


def iter_of_steps(plan: Plan, runner: Any) -> dict[str, Any]:
    """Count optimizer steps instead of iterations."""
    return {"iter": runner.iter // plan.accumulation}


def epoch_ahead(_: Plan, runner: Any) -> dict[str, Any]:
    """Count one epoch too many."""
    return {"epoch": runner.epoch + 1}


def iter_behind_after_resume(plan: Plan, runner: Any) -> dict[str, Any]:
    """Count one iteration too few in a resumed training."""
    return {"iter": runner.iter - 1} if plan.resume_from is not None else {}


def counters_since_resume(plan: Plan, runner: Any) -> dict[str, Any]:
    """Count from the resume instead of the start."""
    return {"iter": runner.iter - plan.start_iteration, "epoch": runner.epoch - plan.start_epoch}


def total_of_first_epoch(plan: Plan, _: Any) -> dict[str, Any]:
    """Extrapolate max_iters from the first epoch."""
    return {"max_iters": plan.max_epochs * plan.length_of(0)} if plan.lengths else {}


def huge_where_unknown(plan: Plan, _: Any) -> dict[str, Any]:
    """Show a huge max_iters if it is unknown."""
    return {"max_iters": plan.max_iters if plan.sized else sys.maxsize}


def next_rates(plan: Plan, runner: Any) -> dict[str, Any]:
    """Show the rates of the next iteration."""
    return {"optim_wrapper": _HalvedRates(runner.optim_wrapper)} if plan.schedule else {}


def dataset_wrapped(_: Plan, runner: Any) -> dict[str, Any]:
    """Show a loader whose dataset hides its metainfo."""
    return {"train_dataloader": ShownRunner(runner.train_dataloader, dataset=object())}


def resumed_counters_lost(plan: Plan, _: Any) -> dict[str, Any]:
    """Start the counters of a resumed training from 0."""
    return {"iter": 0, "epoch": 0} if plan.resume_from is not None else {}


# -- abnormal ends


def lose(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Lose every close."""
    return None if event in CLOSES else call(runner, given)


class LeftStage:
    """Fault that puts a stage into the hub as an exception leaves the run.

    It acts after the subject's own cleanup, which might remove a stage that an earlier fault left.
    """

    def __init__(self) -> None:
        self._hub: Any = None

    def __call__(self, _plan: Plan, _hook: object) -> Fault:
        """Return the fault for one hook of a run."""

        def fault(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            self._hub = runner.message_hub
            return call(runner, given)

        return fault

    def around(self, run: Callable[[], object]) -> object:
        """Run, and set the stage after an exception."""
        self._hub = None
        try:
            return run()
        except BaseException:
            if self._hub is not None:
                self._hub.update_info("loop_stage", "train")
            raise


def keep_rates(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Append the removed learning rates a second time."""
    if event != "after_train_epoch":
        return call(runner, given)
    hub = runner.message_hub
    before = {key: _values(hub, key) for key in (f"train/{name}" for name in runner.optim_wrapper.get_lr())}
    result = call(runner, given)
    for key, values in before.items():
        for value in values[len(_values(hub, key)) :]:
            hub.update_scalar(key, value)
    return result


def _values(hub: Any, key: str) -> list[float]:
    return hub.get_scalar(key).data[0].tolist() if key in hub.log_scalars else []


def count_incomplete(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Count the incomplete iteration at the end of the run."""
    return call(ShownRunner(runner, iter=runner.iter + 1) if event == "after_run" else runner, given)


def give_results(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Pass results with every close."""
    results = {"outputs", "metrics"}.intersection(HOOK_POINTS[event])
    return call(runner, {**given, **{name: {"half": 0.5} for name in results if event in CLOSES}})


def swallow(run: Callable[[], object]) -> object:
    """Swallow the exception."""
    try:
        return run()
    except (Exception, KeyboardInterrupt):  # noqa: BLE001  # whatever it is
        return None


def swallow_interrupts(run: Callable[[], object]) -> object:
    """Swallow an interrupt."""
    try:
        return run()
    except KeyboardInterrupt:
        return None


def replace_exception(run: Callable[[], object]) -> object:
    """Raise another exception in its place."""
    try:
        return run()
    except Exception as error:
        raise RuntimeError("the training failed") from error


# -- leaks from one run into the next


class LeftoverHistories:
    """Fault that adds a history to the hub of each run, with one value for each earlier run."""

    def __init__(self) -> None:
        self._runs = 0

    def __call__(self, _plan: Plan, hook: object) -> Fault:
        """Return the fault for one hook of a run."""

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            result = call(runner, given)
            if event == "before_run" and isinstance(hook, RuntimeInfoHook):
                # Bounded, because more of them in a long search would only cost time.
                for _ in range(self._runs % 5):
                    runner.message_hub.update_scalar("left/over", 1.0)
                self._runs += 1
            return result

        return fault


class LeftoverCounters:
    """Fault that starts counters at the final values of the previous run."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._offset = 0
        self._last = 0

    def __call__(self, plan: Plan, _hook: object) -> Fault:
        """Return the fault for one hook of a run."""
        if plan is not self._plan:  # called once for each hook of a run
            self._plan, self._offset = plan, self._last

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if event == "after_run":
                self._last = runner.iter % 5
            return call(ShownRunner(runner, iter=runner.iter + self._offset), given)

        return fault


def histories_of_the_first(_plan: Plan, hook: object) -> Fault:
    """Start a repeated training with the first one's histories that the hook has published.

    Values published by the runner itself may have a different flag.
    """
    held: dict[str, list[float]] = {}
    noted: dict[str, list[float]] = {}

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if not isinstance(hook, RuntimeInfoHook):
            return call(runner, given)
        hub = runner.message_hub
        before = {key: len(history.data[0]) for key, history in hub.log_scalars.items()}
        result = call(runner, given)
        if event == "before_run":
            for key, values in held.items():
                for value in values:
                    hub.update_scalar(key, value)
        elif event == "after_run":
            held.update(noted)
        for key, history in hub.log_scalars.items():
            more = history.data[0].tolist()[before.get(key, 0) :]
            if more and event != "before_run":
                noted.setdefault(key, []).extend(more)
        return result

    return fault


def counters_of_the_first(_plan: Plan, _hook: object) -> Fault:
    """Continue the counters of the first training in a repeated one."""
    before = {"iter": 0, "epoch": 0}
    last: dict[str, int] = {}

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if event == "before_run" and last:
            before.update(last)
        shown = {name: getattr(runner, name) + value for name, value in before.items()}
        if event == "after_run":
            last.update(shown)
        return call(ShownRunner(runner, **shown), given)

    return fault
