"""Faults of runners that show only at later events: in identity, stage, batches, and the order of hooks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from runtimeinfo import RuntimeInfoHook
from runtimeinfo.authoring import TextConfig, is_scalar, scalar_value
from runtimeinfo.spec import ABORT
from runtimeinfo_conformance.judges.life import find_batch
from runtimeinfo_conformance.mutants._faults import (
    Shown,
    ShownRunner,
    at,
    between_events,
    drop_last_batch,
    iter_ahead,
    momentarily,
    once_aborting,
    publish,
    show,
)
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault, Mutant, goes_well, is_resumed
from runtimeinfo_conformance.observation import Probe, observer_of
from runtimeinfo_conformance.plans import Item, Plan, _planned_data

_IN_TRAINING = ("before_train_epoch", "before_train_iter", "after_train_iter", "after_train_epoch", "train_data")


def _always(infos: dict[str, Any]) -> Shown:
    return lambda _plan, _runner: infos


def _another_version(_plan: Plan, runner: Any) -> dict[str, Any]:
    return {f"{runner.framework_name}_version": "another"}


def _saved_name(plan: Plan, _runner: Any) -> dict[str, Any]:
    return {"experiment_name": plan.saved_name.removesuffix("-resumed")}


def _leave_stage(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    result = call(runner, given)
    runner.message_hub.pop_info("loop_stage")
    return result


def _count_epoch(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Count a failed epoch as it closes, like a loop that counts in a `finally`."""
    counts = event in {"after_train", "after_run"}
    return call(ShownRunner(runner, epoch=runner.epoch + 1) if counts else runner, given)


