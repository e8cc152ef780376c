"""Faults of runners. Each requirement has some, at least one of which breaks nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runtimeinfo import RuntimeInfoHook
from runtimeinfo.authoring import is_scalar
from runtimeinfo.spec import ABORT
from runtimeinfo_conformance.judges.life import find_batch
from runtimeinfo_conformance.mutants._board import (
    BoardLeftBehind,
    BoardShowsBetweenEvents,
    board_is_open_to_others,
    board_shows,
    counters_of_iteration_before,
    epoch_of_next,
    iteration_far_back,
    iterators_are_made_early,
    no_entries,
    not_current,
)
from runtimeinfo_conformance.mutants._counters_and_rates import COUNTER_AND_RATE_MUTANTS
from runtimeinfo_conformance.mutants._current import (
    BehindInIterations,
    EnteredForHooksOnly,
    find_no_history,
    find_nothing,
    find_what_was_at,
)
from runtimeinfo_conformance.mutants._faults import (
    LeftoverHistories,
    LeftStage,
    announce_after,
    at,
    count_incomplete,
    counters_of_the_first,
    counters_since_resume,
    dataset_wrapped,
    double,
    drop,
    drop_if,
    drop_last_batch,
    epoch_ahead,
    forget_histories,
    give,
    give_results,
    hide,
    histories_of_the_first,
    huge_where_unknown,
    iter_ahead,
    iter_behind_after_resume,
    iter_of_epoch,
    iter_of_steps,
    keep_rates,
    lose,
    momentarily,
    next_rates,
    once_aborting,
    publish,
    publish_twice,
    replace_exception,
    resumed_counters_lost,
    show,
    stale,
    swallow,
    swallow_interrupts,
    swap,
    total_of_first_epoch,
)
from runtimeinfo_conformance.mutants._later_events import LATER_MUTANTS
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault, Mutant, goes_well, is_resumed
from runtimeinfo_conformance.mutants._scope import (
    HubOfLatest,
    copies_get_later_run,
    copies_get_nothing,
    copies_never_end,
    hub_itself_is_kept,
    latest_answers_all_threads,
    leave_itself,
    leave_itself_if_it_fails,
    leave_nothing,
    pickled_is_a_copy,
    run_around_answers,
    stay_between_steps,
    threads_always_get_it,
    threads_never_get_it,
    threads_never_get_it_in_a_test,
    threads_never_get_it_in_the_end,
    workers_get_latest,
    workers_get_nothing,
    workers_outlive,
)
from runtimeinfo_conformance.observation import Probe, observer_of
from runtimeinfo_conformance.plans import CHANGING_KIND, Plan

# -- filters for lost events


def _last_iteration(plan: Plan, event: str, runner: Any, _given: dict[str, Any]) -> bool:
    return event in {"before_train_iter", "after_train_iter"} and runner.iter == plan.max_iters - 1


def _empty_epoch(plan: Plan, event: str, _runner: Any, _given: dict[str, Any]) -> bool:
    return event in {"before_train_epoch", "after_train_epoch"} and not plan.batches


def _end_of_training(_plan: Plan, event: str, _runner: Any, _given: dict[str, Any]) -> bool:
    return event == "after_train"


class _BetweenLoaders:
    """Filter for the events between two loaders of one validation."""

    def __init__(self) -> None:
        self._done = 0

    def __call__(self, plan: Plan, event: str, _runner: Any, _given: dict[str, Any]) -> bool:
        if event == "before_val":
            self._done = 0
        self._done += event == "after_val_epoch"
        if event == "after_val_epoch":
            return self._done < plan.val_loaders
        return event == "before_val_epoch" and self._done > 0


def _one_epoch_for_all(plan: Plan, hook: Any) -> Fault:
    return drop_if(_BetweenLoaders())(plan, hook)


def _validation_inside(_plan: Plan, event: str, _runner: Any, _given: dict[str, Any]) -> bool:
    return "_val" in event


# -- changed values


def _without_first(values: Any) -> Any:
    return dict(list(values.items())[1:]) if values else values


def _all_numbers(values: Any) -> Any:
    return (
        {name: 0.5 if isinstance(value, str | list) else value for name, value in values.items()} if values else values
    )


def _rates(runner: Any, _given: dict[str, Any]) -> dict[str, Any]:
    return {f"train/{name}": values[0] for name, values in runner.optim_wrapper.get_lr().items()}


def _scalar_metrics(_runner: Any, given: dict[str, Any]) -> dict[str, Any]:
    metrics: dict[str, Any] = given.get("metrics") or {}
    return {f"val/{name}": value for name, value in metrics.items() if is_scalar(value)}


def _other_metrics_changed(plan: Plan, runner: Any) -> dict[str, Any]:
    kinds = dict(plan.metrics)
    infos = [key for key in runner.message_hub.runtime_info if key.startswith("val/")]
    return {key: "another" for key in infos if kinds.get(key.removeprefix("val/")) != CHANGING_KIND}


def _stale_info_kept(plan: Plan, runner: Any) -> dict[str, Any]:
    changing = [f"val/{name}" for name, kind in plan.metrics if kind == CHANGING_KIND]
    return {key: "stale" for key in changing if key in runner.message_hub.log_scalars}


def _no_max_epochs(_plan: Plan, _runner: Any) -> dict[str, Any]:
    return {"max_epochs": "none any more"}


def _saved_name(plan: Plan, _runner: Any) -> dict[str, Any]:
    return {"experiment_name": plan.saved_name.removesuffix("-resumed")}


def _another_version(_plan: Plan, runner: Any) -> dict[str, Any]:
    return {f"{runner.framework_name}_version": "another"}


def _first(data: Any) -> Any:
    batch = find_batch(data)  # a framework may have turned it into a list
    return data if batch is None else replace(batch, index=0)


def _pass_on(_event: str, call: Any, runner: Any, given: dict[str, Any]) -> object:
    return call(runner, given)


def _with_priority(kind: type[Any], priority: str) -> MakeFault:
    """Give a different priority to the hooks of a class, without changing their events."""

    def make(_plan: Plan, hook: Any) -> Fault:
        if isinstance(hook, kind) or isinstance(observer_of(hook), kind):
            hook.priority = priority
        return _pass_on

    return make


def _numbered_from_its_start(plan: Plan, _hook: object) -> Fault:
    """Number the batches of a resumed epoch as if the epoch started over."""
    is_first = plan.start_batch > 0

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        nonlocal is_first
        if is_first and event in _IN_AN_ITERATION:
            given = {**given, "batch_idx": given["batch_idx"] - plan.start_batch}
        is_first = is_first and event != "after_train_epoch"
        return call(runner, given)

    return fault


# -- filters for plans on which only the fault in question shows


def _is_plain(plan: Plan) -> bool:
    return plan.fault is None and plan.stop_after is None and plan.val_interval is None


def _begins_with_an_epoch(plan: Plan) -> bool:
    return _is_plain(plan) and not plan.start_batch


def _makes_a_step_each_batch(plan: Plan) -> bool:
    return _is_plain(plan) and plan.accumulation == 1


def _fails_at(moment: str) -> Callable[[Plan], bool]:
    return lambda plan: plan.fault is not None and plan.fault.event == moment


def _runs_through(plan: Plan) -> bool:
    return plan.fault is None and plan.stop_after is None


def _stops_in_its_first_epoch(plan: Plan) -> bool:
    return plan.stop_after is not None and plan.stop_after <= plan.batches and plan.val_batches is None


def _has(company: str | None) -> Callable[[Plan], bool]:
    return lambda plan: plan.company == company


def _has_worker(plan: Plan) -> bool:
    return plan.company in {"forked", "spawned", "served"}


def _has_no_name(plan: Plan) -> bool:
    return plan.experiment_name is None


def _is_not_resumed(plan: Plan) -> bool:
    return plan.resume_from is None


def _resumes_without_fault(plan: Plan) -> bool:
    return plan.start_batch > 0 and _is_plain(plan)


def _resumes_after_bound(plan: Plan) -> bool:
    return plan.resume_from is not None and plan.stopped_by == "iterations" and plan.start_batch > 0


def _resumes_after_stop(plan: Plan) -> bool:
    return plan.resume_from is not None and plan.stopped_by == "stop"


def _resumes_at_epoch_end(plan: Plan) -> bool:
    return plan.is_resumed_at_end_of_epoch


def _is_repeated_training(plan: Plan) -> bool:
    return plan.again


def _saves_nothing(plan: Plan) -> bool:
    return plan.checkpoint is None


def _has_one_batch_in_all(plan: Plan) -> bool:
    return plan.val_batches == 0 and not plan.metrics


def _validates_three_times(plan: Plan) -> bool:
    return plan.validations * plan.val_loaders == 3 and plan.checkpoint is None


def _has_one_loader(plan: Plan) -> bool:
    return plan.val_loaders == 1


def _has_nothing_to_validate(plan: Plan) -> bool:
    return plan.val_interval is not None and plan.val_batches == 0 and plan.val_loaders == 1 and not plan.metrics


_PUBLISHES_METADATA = ("before_run", "before_train")
_IN_AN_ITERATION = ("before_train_iter", "after_train_iter")
_IN_AN_EPOCH = ("before_train_epoch", *_IN_AN_ITERATION, "after_train_epoch")

_LEFT_STAGE = LeftStage()

RUNNER_MUTANTS: tuple[Mutant, ...] = (
    Mutant("before_test_epoch does not come", "LIFE-01", drop("before_test_epoch"), needs="test", when=goes_well),
    Mutant("before_train_epoch comes twice", "LIFE-01", double("before_train_epoch")),
    Mutant("before_train does not come", "LIFE-01", drop("before_train")),
    Mutant("before_train_epoch comes after the first iteration has begun", "LIFE-01", swap("before_train_epoch")),
    Mutant("before_run does not come", "LIFE-02", drop("before_run")),
    Mutant("after_run does not come", "LIFE-02", drop("after_run")),
    Mutant("the last iteration is not announced", "LIFE-03", drop_if(_last_iteration), when=_begins_with_an_epoch),
    Mutant("the second after_train_iter and all later ones do not come", "LIFE-03", drop("after_train_iter", after=1)),
    Mutant("before_train_iter comes twice", "LIFE-03", double("before_train_iter")),
    Mutant("an empty epoch is not announced", "LIFE-04", drop_if(_empty_epoch), when=goes_well),
    Mutant("after_train_epoch does not come", "LIFE-04", drop("after_train_epoch")),
    Mutant("the training is left open", "LIFE-05", drop_if(_end_of_training), when=_runs_through),
    Mutant("after_train does not come", "LIFE-05", drop("after_train")),
    Mutant("the last validation batch is not announced", "LIFE-06", drop_last_batch("val"), when=_has_one_loader),
    Mutant("after_val_iter does not come", "LIFE-06", drop("after_val_iter")),
    Mutant("the last test batch is not announced", "LIFE-07", drop_last_batch("test")),
    Mutant("before_test_iter does not come", "LIFE-07", drop("before_test_iter")),
    Mutant(
        "batch_idx is always 0",
        "LIFE-08",
        give("before_train_iter", "batch_idx", lambda _: 0),
        when=lambda plan: not plan.start_batch,
    ),
    Mutant("histories of earlier runs remain", "LIFE-10", LeftoverHistories()),
    Mutant(
        "a repeated training starts with the histories of the first",
        "LIFE-10",
        histories_of_the_first,
        when=_is_repeated_training,
        needs="again",
    ),
    Mutant(
        "a repeated training continues the counters of the first",
        "LIFE-10",
        counters_of_the_first,
        when=_is_repeated_training,
        needs="again",
    ),
    Mutant("all loaders share one epoch", "LIFE-11", _one_epoch_for_all, when=_has_one_batch_in_all),
    Mutant(
        "an early stop is announced as an exception",
        "LIFE-12",
        announce_after("after_train_epoch"),
        when=_stops_in_its_first_epoch,
    ),
    Mutant(
        "an empty validation in mid-epoch is left out",
        "LIFE-13",
        drop_if(_validation_inside),
        when=_has_nothing_to_validate,
    ),
    Mutant("a validation shows its first batch only", "LIFE-14", give("before_val_iter", "data_batch", _first)),
    Mutant("the hub is not entered", "LIFE-15", at(find_nothing)),
    Mutant("the hub is entered after before_run", "LIFE-15", at(find_nothing, "before_run")),
    Mutant("the hub is left before after_run", "LIFE-15", at(find_nothing, "after_run")),
    Mutant("the hub is left at an exception", "LIFE-15", once_aborting(find_nothing)),
    Mutant("the hub is entered without its histories", "LIFE-15", at(find_no_history)),
    # Not in a runner whose data is read by workers.
    Mutant("the hub is entered for hooks only", "LIFE-15", EnteredForHooksOnly(), is_canary=False),
    Mutant("a copy of the hub is entered", "LIFE-15", find_what_was_at("before_train")),
    Mutant(
        "the stage is 'training'", "STAGE-01", publish(lambda _, __: {"loop_stage": "training"}, "before_train_iter")
    ),
    Mutant("the stage is not entered", "STAGE-01", drop("before_train", only=RuntimeInfoHook)),
    Mutant("the stage is 'eval'", "STAGE-02", publish(lambda _, __: {"loop_stage": "eval"}, "after_val_epoch")),
    Mutant("the stage is not changed by a validation", "STAGE-02", drop("before_val", only=RuntimeInfoHook)),
    Mutant("the stage is restored too late", "STAGE-03", momentarily(lambda _, __: {"loop_stage": "val"}, "after_val")),
    Mutant("the stage is not restored after a validation", "STAGE-03", drop("after_val", only=RuntimeInfoHook)),
    Mutant("the stage is not changed by a test", "STAGE-04", drop("before_test", only=RuntimeInfoHook)),
    Mutant(
        "the stage is not restored after a test",
        "STAGE-05",
        drop("after_test", only=RuntimeInfoHook),
        when=goes_well,
    ),
    Mutant("the stage is left too late", "STAGE-06", momentarily(lambda _, __: {"loop_stage": "train"}, "after_train")),
    Mutant("the stage is not left", "STAGE-06", drop("after_train", only=RuntimeInfoHook)),
    Mutant(
        "iter is one ahead in an iteration",
        "COUNT-01",
        show(iter_ahead, *_IN_AN_ITERATION),
        when=_makes_a_step_each_batch,
    ),
    Mutant("iter is one ahead", "COUNT-01", show(iter_ahead)),
    Mutant("iter starts again at 0 in each epoch", "COUNT-01", show(iter_of_epoch)),
    Mutant("iter is counted too early", "COUNT-02", momentarily(iter_ahead, "after_train_iter"), when=goes_well),
    Mutant("epoch is one ahead in an epoch", "COUNT-03", show(epoch_ahead, *_IN_AN_EPOCH), when=_is_plain),
    Mutant("epoch is one ahead", "COUNT-03", show(epoch_ahead)),
    Mutant("epoch is counted too early", "COUNT-04", show(epoch_ahead, "after_train_epoch"), when=goes_well),
    Mutant("epoch is counted as an iteration ends", "COUNT-04", momentarily(epoch_ahead, "after_train_iter")),
    Mutant(
        "iter is stale after an epoch",
        "COUNT-05",
        momentarily(lambda _, __: {"iter": 0}, "after_train_epoch", shown=False),
    ),
    # Not in a runner that publishes it before the event, for its handlers.
    Mutant("iter is not published", "COUNT-05", drop("before_train_iter", only=RuntimeInfoHook), is_canary=False),
    # Not in a runner that makes each epoch a training, because it publishes the number at the start.
    Mutant("epoch is not published", "COUNT-06", drop("before_train_epoch", only=RuntimeInfoHook), is_canary=False),
    Mutant(
        "epoch is stale after the training",
        "COUNT-06",
        momentarily(lambda _, __: {"epoch": 0}, "after_train", shown=False),
    ),
    Mutant("max_epochs is one more", "COUNT-07", show(lambda plan, _: {"max_epochs": plan.epochs + 1})),
    Mutant(
        "max_epochs is lost after the training", "COUNT-07", momentarily(_no_max_epochs, "after_train", shown=False)
    ),
    Mutant(
        "max_epochs is 1 where a training is asked for iterations",
        "COUNT-07",
        show(lambda plan, _: {} if plan.iterations is None else {"max_epochs": 1}),
        needs="iterations",
    ),
    Mutant("max_iters is huge where it is not known", "COUNT-08", show(huge_where_unknown), needs="unsized"),
    Mutant(
        "max_iters is the completed number in the end",
        "COUNT-08",
        momentarily(lambda _, runner: {"max_iters": runner.iter}, "after_train_iter", shown=False),
    ),
    Mutant("max_iters covers one epoch only", "COUNT-08", show(lambda plan, _: {"max_iters": plan.batches})),
    Mutant("optim_wrapper is missing", "COUNT-09", hide("optim_wrapper")),
    Mutant("iter counts optimizer steps", "COUNT-10", show(iter_of_steps, *_IN_AN_ITERATION), when=_is_plain),
    Mutant("all counters are of optimizer steps", "COUNT-10", show(iter_of_steps)),
    Mutant("a validation counts", "COUNT-11", momentarily(iter_ahead, "after_val"), when=goes_well),
    Mutant(
        "a training ends with an epoch too many",
        "COUNT-12",
        momentarily(epoch_ahead, "after_train"),
        when=goes_well,
    ),
    Mutant(
        "an epoch that was saved at its last batch counts twice",
        "COUNT-12",
        show(epoch_ahead),
        when=_resumes_at_epoch_end,
        needs="resume resume_mid_epoch",
    ),
    Mutant(
        "max_iters is not updated after the first epoch", "COUNT-13", publish(total_of_first_epoch, "before_train_iter")
    ),
    Mutant("components see the previous iteration", "COUNT-14", BehindInIterations(), when=_has(None)),
    Mutant("cfg is wrong", "META-01", publish(lambda _, __: {"cfg": "another"}, *_PUBLISHES_METADATA)),
    Mutant("cfg is not published", "META-01", drop("before_run", only=RuntimeInfoHook)),
    Mutant("the seed is wrong", "META-02", show(lambda plan, _: {"seed": (plan.seed or 0) + 7})),
    Mutant("the name is wrong", "META-03", show(lambda _, __: {"experiment_name": "another"}), when=_is_not_resumed),
    # Not in a runner that invents a seed and a name, or demands them.
    Mutant(
        "a run that was not seeded has the seed 0",
        "META-02",
        show(lambda _, __: {"seed": 0}),
        when=lambda plan: plan.seed is None,
        is_canary=False,
    ),
    Mutant(
        "an unnamed run has an empty name",
        "META-03",
        show(lambda _, __: {"experiment_name": ""}),
        when=_has_no_name,
        is_canary=False,
    ),
    Mutant("the framework's version is wrong", "META-04", publish(_another_version, *_PUBLISHES_METADATA)),
    Mutant("the framework's version is not published", "META-04", drop("before_run", only=RuntimeInfoHook)),
    Mutant(
        "the hook's version is wrong",
        "META-05",
        publish(lambda _, __: {"runtimeinfo_version": "0"}, *_PUBLISHES_METADATA),
    ),
    Mutant("the hook's version is not published", "META-05", drop("before_run", only=RuntimeInfoHook)),
    Mutant("cfg is missing", "META-06", hide("cfg"), when=goes_well),
    Mutant("the dataset is wrapped, and its metainfo hidden", "META-07", show(dataset_wrapped)),
    Mutant(
        "a resumed run has the name of the saved one",
        "META-08",
        publish(_saved_name, "before_train"),
        when=is_resumed,
    ),
    Mutant(
        "an unnamed resumed run has the name of the saved one",
        "META-08",
        show(_saved_name),
        when=lambda plan: is_resumed(plan) and _has_no_name(plan),
        is_canary=False,
    ),
    Mutant(
        "a resumed run has an unrelated seed",
        "META-08",
        show(lambda plan, _: {"seed": (plan.seed or 0) + 7}),
        when=is_resumed,
    ),
    Mutant("a resumed run publishes no metadata", "META-08", drop("before_run", "before_train", only=RuntimeInfoHook)),
    Mutant("a rate is published twice", "SCALAR-02", publish_twice(_rates, "before_train_iter"), when=goes_well),
    Mutant("the rate belongs to the next iteration", "SCALAR-03", show(next_rates)),
    Mutant("the first output is missing", "SCALAR-04", give("after_train_iter", "outputs", _without_first)),
    Mutant("outputs belong to the previous iteration", "SCALAR-04", stale("after_train_iter", "outputs")),
    Mutant(
        "other outputs are turned into numbers",
        "SCALAR-05",
        give("after_train_iter", "outputs", _all_numbers),
        when=_saves_nothing,
    ),
    Mutant("a metric is published twice", "SCALAR-06", publish_twice(_scalar_metrics, "after_val_epoch")),
    Mutant("metrics belong to the previous validation", "SCALAR-06", stale("after_val_epoch", "metrics")),
    Mutant("other metrics are replaced", "SCALAR-07", publish(_other_metrics_changed, "after_val_epoch")),
    Mutant("the first metric is missing", "SCALAR-07", give("after_val_epoch", "metrics", _without_first)),
    Mutant(
        "a stale metric remains next to the new one",
        "SCALAR-08",
        publish(_stale_info_kept, "after_val_epoch"),
        when=_validates_three_times,
    ),
    Mutant("a metric keeps its first kind", "SCALAR-08", stale("after_val_epoch", "metrics")),
    Mutant("test metrics are missing", "SCALAR-09", give("after_test_epoch", "metrics", lambda _: None)),
    Mutant("the rate of an aborted iteration stays", "SCALAR-11", once_aborting(keep_rates, only=RuntimeInfoHook)),
    Mutant("no other process finds the run", "SHARE-01", board_shows(not_current), when=_has(None)),
    Mutant(
        "other processes see the previous iteration",
        "SHARE-01",
        board_shows(counters_of_iteration_before),
        when=_has(None),
    ),
    Mutant("batches are made with the next epoch", "SHARE-02", BoardShowsBetweenEvents(epoch_of_next), when=_has(None)),
    # Not in a runner that creates its own loader.
    Mutant(
        "the iterator of an epoch is made before the epoch counts",
        "SHARE-02",
        around=iterators_are_made_early,
        when=_has(None),
        is_canary=False,
    ),
    Mutant("other processes see no scalar", "SHARE-03", board_shows(no_entries), when=_has(None)),
    Mutant("the board is open to others", "SHARE-05", at(board_is_open_to_others, "after_train"), when=_has(None)),
    Mutant("the board is left behind", "SHARE-06", around=BoardLeftBehind(), when=_has(None)),
    # Not in a runner that publishes the iteration before its batch is read.
    Mutant(
        "batches are made three iterations late",
        "SHARE-07",
        BoardShowsBetweenEvents(iteration_far_back),
        when=_has(None),
        is_canary=False,
    ),
    Mutant(
        "the latest run is current in all threads",
        "SCOPE-01",
        latest_answers_all_threads,
        when=_has("strangers"),
    ),
    Mutant(
        "the hub of the latest training is global",
        "SCOPE-01",
        HubOfLatest(),
        needs="beside",
        when=_has("beside"),
    ),
    Mutant(
        "a nested training leaves its hub global",
        "SCOPE-01",
        HubOfLatest(),
        needs="nested",
        when=_has("nested"),
    ),
    Mutant("a nested run does not enter its hub", "SCOPE-01", run_around_answers, when=_has("around")),
    Mutant("the latest training stays current at each step", "SCOPE-02", HubOfLatest(), when=_has("in_turn")),
    Mutant("a training that waits stays current", "SCOPE-02", around=stay_between_steps, when=_has("in_turn")),
    Mutant(
        "a copy of a context answers for the run that has ended", "SCOPE-03", copies_never_end, when=_has("strangers")
    ),
    Mutant("a copy of a context answers for a later run", "SCOPE-03", copies_get_later_run, when=_has("strangers")),
    Mutant(
        "a copy of a context answers nothing to a later run", "SCOPE-03", copies_get_nothing, when=_has("strangers")
    ),
    Mutant(
        "a thread without a context gets one of two runs", "SCOPE-04", threads_always_get_it, when=_has("strangers")
    ),
    Mutant("a thread without a context gets nothing", "SCOPE-04", threads_never_get_it, when=_has("strangers")),
    Mutant(
        "a thread without a context gets nothing during a test",
        "SCOPE-04",
        threads_never_get_it_in_a_test,
        needs="test",
        when=_has("strangers"),
    ),
    Mutant(
        "a thread without a context gets nothing once the training has ended",
        "SCOPE-04",
        threads_never_get_it_in_the_end,
        when=_has("strangers"),
    ),
    Mutant(
        "a thread without a context gets the nested training",
        "SCOPE-04",
        threads_always_get_it,
        needs="nested",
        when=_has("nested"),
    ),
    Mutant("a worker gets the run that was entered last", "SCOPE-05", workers_get_latest, when=_has("forked")),
    Mutant("a worker gets nothing", "SCOPE-05", workers_get_nothing, when=_has_worker),
    Mutant("a worker answers for the run that has ended", "SCOPE-05", workers_outlive, when=_has("forked")),
    Mutant("a kept hub stays with its run", "SCOPE-06", hub_itself_is_kept, when=_has("strangers")),
    Mutant("a hub that is pickled is a copy", "SCOPE-06", pickled_is_a_copy, when=_has("strangers")),
    Mutant("the run around a run is lost", "SCOPE-07", around=leave_nothing, when=_has("around")),
    Mutant("the hub is not left", "SCOPE-07", around=leave_itself),
    Mutant("the hub is not left after an exception", "SCOPE-07", around=leave_itself_if_it_fails),
    Mutant("an exception is swallowed", "FAIL-01", around=swallow),
    Mutant("an interrupt is swallowed", "FAIL-01", around=swallow_interrupts),
    Mutant("an exception is replaced", "FAIL-01", around=replace_exception),
    # Not in a runner that takes its outputs from `Plan.outputs_of`, or whose data is read by workers.
    Mutant(
        "an interrupt of a step is swallowed",
        "FAIL-01",
        around=swallow_interrupts,
        when=_fails_at("train_step"),
        needs="outputs",
        is_canary=False,
    ),
    Mutant(
        "an interrupt of the data is swallowed",
        "FAIL-01",
        around=swallow_interrupts,
        when=_fails_at("train_data"),
        is_canary=False,
    ),
    Mutant("on_exception does not come", "FAIL-02", drop(ABORT)),
    Mutant("on_exception comes twice", "FAIL-02", double(ABORT)),
    Mutant("an epoch closes before its iteration", "FAIL-03", swap("after_train_iter", once_aborting=True)),
    Mutant("nothing closes after on_exception", "FAIL-03", once_aborting(lose)),
    Mutant("failed work is counted", "FAIL-04", once_aborting(count_incomplete)),
    Mutant(
        "an iteration whose step failed is counted",
        "FAIL-04",
        once_aborting(count_incomplete),
        when=_fails_at("train_step"),
        needs="outputs",
        is_canary=False,
    ),
    Mutant("a partial result is published", "FAIL-05", once_aborting(give_results)),
    Mutant("the stage is left behind", "FAIL-06", _LEFT_STAGE, around=_LEFT_STAGE.around),
    Mutant("all hooks but one have the same priority", "ORDER-01", _with_priority(Probe, "NORMAL")),
    Mutant("information comes late", "ORDER-02", _with_priority(RuntimeInfoHook, "LOW")),
    Mutant("information comes last", "ORDER-02", _with_priority(RuntimeInfoHook, "VERY_LOW")),
    Mutant("counters are lost at first after a resume", "RESUME-01", show(resumed_counters_lost, "before_train")),
    Mutant("counters start again at 0 after a resume", "RESUME-01", show(counters_since_resume)),
    Mutant("the counters lag by one after a resume", "RESUME-01", show(iter_behind_after_resume)),
    Mutant(
        "the epoch is one too high after a resume in mid-epoch",
        "RESUME-01",
        show(epoch_ahead),
        when=_resumes_without_fault,
        needs="resume_mid_epoch",
    ),
    Mutant(
        "an epoch that a bound of iterations has cut short counts as completed",
        "RESUME-01",
        show(epoch_ahead),
        when=_resumes_after_bound,
        needs="iterations resume_mid_epoch",
    ),
    Mutant(
        "an epoch in which a training was stopped counts as completed",
        "RESUME-01",
        show(epoch_ahead),
        when=_resumes_after_stop,
        needs="early_stop resume_mid_epoch",
        is_canary=False,  # a runner that always finishes the epoch is never saved in mid-epoch
    ),
    Mutant("histories are lost in a resume", "RESUME-02", show(forget_histories, "before_train")),
    Mutant(
        "the last batch after a resume is not announced",
        "RESUME-03",
        drop_if(_last_iteration),
        when=_resumes_without_fault,
    ),
    Mutant("batch_idx starts again after a resume in mid-epoch", "RESUME-04", _numbered_from_its_start),
    *COUNTER_AND_RATE_MUTANTS,
    *LATER_MUTANTS,
)
"""The faults, each with the requirement it breaks."""
