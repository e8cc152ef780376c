"""The places where a training can fail, and how often it reaches each."""

from __future__ import annotations

from dataclasses import replace

from runtimeinfo_conformance.plans import Plan


def places_of(plan: Plan) -> list[str]:
    """Return where a plan can go wrong: the events which it brings about, and the moments between them."""
    return [place for place, times in times_of(plan).items() if times]


def times_of(plan: Plan) -> dict[str, int]:
    """Return how often a training comes to each event and moment, in the leg in which its fault can be.

    Where frameworks differ, as at the end of an epoch that is cut short, it is the least of what they do.
    """
    leg = _last_leg(plan)
    end = leg.max_iters if leg.stop_after is None else leg.stop_after
    iterations = end - leg.start_iteration
    first = leg.start_epoch + leg.is_resumed_at_end_of_epoch
    epochs = leg.epochs if leg.stop_after is None else _epochs_until(leg, end)
    validations = _validations(leg, first, end)
    val_epochs = validations * leg.val_loaders
    val_batches = validations * sum(leg.val_length(loader) for loader in range(leg.val_loaders))
    tests, test_batches = int(leg.test_batches is not None), leg.test_batches or 0
    scopes = {
        "run": 1,
        "train": 1,
        "train_epoch": max(epochs - first, 0) if leg.iterations is None else min(epochs - first, 1),
        "train_iter": iterations,
        "val": validations,
        "val_epoch": val_epochs,
        "val_iter": val_batches,
        "test": tests,
        "test_epoch": tests,
        "test_iter": test_batches,
    }
    if leg.is_resumed_at_end_of_epoch and not iterations:
        scopes["train"] = 0  # nothing is left to do, and a framework need not begin
    events = {f"{when}_{scope}": times for scope, times in scopes.items() for when in ("before", "after")}
    if plan.resumes:  # these two take a framework that saves and loads
        complete = epochs - first - leg.is_cut_short
        events |= {"before_save_checkpoint": max(complete, 0), "after_load_checkpoint": 1}
    moments = {"train_data": iterations, "val_data": val_batches, "test_data": test_batches}
    times = {**events, **moments, "train_step": iterations if leg.outputs else 0}
    times = {place: count * (1 + plan.again) for place, count in times.items()}
    if leg.is_cut_short:  # a framework that reads ahead reads more than it trains on, and needs no error of that
        times["train_data"] = iterations
    return times


def _last_leg(plan: Plan) -> Plan:
    if not plan.resumes:
        return plan
    epoch, batch = plan.resumes[-1]
    alone = replace(plan, resume_after=None, resume_batch=0, later_resumes=(), stopped_by="interrupt")
    return replace(alone, start_epoch=epoch, start_batch=batch)


def _epochs_until(plan: Plan, iteration: int) -> int:
    return next(epoch for epoch in range(plan.max_epochs + 1) if plan.iteration_of(epoch) >= iteration)


def _validations(plan: Plan, first: int, end: int) -> int:
    """Return how many validations are made for certain: not one that is due as the training is cut short."""
    if plan.val_batches is None:
        return 0
    if not plan.is_cut_short and not plan.is_resumed_at_end_of_epoch:
        return plan.validations
    inside = sum(
        plan.validates_after(batch) and plan.iteration_of(epoch, batch + 1) < end
        for epoch in range(first, plan.epochs)
        for batch in range(plan.start_batch if epoch == plan.start_epoch else 0, plan.length_of(epoch))
    )
    after = sum(plan.iteration_of(epoch + 1) < end for epoch in range(first, plan.epochs))
    return inside + after * plan.validates_after_epoch + plan.val_before
