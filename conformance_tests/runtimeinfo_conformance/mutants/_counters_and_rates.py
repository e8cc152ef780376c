"""Faults of runners in the place of published values, in learning rates, and in omitted validations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtimeinfo_conformance.mutants._faults import (
    drop_if,
    epoch_ahead,
    iter_ahead,
    momentarily,
    publish_twice,
    show,
)
from runtimeinfo_conformance.mutants._mutant import Fault, Mutant, goes_well
from runtimeinfo_conformance.plans import Plan

Rates = dict[str, list[Any]]


class _ChangedRates:
    """An optimizer wrapper that returns changed rates."""

    def __init__(self, optim_wrapper: Any, change: Callable[[Rates], Rates]) -> None:
        self._optim_wrapper = optim_wrapper
        self._change = change

    def get_lr(self) -> Rates:
        """Return the changed rates."""
        return self._change({name: list(values) for name, values in self._optim_wrapper.get_lr().items()})


def _rates(change: Callable[[Rates], Rates]) -> Callable[[Plan, Any], dict[str, Any]]:
    return lambda _, runner: {"optim_wrapper": _ChangedRates(runner.optim_wrapper, change)}


def _last_entry_only(rates: Rates) -> Rates:
    # A runner may have other entries in addition to its optimizers' rates, such as their momentum.
    return dict(list(rates.items())[-1:])


def _without_last_group(rates: Rates) -> Rates:
    return {name: values[:-1] or values for name, values in rates.items()}


def _with_exchanged_names(rates: Rates) -> Rates:
    return dict(zip(rates, reversed(rates.values()), strict=True))


def _latest(stage: str) -> Callable[[Any, dict[str, Any]], dict[str, Any]]:
    """Return a function that reads the latest value of each history of a stage, except learning rates."""

    def values(runner: Any, _given: dict[str, Any]) -> dict[str, Any]:
        rates = {f"train/{name}" for name in runner.optim_wrapper.get_lr()}
        histories = runner.message_hub.log_scalars
        return {key: histories[key].current() for key in histories if key.startswith(stage) and key not in rates}

    return values


def _known_total_lost(_plan: Plan, runner: Any) -> dict[str, Any]:
    return {} if runner.max_iters is None else {"max_iters": None}


def _all_rates(runner: Any, _given: dict[str, Any]) -> dict[str, Any]:
    return {f"train/{name}": values[0] for name, values in runner.optim_wrapper.get_lr().items()}


def _in_a_validation(_plan: Plan, event: str, _runner: Any, _given: dict[str, Any]) -> bool:
    return "_val" in event


def _last_validation(plan: Plan, hook: Any) -> Fault:
    """Lose all events of the last validation."""
    begun = 0

    def is_lost(plan: Plan, event: str, _runner: Any, _given: dict[str, Any]) -> bool:
        nonlocal begun
        begun += event == "before_val"
        return "_val" in event and begun == plan.validations

    return drop_if(is_lost)(plan, hook)


def _runs_through(plan: Plan) -> bool:
    return plan.fault is None and not plan.is_cut_short and plan.resume_from is None and plan.checkpoint is None


def _has_nothing_to_validate(plan: Plan) -> bool:
    return plan.val_interval is None and plan.val_batches == 0 and plan.val_loaders == 1 and not plan.metrics


def _has_no_schedule(plan: Plan) -> bool:
    return not plan.schedule


COUNTER_AND_RATE_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "an empty validation after an epoch is left out",
        "LIFE-16",
        drop_if(_in_a_validation),
        when=_has_nothing_to_validate,
    ),
    Mutant("the last validation is left out", "LIFE-16", _last_validation, when=_runs_through),
    Mutant(
        "max_iters is lost after the training",
        "COUNT-08",
        momentarily(_known_total_lost, "after_train", shown=False),
        is_canary=False,  # a runner that never asks for a length has nothing to lose
    ),
    Mutant("iter is one ahead as an epoch ends", "COUNT-15", show(iter_ahead, "after_train_epoch"), when=goes_well),
    Mutant("epoch is one ahead in a validation", "COUNT-15", momentarily(epoch_ahead, "before_val_epoch"), needs="val"),
    Mutant(
        "a rate is published as an epoch ends, too",
        "SCALAR-02",
        publish_twice(_all_rates, "after_train_epoch"),
        when=goes_well,
    ),
    Mutant(
        "an output is published as the next iteration begins, too",
        "SCALAR-04",
        publish_twice(_latest("train/"), "before_train_iter"),
        when=goes_well,
    ),
    Mutant("a metric is published after the validation, too", "SCALAR-06", publish_twice(_latest("val/"), "after_val")),
    Mutant("an optimizer is left out of the rates", "SCALAR-12", show(_rates(_last_entry_only))),
    # Not in a framework whose optimizers have no param groups.
    Mutant("a param group is left out of the rates", "SCALAR-12", show(_rates(_without_last_group)), is_canary=False),
    Mutant(
        "two optimizers have each other's rates",
        "SCALAR-12",
        show(_rates(_with_exchanged_names)),
        when=_has_no_schedule,
    ),
)
"""The faults, each with the requirement it breaks."""
