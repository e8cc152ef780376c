"""What a faulty runner shows instead of what there is: each a function of the plan and the runner."""

from __future__ import annotations

import sys
from typing import Any

from runtimeinfo_conformance.mutants._faults import ShownRunner
from runtimeinfo_conformance.plans import Plan


class _HalvedRates:
    """Rates as they will be in the next iteration of a halving schedule."""

    def __init__(self, optim_wrapper: Any) -> None:
        self._optim_wrapper = optim_wrapper

    def get_lr(self) -> dict[str, list[float]]:
        """Return half of what is in force."""
        rates = self._optim_wrapper.get_lr()
        return {name: [float(value) / 2 for value in values] for name, values in rates.items()}


def forget_histories(_plan: Plan, runner: Any) -> dict[str, Any]:
    """Return nothing, and empty the hub of its histories."""
    for key in list(runner.message_hub.log_scalars):
        pop = getattr(runner.message_hub, "pop_scalar", None) or runner.message_hub.log_scalars.pop
        pop(key)
    return {}


def iter_ahead(_: Plan, runner: Any) -> dict[str, Any]:
    """Return an iteration too many."""
    return {"iter": runner.iter + 1}


def iter_of_epoch(plan: Plan, runner: Any) -> dict[str, Any]:
    """Return the iteration within its epoch."""
    return {"iter": runner.iter % (plan.batches or 1)}


def iter_of_steps(plan: Plan, runner: Any) -> dict[str, Any]:
    """Return the optimizer steps."""
    return {"iter": runner.iter // plan.accumulation}


def epoch_ahead(_: Plan, runner: Any) -> dict[str, Any]:
    """Return an epoch too many."""
    return {"epoch": runner.epoch + 1}


def iter_behind_after_resume(plan: Plan, runner: Any) -> dict[str, Any]:
    """Return an iteration too few, once a training has gone on."""
    return {"iter": runner.iter - 1} if plan.resume_from is not None else {}


def counters_since_resume(plan: Plan, runner: Any) -> dict[str, Any]:
    """Return what was done since the resume."""
    return {"iter": runner.iter - plan.start_iteration, "epoch": runner.epoch - plan.start_epoch}


def total_of_first_epoch(plan: Plan, _: Any) -> dict[str, Any]:
    """Return the total that the first epoch lets expect."""
    return {"max_iters": plan.max_epochs * plan.length_of(0)} if plan.lengths else {}


def huge_where_unknown(plan: Plan, _: Any) -> dict[str, Any]:
    """Return a huge total where it is not known."""
    return {"max_iters": plan.max_iters if plan.sized else sys.maxsize}


def rates_to_come(plan: Plan, runner: Any) -> dict[str, Any]:
    """Return the rates of the next iteration."""
    return {"optim_wrapper": _HalvedRates(runner.optim_wrapper)} if plan.schedule else {}


def dataset_wrapped(_: Plan, runner: Any) -> dict[str, Any]:
    """Return a loader whose dataset hides its metainfo."""
    return {"train_dataloader": ShownRunner(runner.train_dataloader, dataset=object())}


def resumed_counters_lost(plan: Plan, _: Any) -> dict[str, Any]:
    """Return counters that begin anew."""
    return {"iter": 0, "epoch": 0} if plan.resume_from is not None else {}