def _window_taken_back(plan: Plan, hook: object) -> Fault:
    """Reset the counter to the start of an accumulation window, like a loop that repeats incomplete optimizer steps."""

    def take_back(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        return call(ShownRunner(runner, iter=runner.iter - runner.iter % plan.accumulation), given)

    return once_aborting(take_back)(plan, hook)


def _fails_in_an_iteration(plan: Plan) -> bool:
    return plan.fault is not None and plan.fault.event == "before_train_iter"


def _forget_validations(_plan: Plan, runner: Any) -> dict[str, Any]:
    hub = runner.message_hub
    for key in [key for key in hub.log_scalars if key.startswith("val/")]:
        (getattr(hub, "pop_scalar", None) or hub.log_scalars.pop)(key)
    return {}


def _later(is_held: Callable[[object], bool], *events: str) -> MakeFault:
    """Delay some events for one of the kit's hooks until after its last probe."""
    held: list[Callable[[], object]] = []

    def make(_plan: Plan, hook: object) -> Fault:
        observer = observer_of(hook)
        is_last = isinstance(observer, Probe) and observer.name == "last"

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if event in events and is_held(hook):
                held.append(lambda: call(runner, given))
                return None
            result = call(runner, given)
            while is_last and held:
                held.pop()()
            return result

        return fault

    return make


def _is_first_probe(hook: object) -> bool:
    observer = observer_of(hook)
    return isinstance(observer, Probe) and observer.name == "first"


def _is_hook(hook: object) -> bool:
    return isinstance(hook, RuntimeInfoHook)


def _pass_changed(event_changed: str, argument: str) -> MakeFault:
    """Give changed numbers to all hooks except the information hook."""

    def make(_plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            values = given.get(argument)
            if event == event_changed and isinstance(values, Mapping) and not _is_hook(hook):
                numbers = cast("Mapping[str, Any]", values)
                other = {name: scalar_value(each) + 1 if is_scalar(each) else each for name, each in numbers.items()}
                given = {**given, argument: other}
            return call(runner, given)

        return fault

    return make


def _emptied_later(event_changed: str, argument: str) -> MakeFault:
    """Give lists and dicts to the information hook, and empty them at the next event."""

    def make(_plan: Plan, hook: object) -> Fault:
        given_out: list[Any] = []

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            while given_out:
                given_out.pop().clear()
            values = given.get(argument)
            if event == event_changed and isinstance(values, Mapping) and _is_hook(hook):
                copies = {name: copy.copy(each) for name, each in cast("Mapping[str, Any]", values).items()}
                containers: list[Any] = [each for each in copies.values() if isinstance(each, list | dict)]
                given_out.extend(containers)
                given = {**given, argument: copies}
            return call(runner, given)

        return fault

    return make


class _RatesOfTheFirst:
    """The rates that a halving schedule has after a first training."""

    def __init__(self, optim_wrapper: Any, iterations: int) -> None:
        self._optim_wrapper = optim_wrapper
        self._iterations = iterations

    def get_lr(self) -> dict[str, list[float]]:
        """Return the rates, halved once for each iteration of the first training."""
        rates = self._optim_wrapper.get_lr()
        return {name: [float(value) / 2**self._iterations for value in values] for name, values in rates.items()}


def _continue_rates(plan: Plan, _hook: object) -> Fault:
    """Start the second training with the final rates of the first."""
    runs = 0

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        nonlocal runs
        runs += event == "before_run"
        if runs > 1:
            runner = ShownRunner(runner, optim_wrapper=_RatesOfTheFirst(runner.optim_wrapper, plan.max_iters))
        return call(runner, given)

    return fault


class _ContinuedNumbers:
    """Fault that numbers the first batch of each run by the number of earlier runs."""

    def __init__(self) -> None:
        self._runs = 0

    def __call__(self, _plan: Plan, hook: object) -> Fault:
        """Return the fault for one hook of a run."""

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            self._runs += event == "before_run" and _is_hook(hook)
            if "batch_idx" in given:
                given = {**given, "batch_idx": given["batch_idx"] + self._runs}
            return call(runner, given)

        return fault


def _hide_reads(run: Callable[[], object]) -> object:
    """Hide all reads from the kit, as if the run had created its batches itself."""

    def hear_nothing(run: str, item: Item, process: int) -> None:
        pass

    module: Any = _planned_data
    before = module.notify_read
    module.notify_read = hear_nothing
    try:
        return run()
    finally:
        module.notify_read = before


def _repeat_first_batch(plan: Plan, _hook: object) -> Fault:
    """Show the first batch in all later iterations of a resumed epoch."""
    begun = ended = 0

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        nonlocal begun, ended
        begun += event == "before_train_iter"
        ended += event == "after_train_epoch"
        batch = find_batch(given.get("data_batch"))
        if begun > 1 and not ended and batch is not None and batch.stage == "train":
            given = {**given, "data_batch": replace(batch, index=plan.start_batch)}
        return call(runner, given)

    return fault


# -- filters for plans on which only the fault in question shows


def _is_one_plain_run(plan: Plan) -> bool:
    return plan.resume_from is None and plan.checkpoint is None and plan.company is None


def _is_alone(plan: Plan) -> bool:
    return plan.fault is None and plan.company is None


def _resumes_in_mid_epoch(plan: Plan) -> bool:
    return 0 < plan.start_batch < plan.batches


def _fails_in(*places: str) -> Callable[[Plan], bool]:
    return lambda plan: plan.fault is not None and plan.fault.event in places


def _only_trains(plan: Plan) -> bool:
    return plan.fault is None and plan.val_batches is None and plan.test_batches is None


def _fails_after(stage: str) -> Callable[[Plan], bool]:
    """Return a filter for plans that fail after an evaluation of a stage over one loader."""
    return lambda plan: plan.fault is not None and plan.val_loaders == 1 and plan.fault.event == f"after_{stage}"


LATER_MUTANTS: tuple[Mutant, ...] = (
    # Not in a runner whose data is read by spawned workers.
    Mutant("the data is not read", "LIFE-03", around=_hide_reads, when=_only_trains, is_canary=False),
    Mutant(
        "a validation lacks its last batch in a run that fails later",
        "LIFE-06",
        drop_last_batch("val"),
        when=_fails_after("val"),
    ),
    Mutant(
        "a test lacks its last batch in a run that fails later",
        "LIFE-07",
        drop_last_batch("test"),
        when=_fails_after("test"),
    ),
    Mutant("the batches of a second run are numbered on", "LIFE-10", _ContinuedNumbers(), when=_is_one_plain_run),
    Mutant(
        "the stage is left as the training fails", "STAGE-01", at(_leave_stage, ABORT), when=_fails_in(*_IN_TRAINING)
    ),
    Mutant(
        "the stage is left as a validation fails",
        "STAGE-02",
        at(_leave_stage, ABORT),
        when=_fails_in("before_val_iter", "after_val_iter", "val_data"),
        needs="val",
    ),
    Mutant(
        "the stage is left as a test fails",
        "STAGE-04",
        at(_leave_stage, ABORT),
        when=_fails_in("before_test_iter", "after_test_iter", "test_data"),
        needs="test",
    ),
    Mutant(
        "the stage is 'train' as the items of a validation are read",
        "STAGE-02",
        between_events(_always({"loop_stage": "train"}), "before_val_epoch", "after_val_iter"),
        when=_is_alone,
    ),
    Mutant(
        "the stage is 'val' once all hooks have heard of a validation's end",
        "STAGE-03",
        between_events(_always({"loop_stage": "val"}), "after_val"),
        when=_is_alone,
    ),
    Mutant(
        "the stage is 'test' once all hooks have heard of a test's end",
        "STAGE-05",
        between_events(_always({"loop_stage": "test"}), "after_test"),
        when=_is_alone,
    ),
    Mutant(
        "the stage is 'train' once all hooks have heard of the training's end",
        "STAGE-06",
        between_events(_always({"loop_stage": "train"}), "after_train"),
        when=_is_alone,
    ),
    Mutant("cfg changes during the training", "META-01", publish(_always({"cfg": "another"}), "before_train_epoch")),
    Mutant(
        "the configuration changes when the run ends",
        "META-01",
        show(lambda _plan, _runner: {"cfg": TextConfig("another")}, "after_run"),
    ),
    Mutant(
        "the seed changes during the training",
        "META-02",
        publish(lambda plan, _: {"seed": (plan.seed or 0) + 7}, "before_train_epoch"),
        when=_is_one_plain_run,
    ),
    Mutant(
        "the name changes during the training",
        "META-03",
        publish(_always({"experiment_name": "another"}), "before_train_epoch"),
        when=_is_one_plain_run,
    ),
    Mutant(
        "the framework's version changes during the training",
        "META-04",
        publish(_another_version, "before_train_epoch"),
    ),
    Mutant(
        "the hook's version changes after the training",
        "META-05",
        publish(_always({"runtimeinfo_version": "0"}), "after_train"),
    ),
    Mutant(
        "the metainfo is lost during the training",
        "META-07",
        publish(_always({"dataset_meta": {}}), "before_train_epoch"),
        when=lambda plan: plan.metainfo is not None,
    ),
    Mutant(
        "a resumed run takes the name of the saved one during the training",
        "META-08",
        publish(_saved_name, "before_train_epoch"),
        when=is_resumed,
    ),
    Mutant(
        "a repeated training continues the rates of the first",
        "SCALAR-03",
        _continue_rates,
        needs="again",
        when=lambda plan: plan.again and plan.schedule,
    ),
    Mutant(
        "hooks get outputs that differ from the published ones",
        "SCALAR-04",
        _pass_changed("after_train_iter", "outputs"),
    ),
    Mutant(
        "hooks get metrics that differ from the published ones",
        "SCALAR-06",
        _pass_changed("after_val_epoch", "metrics"),
    ),
    Mutant(
        "a metric is emptied once all hooks have heard of it",
        "SCALAR-07",
        _emptied_later("after_val_epoch", "metrics"),
        when=_is_alone,
    ),
    Mutant(
        "hooks get test metrics that differ from the published ones",
        "SCALAR-09",
        _pass_changed("after_test_epoch", "metrics"),
    ),
    Mutant("an epoch that failed is counted as it closes", "FAIL-04", once_aborting(_count_epoch)),
    Mutant(
        "an exception takes back the iterations of its window",
        "COUNT-15",
        _window_taken_back,
        when=_fails_in_an_iteration,
        needs="accumulation",
    ),
    Mutant("an iteration that failed is counted for a moment", "FAIL-04", momentarily(iter_ahead, ABORT)),
    Mutant(
        "hooks change places in a validation",
        "ORDER-01",
        _later(_is_first_probe, "before_val", "after_val_iter"),
        when=goes_well,
        needs="val",
    ),
    Mutant(
        "information comes late in a validation",
        "ORDER-02",
        _later(_is_hook, "before_val"),
        when=goes_well,
        needs="val",
    ),
    Mutant(
        "histories of validations are lost in a resume",
        "RESUME-02",
        show(_forget_validations, "before_train"),
        needs="val metrics",
        when=is_resumed,
    ),
    # Not in a runner that shows no batch.
    Mutant(
        "a resumed epoch shows its first batch only",
        "RESUME-03",
        _repeat_first_batch,
        when=_resumes_in_mid_epoch,
        needs="resume_mid_epoch",
        is_canary=False,
    ),
)
"""The faults, each with the requirement it breaks."""
